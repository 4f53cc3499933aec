"""PURE: the CustomResourceDefinitions, made from the models of the resources.

A definition is a structural schema of OpenAPI 3 ("Extend the Kubernetes API with CustomResourceDefinitions"): without
references, and without fields that the API server does not know. Rules are in CEL, each with a message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from keyturn.kube import resources
from keyturn.kube.resources import (
    ACCOUNT,
    CLUSTER_ACCOUNT,
    GROUP,
    KEY,
    LONGEST_ACCOUNT,
    NAMESPACE,
    NEVER_OFFERED,
    OF_MANIFEST,
    VERSION,
)
from keyturn.manifest.durations import PATTERN
from keyturn.manifest.reference import annotate
from keyturn.manifest.schema import AsWritten

Json = dict[str, Any]
Rules = Mapping[str, tuple[tuple[str, str], ...]]
"""By the path of a field, `[]` for the items of a list: rules and their messages."""

GO_DURATION = r"^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}s)?$"
"""A duration that both Go and the manifest read: hours, minutes and seconds, in that order. Go knows no days."""
RULES = "x-kubernetes-validations"
KEPT = frozenset({"type", "description", "enum", "pattern", "default", "minimum", "maximum"}) | {
    f"{least}{what}" for least in ("min", "max") for what in ("Length", "Items")
}
LONGEST_VALUE = 1024
"""Characters of a text for which the model sets no limit: rules have a budget, which the API server reckons by it."""

_OVERLAP = (
    "!has(self.overlap) || !has(self.strategy) || self.strategy == 'alternating'",
    "overlap is only for the strategy alternating",
)
_DURATION = (
    f"self.matches('{GO_DURATION}')",
    "must be a duration such as 720h, 90m or 1h30m; there is no unit for days",
)
_READABLE = f"[self.overlap, self.every].all(text, text.matches('{GO_DURATION}'))"
_BOTH = f"has(self.overlap) && has(self.every) && {_READABLE}"
_SHORTER = (f"!({_BOTH}) || duration(self.overlap) < duration(self.every)", "overlap must be shorter than every")
_LENGTH = (
    f"!{_DURATION[0]} || duration(self) >= duration('1s') && duration(self) <= duration('87600h')",
    "must be between 1s and 87600h",
)
_PLACEHOLDER = (
    f"!self.replace('{NAMESPACE}', '').matches('[{{}}]')",
    f"the only placeholder of a prefix is {NAMESPACE}",
)
_NAME = (f"self.metadata.name.size() <= {LONGEST_ACCOUNT}", f"the name is longer than {LONGEST_ACCOUNT} characters")

_ROTATION = {"": (_OVERLAP, _SHORTER), ".every": (_LENGTH,), ".overlap": (_LENGTH,)}
_KEY_RULES: Rules = {
    "spec.accountRef": (("self == oldSelf", "accountRef never changes: make another ModelAccessKey"),),
    "spec.name": (("self == self.trim()", "the name may not start or end with a space"),),
    "spec.adopt": (
        ("!has(self.a) || !has(self.b) || self.a != self.b", "a and b must be two API keys"),
        ("!has(self.live) || self.live == 'a' || has(self.b)", "live is b, so b is required"),
    ),
    "spec.deliver[]": (("has(self.secret) != has(self.target)", "exactly one of secret and target is required"),),
    **{f"spec.rotation{path}": rules for path, rules in _ROTATION.items()},
}
_ACCOUNT_RULES: Rules = {
    "": (_NAME,),
    "spec.namePrefix": (_PLACEHOLDER,),
    **{f"spec.defaults.rotation{path}": rules for path, rules in _ROTATION.items()},
}
_CLUSTER_RULES: Rules = {
    **_ACCOUNT_RULES,
    "spec.targets[].type": (
        (
            f"!(self in {list(NEVER_OFFERED)})",
            "must be another kind: Secrets are delivered with `secret`, and files are those of the operator's pod",
        ),
    ),
    "spec.targets[].pathPrefix": (("self.endsWith('/')", "must end with /"), _PLACEHOLDER),
}

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def _condition(kind: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Json:
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


# kubectl shows a date that is to come as <invalid>, so the moments are strings.
_KEY_COLUMNS = [
    _column("Ready", _condition("Ready", "status")),
    _column("Reason", _condition("Ready", "reason")),
    _column("Verified", _condition("Verified", "status")),
    _column("Next rotation", ".status.nextRotationTime"),
    _AGE,
    _column("Account", ".spec.accountRef.name", wide=True),
    _column("Retire", ".status.retireTime", wide=True),
    _column("Message", _condition("Ready", "message"), wide=True),
]
_ACCOUNT_COLUMNS = [
    _column("Ready", _condition("Ready", "status")),
    _column("Reason", _condition("Ready", "reason")),
    _column("Keys", ".status.keys", "integer"),
    _column("Spares", ".status.pool.free", "integer"),
    _AGE,
    _column("Message", _condition("Ready", "message"), wide=True),
]


def definitions() -> Iterator[Json]:
    """Yield the CustomResourceDefinitions. Helm keeps them when a release is removed: all resources would go, too."""
    spec, state = resources.KeySpec, resources.KeyState
    key = _definition(KEY, "mak", (spec, state), _KEY_RULES, _KEY_COLUMNS)
    fields = (".spec.accountRef.name", ".spec.accountRef.kind")
    key["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": field} for field in fields]
    yield key
    account = (resources.AccountSpec, resources.AccountState)
    yield _definition(ACCOUNT, "kta", account, _ACCOUNT_RULES, _ACCOUNT_COLUMNS)
    whole = (resources.ClusterAccountSpec, resources.AccountState)
    cluster = _definition(CLUSTER_ACCOUNT, "ckta", whole, _CLUSTER_RULES, _ACCOUNT_COLUMNS, scope="Cluster")
    _by(_at(cluster["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "spec.targets"), "name")
    yield cluster


def _definition(
    kind: str,
    short: str,
    models: tuple[type[BaseModel], type[BaseModel]],
    rules: Rules,
    columns: list[Json],
    *,
    scope: str = "Namespaced",
) -> Json:
    spec, state = (_schema(model) for model in models)
    # Without it, kstatus would take a resource for ready that the operator has not seen.
    state["default"] = {"observedGeneration": -1}
    _by(state["properties"]["conditions"], "type")
    root = {
        "type": "object",
        "description": spec["description"],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": state,
        },
    }
    for path, found in rules.items():
        _at(root, path).setdefault(RULES, []).extend(map(_rule, found))
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "annotations": {"helm.sh/resource-policy": "keep"}},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["keyturn"],
            },
            "scope": scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


class _InGo(AsWritten):
    """Defaults as they are written in a resource: durations such as `24h`."""

    def encode_default(self, dft: object) -> object:
        """Return a default as it is written."""
        return go_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def go_duration(duration: timedelta) -> str:
    """Return the text that Go and the manifest read as `duration`, in whole seconds."""
    left = int(duration.total_seconds())
    shown = ""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        shown += f"{count}{unit}" if count else ""
    return shown or "0s"


def _schema(model: type[BaseModel]) -> Json:
    """Return the structural schema of a model."""
    whole: Json = model.model_json_schema(by_alias=True, schema_generator=_InGo)
    definitions: Mapping[str, Json] = annotate({"$defs": whole.pop("$defs", {})})["$defs"]
    return _structural(whole, definitions)


def _structural(node: Json, definitions: Mapping[str, Json], *, manifest: bool = False) -> Json:
    """Return a node without references. `manifest`: it is of the manifest, and its defaults are told, not set.

    An account has defaults for these fields, and a default in the definition would always win over them.
    """
    if "$ref" in node:
        there = definitions[str(node["$ref"]).rpartition("/")[2]]
        return _structural({**there, **_described(node)}, definitions, manifest=manifest)
    if choices := [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]:
        (choice,) = choices
        return _structural({**choice, **_described(node)}, definitions, manifest=manifest)
    if model := node.pop(OF_MANIFEST, ""):
        return _structural(annotate({"$defs": {model: node}})["$defs"][model], definitions, manifest=True)
    result = {name: value for name, value in node.items() if name in KEPT}
    if not result.get("default", True):
        del result["default"]
    elif manifest and "default" in result:
        shown, text = result.pop("default"), str(result.get("description", ""))
        result["description"] = text if "Default" in text else f"{text} Default: {shown}."
    if result.get("pattern") == PATTERN:
        del result["pattern"]  # a rule has a better message
        result |= {"minLength": 2, "maxLength": 24, RULES: [_rule(_DURATION)]}
    if result["type"] == "string" and not {"enum", "maxLength"} & result.keys():
        result["maxLength"] = LONGEST_VALUE
    if result["type"] == "array":
        result["items"] = _structural(node["items"], definitions, manifest=manifest)
        result.setdefault("maxItems", 100)
    if result["type"] == "object":
        result |= _fields(node, definitions, manifest=manifest)
    return result


def _fields(node: Json, definitions: Mapping[str, Json], *, manifest: bool) -> Json:
    """Return what a structural schema says of the fields of an object."""
    if isinstance(values := node.get("additionalProperties"), dict):
        return {"additionalProperties": _structural(values, definitions, manifest=manifest)}
    if "properties" not in node:
        return {"x-kubernetes-preserve-unknown-fields": True}
    fields = node["properties"].items()
    found: Json = {
        "properties": {to_camel(name): _structural(one, definitions, manifest=manifest) for name, one in fields}
    }
    if required := node.get("required"):
        found["required"] = [to_camel(name) for name in required]
    return found


def _rule(found: tuple[str, str]) -> Json:
    rule, message = found
    return {"rule": rule, "message": message}


def _described(node: Json) -> Json:
    return {"description": node["description"]} if "description" in node else {}


def _by(items: Json, field: str) -> None:
    """Let a field tell the items of a list apart: none occurs twice, and each is merged with its own."""
    items |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field]}


def _at(root: Json, path: str) -> Json:
    """Return the schema at a path such as `spec.deliver[].secret`."""
    node = root
    for part in filter(None, path.replace("[]", ".[]").split(".")):
        node = node["items"] if part == "[]" else node["properties"][part]
    return node
