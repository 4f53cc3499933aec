"""Places for the contract suite: directories of dotenv files, of JSON files and of files for a shell."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from dotenv import dotenv_values

from keyturn.targets.base import TargetContext
from keyturn.targets.dotenv import DotenvTarget
from tests.contract.place_vault import VaultPlace
from tests.contract.places import Fields, Servers


def context(folder: Path, **settings: object) -> TargetContext:
    """Return what a target on this directory is made from."""
    return TargetContext(name="files", settings={"root": "secrets", **settings}, base=str(folder), request=10)


class DotenvPlace:
    """A directory of dotenv files; consumers read them with python-dotenv."""

    form: ClassVar[str] = "dotenv"
    others: ClassVar[Fields] = {
        "TEXT": "kept",
        "BLANKS": " a  b ",
        "QUOTES": "\"'\\",
        "DOLLAR": "$HOME",
        "LINES": "a\nb",
    }
    no_texts: ClassVar[Sequence[object]] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "secrets"
        (self.root / "apps").mkdir(parents=True)

    def target(self) -> DotenvTarget:
        """Return a new target."""
        return DotenvTarget(context(self.folder, format=self.form))

    def path(self) -> str:
        """Return a fresh path."""
        return f"apps/{uuid4().hex}.env"

    def seed(self, path: str, fields: Fields) -> None:
        """Write as an operator would, quotes and all."""
        quoted = {name: str(value).replace("\\", "\\\\").replace("'", "\\'") for name, value in fields.items()}
        (self.root / path).write_text("# by hand\n" + "".join(f"{name}='{text}'\n" for name, text in quoted.items()))

    def fields(self, path: str) -> Fields | None:
        """Read as consumers do."""
        file = self.root / path
        return dict(dotenv_values(file)) if file.exists() else None

    def lose(self, path: str) -> None:
        """Delete the file of a record."""
        (self.root / ".keyturn" / f"{path}.json").unlink()


class JsonPlace(DotenvPlace):
    """A directory of JSON files."""

    form = "json"
    others = VaultPlace.others
    no_texts = VaultPlace.no_texts

    def seed(self, path: str, fields: Fields) -> None:
        """Write as an editor would."""
        (self.root / path).write_text(json.dumps(fields, indent=2) + "\n")

    def fields(self, path: str) -> Fields | None:
        """Read."""
        file = self.root / path
        fields: Fields | None = json.loads(file.read_text()) if file.exists() else None
        return fields


class ShellPlace(DotenvPlace):
    """A directory of files that a shell sources."""

    form = "shell"

    def seed(self, path: str, fields: Fields) -> None:
        """Write as an operator would."""
        (self.root / path).write_text(
            "# by hand\n" + "".join(f"export {name}={shlex.quote(str(value))}\n" for name, value in fields.items())
        )

    def fields(self, path: str) -> Fields | None:
        """Let `sh` source it, and take what its children get."""
        file = self.root / path
        if not file.exists():
            return None
        done = subprocess.run(
            ["/bin/sh", "-c", '. "$1" && exec env -0', "sh", file], env={}, capture_output=True, timeout=30, check=True
        )
        found = dict(pair.split("=", 1) for pair in done.stdout.decode().split("\0") if pair)
        return {name: value for name, value in found.items() if name not in {"PWD", "OLDPWD", "SHLVL", "_"}}


@contextmanager
def dotenv(servers: Servers) -> Iterator[DotenvPlace]:
    """Open a place for deliveries and documents."""
    yield DotenvPlace(servers.folder)


@contextmanager
def json_files(servers: Servers) -> Iterator[DotenvPlace]:
    """Open a place for deliveries."""
    yield JsonPlace(servers.folder)


@contextmanager
def shell(servers: Servers) -> Iterator[DotenvPlace]:
    """Open a place for deliveries."""
    yield ShellPlace(servers.folder)
