"""PURE: the inputs of the resources as the engine hands them on, and what of them changed. Imports nothing of keyturn.

Props are plain JSON, with `pulumi.output.Unknown` anywhere for what a preview does not know yet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from pulumi.output import Unknown

Props = Mapping[str, object]

ENTRY = ("name", "adopt", "deliver", "rotation", "smoke", "clean_targets")
"""The inputs that a key of a manifest has under the same name."""

PLACES = ("targets", "records", "timing")
"""The inputs that stand at the top of a manifest."""

ORIGIN = ("project", "stack", "parent", "resource_name")
"""What the resource class fills in, since a provider is not told the URN; `parent` is the URN of a component."""

KEY = (*ENTRY, *PLACES, "key", "rotation_trigger", "on_delete", "take_over", "expose_secret", "verify")
"""What a program may give for a ModelAccessKey."""

SMOKE_CHECK = ("deliveries", "targets", "timing", "smoke", "every")
"""What a program may give for a SmokeCheck."""

TRIGGER = "rotation_trigger"


def owner(props: Props) -> str:
    """Return who owns the record of this resource: no two resources of a stack have the same owner."""
    return "pulumi:" + "/".join(_names(props, str(props.get("parent") or "").split("::", 2)[-1]))


def with_key(olds: Props, news: Props) -> dict[str, object]:
    """Return the inputs with `key` filled in: the one it has, so that a renamed resource keeps it, or a new one."""
    return {**news, "key": news.get("key") or olds.get("key") or identity(news)}


def identity(props: Props) -> str:
    """Return the default id of a resource: project, stack, the component that it is in, and its name."""
    return ".".join(_names(props, str(props.get("parent") or "").rpartition("::")[2]))


def unknown(value: object) -> bool:
    """Tell whether a value is unknown, or has something unknown in it."""
    if isinstance(value, Mapping):
        return any(unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(unknown(item) for item in value)
    return isinstance(value, Unknown)


def changed(olds: Props, news: Props, names: Iterable[str]) -> list[str]:
    """Return the names of the inputs that differ; None is the same as left out, unknown is different."""
    return [name for name in names if unknown(news.get(name)) or olds.get(name) != news.get(name)]


def given(props: Props, names: Iterable[str]) -> dict[str, object]:
    """Return the inputs of these names that are given."""
    return {name: props[name] for name in names if props.get(name) is not None}


def trigger(value: object) -> str:
    """Return 16 hex digits that tell one rotation trigger from another; empty where none is given."""
    if value is None:
        return ""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _names(props: Props, parent: str) -> list[str]:
    found = [str(props.get(name) or "") for name in ("project", "stack", "resource_name")]
    return [*found[:2], parent, *found[2:]] if parent else found
