"""The interface of targets. A target holds secrets, documents, or both.

A target is found by its entry point in the group `keyturn.targets`; its class is called with a `TargetContext`. A third
party adds a target with a package that has such an entry point. It needs only this module of keyturn: `__all__` is the
public interface, and anything else may change without notice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from keyturn.core.effect import Effect, EffectState
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
from keyturn.targets.fields import named, secret_of, with_field
from keyturn.targets.files import root_mistakes
from keyturn.targets.origins import NoConsent, origin_mistakes, proxy_for
from keyturn.targets.places import TargetSettings
from keyturn.targets.write_only import Delayed, WithoutReading, WriteOnly, marker_of

__all__ = [
    "TRIES",
    "Capabilities",
    "Conflict",
    "CredentialError",
    "Delayed",
    "Document",
    "Effect",
    "EffectState",
    "Guard",
    "InputError",
    "NoConsent",
    "Secret",
    "Target",
    "TargetContext",
    "TargetError",
    "TargetForbidden",
    "TargetMisfit",
    "TargetSettings",
    "TargetUnavailable",
    "Value",
    "WithoutDeliveries",
    "WithoutDocuments",
    "WithoutReading",
    "WithoutServer",
    "WriteOnly",
    "check_origins",
    "check_path",
    "marker_of",
    "merge",
    "origin_mistakes",
    "parse_settings",
    "proxy_for",
    "root_mistakes",
    "secret_of",
    "tries",
    "unguarded",
    "with_field",
]

Guard = Callable[[], None]

SEGMENT = re.compile(r"[A-Za-z0-9_.@=+-]+")
TRIES = 5
"""How many times a write is tried if other fields of the path keep changing."""

Found = TypeVar("Found")
Settings = TypeVar("Settings", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind of target can do.

    `compare_and_set`: a write succeeds only on the version that was read. `versions`: an earlier value can be read
    back. `documents`: it can hold records and claims. `deliveries`: it can hold secrets. `whole_value`: a delivery may
    omit its field. `shared`: other machines see it too, so it can be the default for records. `counts`: the version of
    a document is a number, and each write adds one. `unique_versions`: two places never show the same version at the
    same time, whatever stores of this kind they are in. `reads`: a secret can be read back; if not, `marks` has to be
    set: every write changes a marker that can be read (`WriteOnly`). `effect`: consumers use a secret only after
    something that follows the write, such as a deployment (`Delayed`).
    """

    compare_and_set: bool
    versions: bool
    documents: bool
    deliveries: bool = True
    whole_value: bool = True
    shared: bool = True
    counts: bool = False
    unique_versions: bool = False
    reads: bool = True
    marks: bool = False
    effect: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a field or of a whole path. `secret` is None if absent; `version` is empty without versions.

    Of a write-only place `secret` is always None, and `version` is its marker, empty if the place is absent. `refuses`
    says why a write there is refused until an operator acts, such as for a component that is gone; a removal is not.
    """

    secret: Secret | None
    version: str = ""
    refuses: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A stored JSON text, or None if it was never written. A deleted document is an error, not None."""

    text: str | None
    version: str


@dataclass(frozen=True, slots=True)
class TargetContext:
    """The arguments of a target: its name, its settings (without credentials), the environment, a deadline.

    `environment` holds the credentials and the origins to which they may be sent. `request` is the deadline of one call
    in seconds. `base` is the manifest's directory, for targets that are files. `shown` holds settings as messages may
    show them: the name of a variable instead of its value.
    """

    name: str
    settings: Mapping[str, object]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    request: float = 30.0
    base: str = "."
    shown: Mapping[str, str] = field(default_factory=dict)


