"""The two spellings of inputs and outputs, and what a URN says.

The schema has the camelCase of every Pulumi provider, the rest of this package the snake_case of a manifest. What is
below `targets` is the user's and stays as it is. States of the dynamic provider have snake_case: it is read, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from keyturn_provider import inputs
from keyturn_provider.inputs import Props

KEY = "keyturn:index:ModelAccessKey"
SMOKE_CHECK = "keyturn:index:SmokeCheck"
DYNAMIC = {
    KEY: "pulumi-python:dynamic/keyturn:ModelAccessKey",
    SMOKE_CHECK: "pulumi-python:dynamic/keyturn:SmokeCheck",
}
"""The types of the full provider, each with the type of the dynamic provider that it succeeds."""

DEEP = ("smoke",)
"""The inputs with fields of two words."""

_CAPITAL = re.compile("[A-Z]")
_LINE = re.compile("_([a-z])")


class Place(NamedTuple):
    """The place of a resource in a program, from its URN. A URN has the types of the parents, and not their names."""

    project: str
    stack: str
    parents: str
    type: str
    name: str

    @property
    def identity(self) -> str:
        """The default id of a key."""
        return inputs.identity({"project": self.project, "stack": self.stack, "resource_name": self.name})

    @property
    def owner(self) -> str:
        """The owner of the record. It differs from that of a dynamic resource of the same place and name."""
        parts = (self.project, self.stack, self.parents, self.name)
        return f"pulumi:{'/'.join(part for part in parts if part)}{inputs.FULL}"


def place(urn: str) -> Place:
    """Return what a URN (`urn:pulumi:STACK::PROJECT::TYPES$TYPE::NAME`) says. Raises ValueError for another text."""
    start, project, types, name = urn.split("::", 3)
    parents, _, kind = types.rpartition("$")
    return Place(project, start.removeprefix("urn:pulumi:"), parents, kind, name)


def inward(props: Props) -> dict[str, object]:
    """Return props in snake_case. An empty text is a missing value; what the engine adds (`__…`) is left out."""
    found = {_snake(name): value for name, value in props.items() if not name.startswith("__") and value != ""}
    return {name: _each(value, _snake) if name in DEEP else value for name, value in found.items()}


def outward(props: Props) -> dict[str, object]:
    """Return props in camelCase."""
    return {camel(name): _each(value, camel) if name in DEEP else value for name, value in props.items()}


def camel(name: str) -> str:
    """Return a name in camelCase."""
    return _LINE.sub(lambda found: found[1].upper(), name)


def in_camel(mistake: str) -> str:
    """Return a mistake with the path that it begins with, as in `smoke.expect_models: …`, in camelCase."""
    path, colon, text = mistake.partition(": ")
    return mistake if " " in path or path.startswith("targets") else f"{camel(path)}{colon}{text}"


def _each(value: object, spell: Callable[[str], str]) -> object:
    return {spell(name): item for name, item in value.items()} if isinstance(value, Mapping) else value


def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda found: f"_{found[0].lower()}", name)
