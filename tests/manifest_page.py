"""docs/manifest.md, made from the descriptions and examples of the manifest's schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from keyturn.manifest.reference import models

Json = dict[str, Any]

HEAD = """# Manifest

This page is made from the schema (`schemas/manifest.v1.json`) by `make generate`. Each example is validated by a test.

A manifest is a YAML file, `keyturn.yaml` unless `-f` names another one, or a directory of them. \
`keyturn init` writes one with comments, `keyturn init --from-account` one with an entry per API key that exists. \
`keyturn validate` tells every mistake with its line, and needs no environment.

- A field that is not listed here is a mistake. So is the same id, name or delivery twice.
- Never put a secret into a manifest: it is refused. Credentials come from the environment.
- `${KEYTURN_NAME}` and `${KEYTURN_NAME:-default}` are replaced in `address`, `host`, \
`url`, `region`, `role` and `mount` of a target, by the variable of that name. They are read nowhere else.
- A *duration* is written `30d`, `24h`, `5m`, `30s` or `1h30m`.

## In an editor

The first line names the schema. `keyturn init` writes it, and beside the manifest the file that it names:

```text
# yaml-language-server: $schema=keyturn.schema.json
```

`keyturn schema manifest > keyturn.schema.json` writes that file again after an upgrade; \
it includes the settings of the targets that are installed. \
To check manifests with other tools: `check-jsonschema --schemafile keyturn.schema.json keyturn.yaml`.
"""
TITLES = {
    "Manifest": "The top",
    "RecordsEntry": "`records`",
    "Defaults": "`defaults`",
    "KeyEntry": "`keys.ID`",
    "AdoptEntry": "`keys.ID.adopt`",
    "DeliverEntry": "`keys.ID.deliver[]`",
    "RotationEntry": "`rotation`",
    "WindowEntry": "`rotation.window`",
    "SmokeEntry": "`smoke`",
    "PoolEntry": "`pool`",
    "LimitsEntry": "`limits`",
    "TimingEntry": "`timing`",
    "HookEntry": "`after_delivery`",
    "MovedEntry": "`keys.ID.moved`",
    "FreezeEntry": "`freeze[]`",
    "WebhookEntry": "`notify[]`, type `webhook`",
    "SlackEntry": "`notify[]`, type `slack`",
    "CommandEntry": "`notify[]`, type `command`",
    "DeadManEntry": "`notify[]`, type `dead-man`",
    "vault": "`targets.NAME`, type `vault`",
    "vault.AuthSettings": "`targets.NAME.auth`, type `vault`",
    "aws-secrets-manager": "`targets.NAME`, type `aws-secrets-manager`",
    "do-secrets": "`targets.NAME`, type `do-secrets`",
    "onepassword": "`targets.NAME`, type `onepassword`",
    "onepassword.AuthSettings": "`targets.NAME.auth`, type `onepassword`",
    "onepassword-connect": "`targets.NAME`, type `onepassword-connect`",
    "onepassword-connect.AuthSettings": "`targets.NAME.auth`, type `onepassword-connect`",
    "kubernetes": "`targets.NAME`, type `kubernetes`",
    "app-platform": "`targets.NAME`, type `app-platform`",
    "github-secrets": "`targets.NAME`, type `github-secrets`",
    "github-secrets.AuthSettings": "`targets.NAME.auth`, type `github-secrets`",
    "dotenv": "`targets.NAME`, type `dotenv`",
}
"""The sections in their order; an object without a title here follows with its own name."""
HIDDEN = {"TargetEntry"}
"""It is any target: each kind has its own section."""
DURATION = "^(?=[0-9])"


def page(schema: Json) -> str:
    """Return the text of the page."""
    found = {name: fields for name, fields in models(schema) if name not in HIDDEN and fields}
    order = [name for name in TITLES if name in found] + [name for name in found if name not in TITLES]
    return "\n".join([HEAD, *(row for name in order for row in _section(schema, name, found[name]))])


def _section(schema: Json, name: str, fields: dict[str, Json]) -> Iterator[str]:
    one = schema if name == "Manifest" else schema["$defs"][name]
    yield f"## {TITLES.get(name, f'`{name}`')}\n"
    if told := one.get("description"):
        yield f"{told}\n"
    yield "| field | value | meaning | example |\n|---|---|---|---|"
    required = one.get("required", ())
    for title, field in fields.items():
        meaning = field.get("description", "").rstrip(".")
        if title in required:
            meaning += ". Required"
        elif "default" in field and field["default"] != []:
            meaning += f". Default: `{_flow(field['default'])}`"
        example = field.get("examples", [None])[0]
        shown = f"`{_flow({title: example})[1:-1]}`" if "examples" in field else ""
        yield f"| `{title}` | {_value(field)} | {_cell(meaning)}. | {_cell(shown)} |"
    yield ""


def _value(field: Json) -> str:
    """Say which values a field takes."""
    choices = [choice for choice in (*field.get("anyOf", ()), *field.get("oneOf", ())) if choice.get("type") != "null"]
    if choices:
        return " or ".join(dict.fromkeys(_value(choice) for choice in choices))
    if "const" in field:
        return f"`{_flow(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if "$ref" in field:
        return _link(field["$ref"])
    kind = field.get("type")
    if kind == "array":
        return f"list of {_value(field.get('items', {}))}"
    if kind == "object":
        inner: object = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), {})
        return f"mapping of {_value(inner)}" if isinstance(inner, dict) and inner else "mapping"
    if kind == "string" and field.get("pattern", "").startswith(DURATION):
        return "duration"
    if kind == "integer" and "minimum" in field:
        return f"{field['minimum']} to {field['maximum']}" if "maximum" in field else f"{field['minimum']} or more"
    return {"string": "text", "boolean": "`true`, `false`", "integer": "number"}.get(str(kind), "value")


def _link(ref: str) -> str:
    name = ref.rpartition("/")[2]
    if name in HIDDEN:
        return "target"
    title = TITLES.get(name, f"`{name}`")
    anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
    return f"[{title.strip('`').replace('`', '')}](#{anchor})"


def _flow(value: object) -> str:
    """Return a value as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**9, sort_keys=False)
    return text.removesuffix("...\n").rstrip("\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
