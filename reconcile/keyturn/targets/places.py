"""The place of a target: its settings in one normal form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

Items = tuple[tuple[str, str], ...]
"""Settings by their names in the manifest, such as `auth.mount`, each with its value in normal form."""


def place_of(settings: BaseModel, base: Path) -> Items:
    """Return the place of any settings model."""
    del base
    return tuple(_flat(settings.model_dump(mode="json"), ""))


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for part, inner in value.items():
            yield from _flat(inner, f"{name}.{part}" if name else str(part))
    elif isinstance(value, bool):
        yield name, str(value).lower()
    elif value not in {None, ""}:
        yield name, str(value)
