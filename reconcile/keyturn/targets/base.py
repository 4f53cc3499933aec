"""What a target is: a place that holds secrets, and perhaps documents.

A target is found by its entry point in the group `keyturn.targets`; its class is called with a `TargetContext`.
Third parties add one by a package with such an entry point. This module is all of keyturn that they need; `__all__` is
the public surface, and everything else may change without notice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from keyturn.core.errors import (
    Conflict,
    CredentialError,
    InputError,
    KeyturnError,
    TargetError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.secret import Secret
from keyturn.targets.origins import NoConsent, origin_mistakes, proxy_for

__all__ = [
    "TRIES",
    "Capabilities",
    "Conflict",
    "CredentialError",
    "Document",
    "Guard",
    "InputError",
    "NoConsent",
    "Secret",
    "Target",
    "TargetContext",
    "TargetError",
    "TargetForbidden",
    "TargetMisfit",
    "TargetUnavailable",
    "Value",
    "WithoutDeliveries",
    "WithoutDocuments",
    "WithoutServer",
    "check_origins",
    "check_path",
    "merge",
    "origin_mistakes",
    "parse_settings",
    "proxy_for",
    "secret_of",
    "tries",
    "unguarded",
]

Guard = Callable[[], None]

SEGMENT = re.compile(r"[A-Za-z0-9_.@=+-]+")
TRIES = 5
"""How often a write is tried in all when other fields of the place keep changing."""

Found = TypeVar("Found")
Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of target can do.

    `compare_and_set`: a write lands only on what was read; `versions`: an earlier value can be read back;
    `documents`: can hold records and claims; `deliveries`: can hold secrets; `whole_value`: a delivery may leave its
    field out; `shared`: other machines see it, too, so that records may go there without being told to.
    """

    compare_and_set: bool
    versions: bool
    documents: bool
    deliveries: bool = True
    whole_value: bool = True
    shared: bool = True


@dataclass(frozen=True, slots=True)
class Value:
    """What a place holds: None if the field, or the whole value, is absent; `version` is empty if none is kept."""

    secret: Secret | None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A stored JSON text; None if there never was one. A deleted one is an error, not None."""

    text: str | None
    version: str


@dataclass(frozen=True, slots=True)
class TargetContext:
    """What a target is made from: its name, its settings (already free of credentials), the environment, a deadline.

    `environment` is where credentials are read from, and what says where they may go; `request` is the deadline of
    one call in seconds; `base` is the manifest's directory, for targets that are files.
    """

    name: str
    settings: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    request: float = 30.0
    base: str = "."


class Target(Protocol):
    """Holds secrets. Thread-safe. Raises only TargetError, CredentialError, Conflict and InputError."""

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    settings_model: ClassVar[type[BaseModel]]
    """A pydantic model of the settings, `extra="forbid"`; its schema is part of the manifest's."""

    @classmethod
    def origin_mistakes(cls, settings: Any, environment: Mapping[str, str]) -> Iterable[InputError]:  # noqa: ANN401
        """Yield what forbids that a credential goes to the addresses in `settings`, an instance of `settings_model`.

        The `where` of each mistake is the name of a setting. What the environment can allow is `NoConsent`: all else
        is wrong in every environment. No network; the vendor's library may be missing. The manifest's reading calls
        this before anything is opened, and `__init__` calls it before anything is sent (`check_origins`).
        """

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the origin; no network yet.

        Raises:
            InputError: settings that do not fit, an origin that no credential may go to.
            ModuleNotFoundError: the vendor's library is missing; `registry.make` words it.
        """

    def read(self, path: str, field: str) -> Value:
        """Read a place; `field` empty means the whole value.

        An empty text counts as absent. Raises TargetMisfit if the field holds something that is no text.
        """

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Read an earlier version; None if none is kept."""

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Replace `expected` (None: absent) by `secret`, keep all other fields, return the new version.

        A field that holds `secret` already is left as it is (an earlier answer was lost): its version is returned.
        `guard` is called right before the bytes of each write go out. Raises Conflict if the field no longer is
        `expected`; a concurrent change of another field is merged, five times at most. TargetError(ambiguous=True) if
        a write was sent and its fate is unknown. `merge` is this loop.
        """

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove the field if it still is `expected`; absent is done; Conflict otherwise."""

    def preflight(self, path: str, field: str) -> None:
        """Show that the place is readable and writable: rewrite its present content by compare-and-set.

        An absent place stays absent. Raises TargetForbidden or TargetMisfit naming what is missing.
        """

    def read_document(self, path: str) -> Document:
        """Read a document; raises TargetMisfit if it was deleted, or is no document."""

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document over exactly `version` (of a never-written one: what read_document gave).

        Returns the new version. Raises Conflict if it is at another one.
        """

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """Return the names below a prefix, without sub-folders; none if it does not exist."""

    def check_documents(self, prefix: str) -> None:
        """Raise TargetMisfit if this place would lose documents (for example by `delete_version_after`)."""

    def close(self) -> None:
        """Close connections."""


class WithoutDocuments:
    """What a target that cannot hold records answers."""

    kind: ClassVar[str]

    def read_document(self, path: str) -> Document:
        """Refuse."""
        self._refuse_document(path)

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Refuse."""
        del text, version, guard
        self._refuse_document(path)

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """Refuse."""
        self._refuse_document(prefix)

    def check_documents(self, prefix: str) -> None:
        """Refuse."""
        self._refuse_document(prefix)

    def _refuse_document(self, path: str) -> NoReturn:
        raise TargetMisfit(
            f"a target of type {self.kind} cannot hold records",
            where=path,
            evidence="records need compare-and-set",
            remedy="Name another target under `records:`.",
        )


