"""Records in a directory beside the manifest: for one machine, or on a file system that all machines share.

A document is one file, `<path>.json`, with `{"version": N, "document": "…"}`. A rename replaces it. `.<name>.lock`
beside it is locked during a compare-and-set. It is not empty after the first write, so that a lost document differs
from one that was never written.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from keyturn.core.errors import Conflict, InputError, TargetForbidden, TargetMisfit
from keyturn.targets.base import (
    Capabilities,
    Document,
    Guard,
    TargetContext,
    WithoutDeliveries,
    WithoutServer,
    check_path,
    parse_settings,
)
from keyturn.targets.folder import FOLDER, Spot, lock
from keyturn.targets.git_index import tracks
from keyturn.targets.places import TargetSettings

DIRECTORY = ".keyturn"
"""The directory of the records, beside the manifest."""

NEVER = "0"
"""The version of a document that was never written."""


class LocalSettings(TargetSettings):
    """A local directory has no settings."""


class _Stored(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)
    document: str


class LocalTarget(WithoutDeliveries, WithoutServer):
    """A directory of records; it holds no secrets."""

    kind: ClassVar[str] = "local"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True,
        versions=False,
        documents=True,
        deliveries=False,
        whole_value=False,
        shared=False,
        counts=True,
    )
    settings_model: ClassVar[type[BaseModel]] = LocalSettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings. Nothing is created yet."""
        parse_settings(LocalSettings, context)
        self._base = Path(context.base).resolve()
        self._root = self._base / DIRECTORY
        self._checked = False
        self._where = f"target {context.name}"
        self._request = context.request

    def read_document(self, path: str) -> Document:
        """Read a document without a lock: files are replaced as a whole."""
        file = self._file(path)
        with self._words(path):
            try:
                with self._spot(file, path) as spot:
                    content = spot.read()
            except FileNotFoundError:
                content = None
            if content is None:
                self._check_never_written(file, path)
                return Document(text=None, version=NEVER)
            try:
                stored = _Stored.model_validate_json(content)
            except ValidationError:
                raise self._misfit(path, "this file is not a keyturn document") from None
        return Document(text=stored.document, version=str(stored.version))

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write under the lock, durably, over exactly `version`."""
        file = self._file(path)
        with self._words(path):
            self._make_folder(file.parent)
            with self._locked(_lock_of(file), path) as marker, self._spot(file, path) as spot:
                before = spot.read()
                found = self.read_document(path)
                stored = _Stored(version=int(found.version) + 1, document=text)
                if found.version != version or not spot.replace(before, stored.model_dump_json().encode(), guard):
                    raise Conflict(
                        "the document was modified concurrently",
                        where=f"{self._where}, {path}",
                        evidence=f"it is no longer at version {version}",
                    )
                if found.version == NEVER:
                    os.write(marker, b"written\n")
        return str(stored.version)

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents, including those whose file was lost."""
        folder = self._file(prefix).with_name(prefix.rpartition("/")[2])
        with self._words(prefix):
            try:
                entries = list(folder.iterdir())
            except FileNotFoundError:
                return ()
            files = {entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json")}
            written = {
                entry.name.removeprefix(".").removesuffix(".lock")
                for entry in entries
                if entry.name.startswith(".") and entry.name.endswith(".lock") and entry.stat().st_size
            }
        return tuple(sorted(files | written))

    def check_documents(self, prefix: str) -> None:
        """Check the path. A directory does not delete files on its own."""
        self._file(prefix)

    def probe(self, path: str) -> None:
        """Refuse: it holds no secrets."""
        self._refuse_delivery(path, "")

    def probe_document(self, path: str) -> None:
        """Check that this user may write into the directory of a document, or into the nearest one that exists."""
        folder = self._file(path).parent
        there = next(one for one in (folder, *folder.parents) if one.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise TargetForbidden(
                "the directory of records is not writable",
                where=f"{self._where}, {there}",
                remedy="Allow this user to write it.",
            )

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _file(self, path: str) -> Path:
        self._check_untracked()
        place = self._root / check_path(path)
        self._check_root(path)
        folder = place.parent.resolve()
        if not folder.is_relative_to(self._root):
            raise InputError("the path leaves the directory of records", where=f"{self._where}, {path}")
        return folder / f"{place.name}.json"

    def _check_root(self, path: str) -> None:
        """Refuse a directory of records that is a symbolic link, or that another user has made."""
        with self._words(path):
            try:
                found = self._root.lstat()
            except FileNotFoundError:
                return
            owners = {os.geteuid(), self._base.stat().st_uid}
        if stat.S_ISLNK(found.st_mode) or found.st_uid not in owners:
            raise TargetMisfit(
                "this directory of records cannot be trusted",
                where=f"{self._where}, {self._root}",
                evidence="it is a symbolic link" if stat.S_ISLNK(found.st_mode) else "it belongs to another user",
                remedy="Nothing was read. Remove it, and keep the records in a directory of this user.",
            )

    def _check_untracked(self) -> None:
        """Raise InputError if git tracks the records: anyone who may commit could forge them."""
        if self._checked:
            return
        if tracks(self._base, DIRECTORY):
            raise InputError(
                "git tracks the records, so a commit could forge them",
                where=f"{self._where}, {self._root}",
                evidence="files of it are in the index of the checkout, or it has a checkout of its own",
                remedy="Nothing was read. Remove them from git and ignore them "
                f"(git rm -r --cached {DIRECTORY}), or keep the records in a shared target.",
            )
        self._checked = True

    def _make_folder(self, folder: Path) -> None:
        """Create a folder and its parents below our root, with access for this user only."""
        for one in (*reversed(folder.parents), folder):
            if one.is_relative_to(self._root):
                one.mkdir(mode=0o700, exist_ok=True)

    def _check_never_written(self, file: Path, path: str) -> None:
        lock = _lock_of(file)
        if lock.exists() and lock.stat().st_size and not file.exists():
            raise self._misfit(path, "this document was deleted", "Restore the file from a backup.")

    def _misfit(self, path: str, what: str, remedy: str = "") -> TargetMisfit:
        return TargetMisfit(what, where=f"{self._where}, {path}", remedy=f"Nothing was changed. {remedy}".strip())

    @contextmanager
    def _locked(self, file: Path, path: str) -> Iterator[int]:
        """Hold the lock. It ends with the process, so that a crash leaves no lock."""
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            lock(handle, self._request, "another process has locked this document", f"{self._where}, {path}")
            yield handle
        finally:
            os.close(handle)

    @contextmanager
    def _spot(self, file: Path, path: str) -> Iterator[Spot]:
        handle = os.open(file.parent, FOLDER)
        try:
            yield Spot(handle, file.name, f"{self._where}, {path}")
        finally:
            os.close(handle)

    @contextmanager
    def _words(self, path: str) -> Iterator[None]:
        """Turn errors of the operating system into ours."""
        try:
            yield
        except OSError as error:
            raise TargetMisfit(
                "the directory of records cannot be used",
                where=f"{self._where}, {path}",
                evidence=os.strerror(error.errno) if error.errno else type(error).__name__,
                remedy="Check that it is a directory that this user owns, and that the disk has space.",
            ) from None


def _lock_of(file: Path) -> Path:
    return file.with_name(f".{file.name.removesuffix('.json')}.lock")
