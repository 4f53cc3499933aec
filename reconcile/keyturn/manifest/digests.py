"""PURE: short digests of a manifest, to tell whether an entry changed and whether two targets are the same store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any

from keyturn.core.model import DesiredKey, Timing
from keyturn.targets.places import LOGIN, Items

_DIGITS = 16


def fingerprint(desired: DesiredKey) -> str:
    """Return 16 hex digits of the SHA-256 of an entry with its defaults, without owner, timing, freezes and policy."""
    entry = _fields(desired) | {"owner": "", "timing": _TIMING, "fingerprint": "", "homes": {}, "permit": None}
    del entry["record_target"], entry["kinds"]
    entry["hook"] = desired.hook and dataclasses.replace(desired.hook, allowed=False)
    entry["rotation"] = _fields(desired.rotation)
    del entry["rotation"]["freezes"]  # the manifest's, not the entry's: a freeze unparks no key
    # Omit newer fields unless they are used: otherwise every entry would look changed after an upgrade.
    for name in ("moved_from", "trigger_reason", "lenient"):
        del entry[name]  # it says nothing of the key itself
    newer = {"pool", "permit", "hook"}
    return _digest({name: entry[name] for name in entry if name not in newer or entry[name] is not None})


def home(kind: str, store: Items) -> str:
    """Return 16 hex digits that identify a target's store. Targets that differ only in their login have the same."""
    return _digest([kind, sorted(store)])


def former_home(kind: str, settings: Mapping[str, object]) -> str:
    """Return the home of a target as versions until 0.1.0 made it: from its settings as they are written."""
    return _digest([kind, {name: value for name, value in settings.items() if name != LOGIN}])


def place_digest(kind: str, place: Items) -> str:
    """Return 16 hex digits of a target's settings in normal form."""
    return _digest([kind, sorted(place)])


def _digest(value: object) -> str:
    return hashlib.sha256(_JSON.encode(value).encode()).hexdigest()[:_DIGITS]


def _shown(value: object) -> object:
    """Return what stands for a value that JSON does not know: the fields of a dataclass, and text for the rest."""
    return _fields(value) if dataclasses.is_dataclass(value) else str(value)


def _fields(value: object) -> dict[str, Any]:
    kind: Any = type(value)
    return {name: getattr(value, name) for name in _names(kind)}


@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))  # type: ignore[arg-type]  # a dataclass


_JSON = json.JSONEncoder(sort_keys=True, default=_shown)
_TIMING = _fields(Timing())