class Target(Protocol):
    """Holds secrets. Thread-safe. Raises only TargetError, CredentialError, Conflict and InputError."""

    kind: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    settings_model: ClassVar[type[BaseModel]]
    """A pydantic model of the settings with `extra="forbid"`. Its schema is part of the manifest's schema.

    `TargetSettings` is a base for it that says which place the settings name.
    """

    @classmethod
    def origin_mistakes(cls, settings: Any, environment: Mapping[str, str]) -> Iterable[InputError]:  # noqa: ANN401
        """Yield each reason not to send a credential to the addresses in `settings`, an instance of `settings_model`.

        The `where` of each mistake is the name of a setting. `NoConsent` means that another environment could allow it;
        any other mistake is wrong in every environment. No network is used, and the vendor's library may be missing.
        The manifest's parser calls this before a target is opened; `__init__` calls it before a request is sent
        (`check_origins`).
        """

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the origin. No network is used yet.

        Raises:
            InputError: invalid settings, or an origin to which no credential may be sent.
            ModuleNotFoundError: the vendor's library is missing; `registry.make` turns this into a message.
        """

    def read(self, path: str, field: str) -> Value:
        """Read a field of a path. An empty `field` means the whole value.

        An empty text counts as absent. Raises TargetMisfit if the value is not text. A write-only target returns the
        marker (see `Value`).
        """

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Read an earlier version. Return None if it is not kept."""

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Replace `expected` (None: absent) by `secret`, keep all other fields, and return the new version.

        If the field already holds `secret`, an earlier answer was lost: it is not written again, and its version is
        returned. `guard` is called immediately before each write is sent. Raises Conflict if the field is no longer
        `expected`. A concurrent change of another field is merged, at most five times. Raises
        TargetError(ambiguous=True) if a write was sent and its result is unknown. `merge` implements this loop.
        """

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove the field if it is still `expected`. Succeed if it is absent; raise Conflict otherwise."""

    def preflight(self, path: str, field: str) -> None:
        """Check that the path is readable and writable: rewrite its current value by compare-and-set.

        An absent path stays absent. Raises TargetForbidden or TargetMisfit, which name what is missing.
        """

    def read_document(self, path: str) -> Document:
        """Read a document. Raises TargetMisfit if it was deleted or is not a document."""

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document over exactly `version`, as `read_document` returned it.

        Returns the new version. Raises Conflict if the document is at another version.
        """

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """Return the names directly below a prefix; none if it does not exist."""

    def check_documents(self, prefix: str) -> None:
        """Raise TargetMisfit if the target would lose documents (for example through `delete_version_after`)."""

    def close(self) -> None:
        """Close connections."""


class WithoutDocuments:
    """Implements the document methods of a target that cannot hold records."""

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
            remedy="Use another target for `records:`.",
        )


class WithoutDeliveries:
    """Implements the delivery methods of a target that holds only records."""

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
    """Set a field to `secret` (None: remove it) if it is still `expected` (None: absent); return the path's version.

    This is the loop of `Target.write` and `Target.remove`: read, compare, merge, write over the version that was read.

    `read` returns the value of the field, and the state of the path for `write_over`. `write_over` calls the guard,
    keeps all other fields, and returns the new version, or None if the path changed after it was read. Then the path is
    read again, `TRIES` times in all, after `pause` seconds, doubled each time. If the field already is `secret`, an
    earlier answer was lost, and nothing is written.

    Raises:
        Conflict: the field is neither `secret` nor `expected`; or every try lost a race and `overtaken` is not given.
        KeyturnError: `overtaken`, if every try lost a race; any error of `read` and `write_over`.
    """
    for _ in tries(pause):
        value, found = read()
        if value.secret == secret:
            return value.version
        if value.secret != expected:
            raise Conflict(
                f"{named(field)} was modified concurrently",
                where=where,
                evidence=f"it is {'absent' if value.secret is None else 'another secret'}"
                + (f" at version {value.version}" if value.version else ""),
            )
        version = write_over(found)
        if version is not None:
            return version
    raise overtaken or Conflict(
        "other fields at this path keep changing",
        where=where,
        evidence=f"another write was faster {TRIES} times",
        remedy="Run again.",
    )


def tries(pause: float = 0.0) -> Iterator[int]:
    """Count the tries of one write from 0. Before each further one, wait `pause` seconds, doubled each time."""
    for number in range(TRIES):
        if number and pause:
            time.sleep(pause * 2 ** (number - 1))
        yield number


def unguarded() -> None:
    """Permit a write. This is the guard of `preflight`, which changes nothing and needs no lease."""


class WithoutServer:
    """Implements `origin_mistakes` of a target that sends no credential."""

    @classmethod
    def origin_mistakes(cls, settings: Any, environment: Mapping[str, str]) -> Iterable[InputError]:  # noqa: ANN401
        """Return no mistakes: there is no address."""
        del settings, environment
        return ()


def check_origins(mistakes: Iterable[InputError], context: TargetContext) -> None:
    """Raise the first of a target's `origin_mistakes` or `file_mistakes`, if there is one.

    Raises:
        InputError: the environment does not permit what the settings name.
    """
    for mistake in mistakes:
        mistake.where = f"target {context.name}, {mistake.where}"
        raise mistake


def parse_settings(model: type[Settings], context: TargetContext) -> Settings:
    """Return the settings as an instance of `model`.

    Raises:
        InputError: all mistakes, each with the name of its field and without its value.
    """
    try:
        return model.model_validate(dict(context.settings))
    except ValidationError as error:
        mistakes = "; ".join(
            f"{'.'.join(str(part) for part in mistake['loc']) or 'settings'}: {mistake['msg']}"
            for mistake in error.errors(include_url=False, include_input=False, include_context=False)
        )
    raise InputError("these settings are invalid", where=f"target {context.name}", evidence=mistakes)


def check_path(path: str) -> str:
    """Return `path` if every segment is plain: it becomes part of a URL or a file name.

    Raises:
        InputError: empty, an empty segment, `.`, `..`, or a character outside `A-Za-z0-9_.@=+-`.
    """
    for segment in path.split("/"):
        if segment in {"", ".", ".."} or not SEGMENT.fullmatch(segment):
            raise InputError(
                f"the path {path!r} is not allowed",
                evidence="a segment has one or more of A-Z a-z 0-9 _ . @ = + - and is not . or ..",
            )
    return path
