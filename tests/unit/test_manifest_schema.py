"""The schema of manifests as editors and checkers use it: patterns, descriptions, defaults, and examples that hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import regress
import yaml

from keyturn.manifest import check_all, manifest_schema, policy_schema
from keyturn.manifest.durations import PATTERN, parse_duration
from keyturn.manifest.reference import NOTES, models
from keyturn.report.documents import KINDS, schema

Json = dict[str, Any]
SCHEMA: Json = dict(manifest_schema())
BOT = {
    "adopt": {"secret": "existing"},
    "rotation": {"strategy": "alternating", "overlap": "1h"},
    "smoke": {"model": "llama3.3-70b-instruct"},
    "deliver": [{"target": "vault", "path": "apps/bot", "field": "API_KEY"}],
}
BASE = {
    "apiVersion": "keyturn/v1",
    "name": "example",
    "targets": {"vault": {"type": "vault", "address": "https://vault.example.com:8200"}},
    "records": {"target": "local"},
    "keys": {"bot": BOT},
}
"""A manifest into which each example is put."""
FIELDS = [(name, title) for name, fields in models(SCHEMA) if name != "TargetEntry" for title in fields]


def nodes(node: object) -> Iterator[Json]:
    """Yield every object of a JSON value."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(inner)


def places() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return where in a manifest each object of the schema stands, after the object that it stands in.

    `0` is the first item of a list.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {"Manifest": ("", ())}
    waiting: list[tuple[str, Json, tuple[str, ...]]] = [("Manifest", SCHEMA, ())]
    while waiting:
        outer, one, path = waiting.pop(0)
        for title, field in one.get("properties", {}).items():
            for name, tail in _refs(field):
                at = (*path, title, *tail)
                if name not in found:
                    found[name] = outer, at
                    waiting.append((name, SCHEMA["$defs"][name], at))
    return found


def _refs(field: Json, tail: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        yield name, tail
        if name == "TargetEntry":
            for choice in SCHEMA["$defs"][name]["anyOf"]:
                yield from _refs(choice, tail)
    for choice in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _refs(choice, tail)
    if "items" in field:
        yield from _refs(field["items"], (*tail, "0"))
    for inner in (field.get("additionalProperties"), *field.get("patternProperties", {}).values()):
        if isinstance(inner, dict):
            yield from _refs(inner, (*tail, "bot"))


def outwards(name: str) -> Iterator[str]:
    """Yield an object and those that it stands in, without the top."""
    while name != "Manifest":
        yield name
        name = places()[name][0]


def required(name: str) -> Json:
    """Return an example of each field that an object has to have."""
    fields = dict(models(SCHEMA))[name]
    needed = SCHEMA["$defs"][name].get("required", ())
    return {need: fields[need].get("examples", [fields[need].get("const")])[0] for need in needed}


def put(manifest: Json, path: tuple[str, ...], value: Json) -> None:
    """Merge fields into the object at a path, which is made if it is not there."""
    here: Any = manifest
    for number, part in enumerate(path):
        fresh: Any = [] if path[number + 1 : number + 2] == ("0",) else {}
        if part == "0":
            here[:] = here[:1] or [fresh]
            here = here[0]
        else:
            here = here.setdefault(part, fresh)
    here.update(value)


@pytest.mark.parametrize("kind", ["manifest", "policy", *KINDS])
def test_every_pattern_is_one_for_python_and_for_ecma(kind: str) -> None:
    """Editors, ajv and check-jsonschema compile patterns as ECMA-262 does, with the flag `u`."""
    made: Any = {"manifest": manifest_schema, "policy": policy_schema}.get(kind)
    made = made() if made else schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    for node in nodes(made):
        if isinstance(pattern := node.get("pattern"), str):
            re.compile(pattern)
            regress.Regex(pattern, flags="u")


@pytest.mark.parametrize(("name", "title"), FIELDS)
def test_every_field_is_described_and_its_example_is_valid(name: str, title: str, tmp_path: Path) -> None:
    """For `keyturn validate` and for the schema, put where it belongs; what it needs beside it is in its note."""
    field, place = dict(models(SCHEMA))[name][title], places()[name][1]
    assert field.get("description"), "describe it in the model or in manifest/reference.py"
    assert field.get("examples"), "give an example in the model or in manifest/reference.py"
    note = NOTES.get(f"{name}.{title}")
    manifest = json.loads(json.dumps(BASE))
    for outer in reversed(tuple(outwards(name))):
        put(manifest, places()[outer][1], required(outer))
    put(manifest, place, dict(note.beside) if note else {})
    put(manifest, place, {title: field["examples"][0]})
    (tmp_path / "keyturn.yaml").write_text(yaml.safe_dump(manifest))
    assert len(check_all(tmp_path / "keyturn.yaml", {}).manifests) == 1
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)


def test_durations_are_as_operators_write_them() -> None:
    """No default is an ISO 8601 duration, which the manifest refuses."""
    durations = [node for node in nodes(SCHEMA) if node.get("pattern") == PATTERN and "default" in node]
    assert len(durations) >= 6
    assert all(parse_duration(node["default"]) for node in durations)
    assert not re.search(r'"P(T|\d)', json.dumps([SCHEMA, policy_schema()]))


def test_nothing_is_said_that_says_nothing() -> None:
    """No generated titles, and no default that means "not given"."""
    assert not re.search(r'"title": "[A-Z]', json.dumps(SCHEMA))
    assert not [node for node in nodes(SCHEMA) if node.get("default", 0) in ("", None, {})]
