"""Places to test targets in: a real store, the target on it, and a way round the target into the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Protocol

from keyturn.targets.base import Delayed, Target, WriteOnly
from tests.cluster.control_plane import Cluster
from tests.support.moto import Moto
from tests.support.openbao import OpenBao

Fields = Mapping[str, object]


class Place(Protocol):
    """What every place offers. To add a target: one class, and one line in the tables of `conftest.py`."""

    def target(self) -> Target:
        """Return a new target on the same store."""

    def path(self) -> str:
        """Return a path that nothing was written to."""


class DeliveryPlace(Place, Protocol):
    """A place for deliveries.

    `others` are fields of every type that it can hold; `no_texts` are values that are no text, if it can hold any.
    """

    others: ClassVar[Fields]
    no_texts: ClassVar[Sequence[object]]

    def seed(self, path: str, fields: Fields) -> None:
        """Make the path hold exactly these fields."""

    def fields(self, path: str) -> Fields | None:
        """Return what the path holds, None where it is absent."""


class WriteOnlyTarget(Target, WriteOnly, Protocol):
    """A target whose values cannot be read."""


class DelayedTarget(WriteOnlyTarget, Delayed, Protocol):
    """One whose values take effect later than they are written."""


class WriteOnlyPlace(Protocol):
    """A place for deliveries that cannot be read back."""

    def target(self) -> WriteOnlyTarget:
        """Return a new target on the same store."""

    def reader(self) -> WriteOnlyTarget:
        """Return one whose login may read, and not write."""

    def path(self) -> str:
        """Return a path that nothing was written to."""

    def put(self, path: str, field: str, value: str) -> None:
        """Write a value as someone else does."""

    def held(self, path: str, field: str) -> str | None:
        """Return the value, None where it is absent."""

    def lose_an_answer(self) -> None:
        """Let the next write take effect, and its answer get lost."""


class DelayedPlace(WriteOnlyPlace, Protocol):
    """A place whose values take effect later."""

    def target(self) -> DelayedTarget:
        """Return a new target on the same store."""

    def roll_out(self, path: str, field: str, *, well: bool) -> None:
        """Bring what was written last into effect, or let that fail; after a failure, repair it."""


class DocumentPlace(Place, Protocol):
    """A place for documents."""

    def lose(self, path: str) -> None:
        """Delete a document behind keyturn's back."""


class Servers(Protocol):
    """What a place is made from; a server starts only when its place is asked for."""

    @property
    def openbao(self) -> OpenBao:
        """The OpenBao of the session."""

    @property
    def moto(self) -> Moto:
        """The AWS of the session."""

    @property
    def cluster(self) -> Cluster:
        """The Kubernetes of the session."""

    @property
    def folder(self) -> Path:
        """An empty directory for this test."""


Opener = Callable[[Servers], AbstractContextManager[Place]]
WriteOnlyOpener = Callable[[Servers], AbstractContextManager[WriteOnlyPlace]]
