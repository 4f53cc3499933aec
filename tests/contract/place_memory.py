"""A place for the contract suite: a small write-only target in memory, whose values take effect by a rollout."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from keyturn.targets.base import (
    Capabilities,
    Conflict,
    Effect,
    EffectState,
    Guard,
    InputError,
    Secret,
    TargetContext,
    TargetForbidden,
    TargetUnavailable,
    Value,
    WithoutDocuments,
    WithoutReading,
    WithoutServer,
    check_path,
    marker_of,
)
from tests.contract.places import Servers

Where = tuple[str, str]


@dataclass
class Store:
    """Values that nobody can read, each sealed differently at every write; what is in use, and what is on its way."""

    values: dict[Where, str] = field(default_factory=dict)
    sealed: dict[Where, str] = field(default_factory=dict)
    used: dict[Where, str] = field(default_factory=dict)
    failed: set[Where] = field(default_factory=set)
    silent: bool = False
    """The next write takes effect, and its answer is lost."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, where: Where, value: str) -> str:
        """Write a value and return its ciphertext."""
        self.values[where], self.sealed[where] = value, f"EV[{uuid4().hex}]"
        self.failed.discard(where)
        return self.sealed[where]


class Settings(BaseModel):
    """It has none."""

    model_config = ConfigDict(extra="forbid")


class MemoryTarget(WithoutServer, WithoutDocuments, WithoutReading):
    """A target on a store."""

    kind: ClassVar[str] = "memory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, shared=False, reads=False, marks=True, effect=True
    )
    settings_model: ClassVar[type[BaseModel]] = Settings

    def __init__(self, context: TargetContext, store: Store | None = None, *, may_write: bool = True) -> None:
        """Take the store, or make one."""
        del context
        self._store = store or Store()
        self._may_write = may_write

    def read(self, path: str, field: str) -> Value:
        """Return the marker."""
        return Value(None, marker_of(self._store.sealed.get(self._where(path, field), "")))

    def write_marked(self, path: str, field: str, secret: Secret, marker: str, guard: Guard) -> str:
        """Compare, and write."""
        where = self._where(path, field)
        with self._store.lock:
            self._compare(path, field, marker)
            guard()
            sealed = self._store.put(where, secret.reveal())
            if self._store.silent:
                self._store.silent = False
                raise TargetUnavailable("no answer", where=path, ambiguous=True)
            return marker_of(sealed)

    def remove_marked(self, path: str, field: str, marker: str, guard: Guard) -> None:
        """Compare, and remove."""
        where = self._where(path, field)
        with self._store.lock:
            if where not in self._store.sealed:
                return
            self._compare(path, field, marker)
            guard()
            del self._store.sealed[where], self._store.values[where]

    def preflight(self, path: str, field: str) -> None:
        """Look at the path, and at the right to write."""
        self._where(path, field)
        if not self._may_write:
            raise TargetForbidden("this login may not write", where=path)

    def effect(self, path: str, field: str, version: str) -> Effect:
        """Compare what is in use with what was written."""
        where = self._where(path, field)
        if self._store.used.get(where) == self._store.values.get(where):
            return Effect()
        if where in self._store.failed:
            return Effect(EffectState.FAILED, f"the rollout of {version[:4]} failed")
        return Effect(EffectState.PENDING, f"the rollout of {version[:4]} is under way")

    def consequence(self, path: str, field: str) -> str:
        """Say it."""
        return f"starts a rollout of {path}"

    def close(self) -> None:
        """Nothing is open."""

    def _where(self, path: str, field: str) -> Where:
        if not field:
            raise InputError("a field is required", where=path)
        return check_path(path), field

    def _compare(self, path: str, field: str, marker: str) -> None:
        if self.read(path, field).version != marker:
            raise Conflict("it was modified concurrently", where=f"{path}#{field}")


class MemoryPlace:
    """The store, and a way round the target."""

    def __init__(self) -> None:
        self.store = Store()

    def target(self) -> MemoryTarget:
        """Return a new target on the store."""
        return MemoryTarget(TargetContext(name="memory", settings={}), self.store)

    def reader(self) -> MemoryTarget:
        """Return a target that may only read."""
        return MemoryTarget(TargetContext(name="memory", settings={}), self.store, may_write=False)

    def path(self) -> str:
        """Return a fresh path."""
        return f"apps/{uuid4().hex}"

    def put(self, path: str, field: str, value: str) -> None:
        """Write as someone else does."""
        self.store.put((path, field), value)

    def held(self, path: str, field: str) -> str | None:
        """Return the value."""
        return self.store.values.get((path, field))

    def lose_an_answer(self) -> None:
        """Let the next write take effect without an answer."""
        self.store.silent = True

    def roll_out(self, path: str, field: str, *, well: bool) -> None:
        """End the rollout of what was written last."""
        if well:
            self.store.used[path, field] = self.store.values[path, field]
        else:
            self.store.failed.add((path, field))


@contextmanager
def place(servers: Servers) -> Iterator[MemoryPlace]:
    """Open a place."""
    del servers
    yield MemoryPlace()
