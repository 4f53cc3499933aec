"""Targets are found by entry points of the group `keyturn.targets`; each is imported only when it is asked for."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from keyturn.errors import InputError
from keyturn.targets.base import Target, TargetContext

GROUP = "keyturn.targets"

EXTRAS = {"hvac": "vault", "boto3": "aws", "onepasswordconnectsdk": "onepassword", "dotenv": "dotenv"}
"""The library that a target imports, and the extra of keyturn that brings it."""


def kinds() -> tuple[str, ...]:
    """Return the kinds of target that are installed, sorted; nothing is imported."""
    return tuple(sorted(_entries()))


def find(kind: str) -> type[Target]:
    """Return the class of a kind of target; its settings model is there without the vendor's library.

    Raises:
        InputError: no such kind, or it cannot be imported.
    """
    entries = _entries()
    if kind not in entries:
        near = get_close_matches(kind, entries, n=1)
        raise InputError(
            f"there is no target of type {kind!r}",
            evidence=f"there are {', '.join(sorted(entries)) or 'none'}",
            remedy=f"Did you mean {near[0]}?" if near else "",
        )
    try:
        target: type[Target] = entries[kind].load()
    except ModuleNotFoundError as missing:
        raise _missing(kind, missing) from None
    return target


def make(kind: str, context: TargetContext) -> Target:
    """Make a target; no network yet.

    Raises:
        InputError: no such kind, settings that do not fit, a forbidden origin, or the vendor's library is missing.
    """
    target = find(kind)
    try:
        return target(context)
    except ModuleNotFoundError as missing:
        raise _missing(kind, missing) from None


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _missing(kind: str, error: ModuleNotFoundError) -> InputError:
    library = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(library)
    return InputError(
        f"a target of type {kind} needs the Python library {library}, which is not installed",
        remedy=f"Type: pip install 'keyturn[{extra}]'" if extra else f"Install {library}.",
    )
