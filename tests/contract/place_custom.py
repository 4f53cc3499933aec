"""A place for the contract suite: the target of `examples/custom-target`, as a further one would be added."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar, cast
from uuid import uuid4

from keyturn.targets.base import Target, TargetContext
from tests.contract.place_vault import VaultPlace
from tests.contract.places import Fields, Servers

EXAMPLE = Path(__file__).parents[2] / "examples/custom-target"


@cache
def example() -> type[Target]:
    """Return the class of the example, which is not installed here."""
    found = importlib.util.spec_from_file_location("keyturn_json_directory", EXAMPLE / "keyturn_json_directory.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return cast("type[Target]", module.JsonDirectory)


class CustomPlace:
    """A directory of JSON files."""

    others: ClassVar[Fields] = VaultPlace.others
    no_texts: ClassVar[Sequence[object]] = VaultPlace.no_texts[:-1]
    """Its files are its own: null counts as absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def target(self) -> Target:
        """Return a new target."""
        return example()(TargetContext(name="files", settings={"root": "secrets"}, base=str(self.folder)))

    def path(self) -> str:
        """Return a fresh path."""
        return f"apps/{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Write the file, whatever is there."""
        self._file(path).parent.mkdir(parents=True, exist_ok=True)
        self._file(path).write_text(json.dumps(fields))

    def fields(self, path: str) -> Fields | None:
        """Read the file."""
        if not self._file(path).exists():
            return None
        fields: Fields = json.loads(self._file(path).read_text())
        return fields

    def _file(self, path: str) -> Path:
        return self.folder / f"secrets/{path}.json"


@contextmanager
def deliveries(servers: Servers) -> Iterator[CustomPlace]:
    """Open a place for deliveries."""
    yield CustomPlace(servers.folder)
