"""A target for keyturn: a directory of JSON files, `<root>/<path>.json`; a delivery is one field of a file.

It shows everything that a target needs. It keeps no versions and holds no records. A lock serialises keyturn's own
writers. Other programs that edit the files do not take the lock, so this target does not claim compare-and-set.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, Field

from keyturn.targets.base import (
    Capabilities,
    Guard,
    InputError,
    Secret,
    TargetContext,
    TargetForbidden,
    TargetMisfit,
    TargetSettings,
    TargetUnavailable,
    Value,
    WithoutDocuments,
    WithoutServer,
    check_origins,
    check_path,
    merge,
    parse_settings,
    root_mistakes,
    secret_of,
    with_field,
)

Fields = dict[str, object]


class JsonDirectorySettings(TargetSettings):
    """The settings of such a target in a manifest; never a credential."""

    root: str = Field(description="The directory of the files, below that of the manifest.")

    def file_mistakes(self, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the operator permits the directory: a manifest may come from a pull request."""
        return root_mistakes("root", self.root, base, environment)


class JsonDirectory(WithoutDocuments, WithoutServer):
    """A directory of JSON files."""

    kind: ClassVar[str] = "json-directory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = JsonDirectorySettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings; nothing is read or created yet."""
        settings = parse_settings(JsonDirectorySettings, context)
        check_origins(settings.file_mistakes(Path(context.base), context.environment), context)
        self._root = Path(context.base, settings.root)
        self._name = context.name

    def read(self, path: str, field: str) -> Value:
        """Read a field."""
        with self._words(path):
            return Value(self._held(self._load(path, field), path, field))

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: no earlier version is kept."""
        del version
        self._file(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Replace exactly the expected value of our field, and keep all others."""
        self._change(path, field, secret, expected, guard)
        return ""

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Write the file without our field; do nothing if the field is absent."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Write the file again unchanged; if there is none, the lock proves that the directory can be written."""
        with self._locked(path, field):
            fields = self._load(path, field)
            self._held(fields, path, field)
            if fields is not None:
                self._store(path, field, fields)

    def close(self) -> None:
        """Do nothing: no file is open between two calls."""

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> None:
        def read() -> tuple[Value, Fields]:
            fields = self._load(path, field) or {}
            return Value(self._held(fields, path, field)), fields

        def write_over(fields: Fields) -> str:
            changed = with_field(fields, field, secret)
            guard()  # the last moment at which keyturn may say no
            self._store(path, field, changed)
            return ""  # no version is kept; None would mean: read and merge again

        with self._locked(path, field):
            merge(read, write_over, field=field, secret=secret, expected=expected, where=self._where(path))

    def _held(self, fields: Fields | None, path: str, field: str) -> Secret | None:
        return secret_of((fields or {}).get(field), field, self._where(path))

    def _load(self, path: str, field: str) -> Fields | None:
        try:
            found = json.loads(self._file(path, field).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            found = None  # raised below, outside the handler: the error holds the text of the file
        if isinstance(found, dict):
            return found
        raise TargetMisfit("this file holds no JSON object", where=self._where(path))

    def _store(self, path: str, field: str, fields: Fields) -> None:
        """Replace the file as a whole, readable by its owner only."""
        file = self._file(path, field)
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(fields, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)

    def _file(self, path: str, field: str) -> Path:
        if not field:
            raise InputError("a delivery to a JSON file needs a field", where=path)
        return self._root / f"{check_path(path)}.json"

    @contextmanager
    def _locked(self, path: str, field: str) -> Iterator[None]:
        self._file(path, field)
        with self._words(path):
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
                yield

    @contextmanager
    def _words(self, path: str) -> Iterator[None]:
        """Raise errors of the operating system as keyturn's own: no others may leave a target."""
        try:
            yield
        except PermissionError as error:
            failure: TargetForbidden | TargetUnavailable = TargetForbidden(
                "this file may not be read or written", where=self._where(path), evidence=type(error).__name__
            )
        except OSError as error:
            failure = TargetUnavailable(
                "this file cannot be read or written", where=self._where(path), evidence=type(error).__name__
            )
        else:
            return
        raise failure

    def _where(self, path: str) -> str:
        return f"target {self._name}, {path}"
