"""A place for the contract suite: a directory of records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from keyturn.targets.base import TargetContext
from keyturn.targets.local import LocalTarget
from tests.contract.places import Servers


class LocalPlace:
    """A directory `.keyturn`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def target(self) -> LocalTarget:
        """Return a new target."""
        return LocalTarget(TargetContext(name="local", settings={}, base=str(self.folder), request=10))

    def path(self) -> str:
        """Return a fresh path."""
        return f"keyturn/keys/{uuid4().hex}"

    def lose(self, path: str) -> None:
        """Delete the file."""
        (self.folder / ".keyturn" / f"{path}.json").unlink()


@contextmanager
def documents(servers: Servers) -> Iterator[LocalPlace]:
    """Open a place for documents."""
    yield LocalPlace(servers.folder)