class WithoutDeliveries:
    """What a target that holds only records answers."""

    kind: ClassVar[str]

    def read(self, path: str, field: str) -> Value:
        """Refuse."""
        self._refuse_delivery(path, field)

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Refuse."""
        del version
        self._refuse_delivery(path, field)

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Refuse."""
        del secret, expected, guard
        self._refuse_delivery(path, field)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Refuse."""
        del expected, guard
        self._refuse_delivery(path, field)

    def preflight(self, path: str, field: str) -> None:
        """Refuse."""
        self._refuse_delivery(path, field)

    def _refuse_delivery(self, path: str, field: str) -> NoReturn:
        raise TargetMisfit(
            f"a target of type {self.kind} holds records, not secrets",
            where=f"{path}#{field}",
            remedy="Deliver to another target.",
        )


def merge(
    read: Callable[[], tuple[Value, Found]],
    write_over: Callable[[Found], str | None],
    *,
    field: str,
    secret: Secret | None,
    expected: Secret | None,
    where: str,
    pause: float = 0.0,
    overtaken: KeyturnError | None = None,
) -> str:
    """Set a field to `secret` (None: remove it) if it still is `expected` (None: absent); return the place's version.

    This is the loop of `Target.write` and `Target.remove`: read, compare, merge, write over exactly what was read.

    `read` returns what the field holds, and whatever `write_over` needs to know of the place. `write_over` calls the
    guard, writes all other fields as they were, and returns the new version, or None if the place changed after it was
    read: then it is read again, `TRIES` times in all, after `pause` seconds and twice as long each further time.
    A field that is `secret` already is left alone: an earlier answer was lost.

    Raises:
        Conflict: the field is neither `secret` nor `expected`; or every try was overtaken, unless `overtaken` is given.
        KeyturnError: `overtaken`, if every try was overtaken; whatever `read` and `write_over` raise.
    """
    for _ in tries(pause):
        value, found = read()
        if value.secret == secret:
            return value.version
        if value.secret != expected:
            raise Conflict(
                f"{_named(field)} was modified concurrently",
                where=where,
                evidence=f"it is {'absent' if value.secret is None else 'another secret'}"
                + (f" at version {value.version}" if value.version else ""),
            )
        version = write_over(found)
        if version is not None:
            return version
    raise overtaken or Conflict(
        "the other fields of this place keep changing",
        where=where,
        evidence=f"{TRIES} writes were overtaken",
        remedy="Run again.",
    )


def tries(pause: float = 0.0) -> Iterator[int]:
    """Count the tries of one write from 0; before each further one wait `pause` seconds, twice as long each time."""
    for number in range(TRIES):
        if number and pause:
            time.sleep(pause * 2 ** (number - 1))
        yield number


def secret_of(value: object, field: str, where: str) -> Secret | None:
    """Return what a field holds as a secret; None if it is absent or empty.

    Raises:
        TargetMisfit: it holds something that is no text; the value is not repeated.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return Secret(value)
    raise TargetMisfit(
        f"{_named(field)} holds no text",
        where=where,
        evidence=f"it is a JSON {type(value).__name__}",
        remedy="Use another field, or remove this one.",
    )


def unguarded() -> None:
    """Let a write pass: the guard of `preflight`, which changes nothing and so needs no lease."""


class WithoutServer:
    """What a target that sends its credential nowhere answers."""

    @classmethod
    def origin_mistakes(cls, settings: Any, environment: Mapping[str, str]) -> Iterable[InputError]:  # noqa: ANN401
        """Return none: there is no address."""
        del settings, environment
        return ()


def check_origins(mistakes: Iterable[InputError], context: TargetContext) -> None:
    """Raise the first of a target's `origin_mistakes`, if there is one.

    Raises:
        InputError: no credential may go to an address of the settings.
    """
    for mistake in mistakes:
        mistake.where = f"target {context.name}, {mistake.where}"
        raise mistake


def parse_settings(model: type[Settings], context: TargetContext) -> Settings:
    """Return the settings as `model`.

    Raises:
        InputError: every mistake, with the name of its field and without its value.
    """
    try:
        return model.model_validate(dict(context.settings))
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in mistake['loc']) or 'settings'}: {mistake['msg']}"
            for mistake in error.errors(include_url=False, include_input=False, include_context=False)
        )
    raise InputError("these settings do not fit", where=f"target {context.name}", evidence=mistakes)


def check_path(path: str) -> str:
    """Return `path` if every segment is plain; a path reaches a URL or a file name.

    Raises:
        InputError: empty, an empty segment, `.`, `..`, or a character outside `A-Za-z0-9_.@=+-`.
    """
    for segment in path.split("/"):
        if segment in {"", ".", ".."} or not SEGMENT.fullmatch(segment):
            raise InputError(
                f"the path {path!r} may not be used",
                evidence="each segment is one or more of A-Z a-z 0-9 _ . @ = + - and none is . or ..",
            )
    return path


def _named(field: str) -> str:
    return f"the field {field}" if field else "the value"
