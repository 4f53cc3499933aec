"""Finds targets by the entry points of the group `keyturn.targets`, and imports each one when it is first needed."""

from __future__ import annotations

import site
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from pydantic import BaseModel

import keyturn
from keyturn.core.errors import InputError
from keyturn.targets.base import Capabilities, Delayed, Target, TargetContext, WriteOnly

GROUP = "keyturn.targets"

EXTRAS = {
    "boto3": "aws",
    "cryptography": "github",
    "dotenv": "dotenv",
    "nacl": "github",
    "onepassword": "onepassword-sdk",
    "onepasswordconnectsdk": "onepassword",
}
"""The library that a target imports, and the extra of keyturn that installs it."""


class MissingLibrary(InputError):
    """The Python library of a kind of target is not installed."""


def kinds() -> tuple[str, ...]:
    """Return the installed kinds of target, sorted. Nothing is imported."""
    return tuple(sorted(_entries()))


def find(kind: str, base: str | Path = ".") -> type[Target]:
    """Return the class of a kind of target. Its settings model works without the vendor's library.

    `base` is the manifest's directory. A package there, or in the current directory, is not imported: it may have come
    with a checkout.

    Raises:
        InputError: there is no such kind, several packages offer it, it is not installed, or it is not a target that
            can be imported.
    """
    entry = _entry(kind)
    if place := _among_the_files(entry, base):
        raise InputError(
            f"the target of type {kind} is not used: its package is not installed, but lies among the files of the "
            "manifest or in the current directory",
            evidence=f"{_package(entry)} in {place}",
            remedy="If you trust it, install it into the Python environment of keyturn.",
        )
    try:
        found: type[Target] = entry.load()
    except ModuleNotFoundError as missing:
        raise _missing(kind, missing) from None
    except (ImportError, AttributeError) as error:
        why = type(error).__name__
    else:
        if _is_target(found, kind):
            return found
        needed = "capabilities and what they promise, settings_model and origin_mistakes"
        why = f"it is not a class with kind = {kind!r}, {needed}"
    raise InputError(
        f"the target of type {kind} cannot be used",
        evidence=f"{entry.value}: {why}",
        remedy=f"Update or uninstall {_package(entry)}.",
    )


def package(kind: str) -> str:
    """Return the name of the installed package that offers a kind. Raises InputError like `find`."""
    return _package(_entry(kind))


def make(kind: str, context: TargetContext) -> Target:
    """Make a target. No network is used yet.

    Raises:
        InputError: no such kind, invalid settings, or a forbidden origin.
        MissingLibrary: the vendor's library is not installed.
    """
    target = find(kind, context.base)
    try:
        return target(context)
    except ModuleNotFoundError as missing:
        raise _missing(kind, missing) from None


@cache
def _entries() -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for entry in entry_points(group=GROUP):
        found[entry.name] = (*found.get(entry.name, ()), entry)
    return found


def _entry(kind: str) -> EntryPoint:
    entries = _entries()
    if kind not in entries:
        near = get_close_matches(kind, entries, n=1)
        raise InputError(
            f"there is no target of type {kind!r}",
            evidence=f"there are {', '.join(sorted(entries)) or 'none'}",
            remedy=f"Did you mean {near[0]}?" if near else "",
        )
    # A package must not take the place of another one: it would receive the secrets of that one.
    if len({entry.value for entry in entries[kind]}) > 1:
        packages = sorted({_package(entry) for entry in entries[kind]})
        raise InputError(
            f"several packages offer a target of type {kind}",
            evidence=", ".join(packages),
            remedy="Uninstall all but the one that you trust.",
        )
    return entries[kind][0]


def _among_the_files(entry: EntryPoint, base: str | Path) -> str:
    """Return the folder of a package if it is below `base` or the current directory, and no folder of installs."""
    if entry.dist is None:
        return ""
    place = Path(str(entry.dist.locate_file(""))).resolve()
    folders = (*site.getsitepackages(), site.getusersitepackages(), str(Path(keyturn.__file__).parents[1]))
    if place in {Path(folder).resolve() for folder in folders}:
        return ""
    return str(place) if any(place.is_relative_to(Path(folder).resolve()) for folder in (base, ".")) else ""


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.module


def _is_target(found: object, kind: str) -> bool:
    settings = getattr(found, "settings_model", None)
    return (
        isinstance(found, type)
        and getattr(found, "kind", None) == kind
        and isinstance(getattr(found, "capabilities", None), Capabilities)
        and callable(getattr(found, "origin_mistakes", None))
        and isinstance(settings, type)
        and issubclass(settings, BaseModel)
        and complete(found)
    )


def complete(target: type) -> bool:
    """Tell whether a target has the methods that its capabilities promise."""
    can: Capabilities = target.capabilities  # type: ignore[attr-defined]
    marks = can.marks and issubclass(target, WriteOnly)
    return (can.reads or marks or not can.deliveries) and (not can.effect or issubclass(target, Delayed))


def _missing(kind: str, error: ModuleNotFoundError) -> MissingLibrary:
    library = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(library)
    return MissingLibrary(
        f"a target of type {kind} needs the Python library {library}, which is not installed",
        remedy=f"Install keyturn[{extra}], as its README says." if extra else f"Install {library}.",
    )
