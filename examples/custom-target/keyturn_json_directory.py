"""A target for keyturn: a directory of JSON files, `<root>/<path>.json`; a delivery is one field of a file.

It shows all that a target needs. It keeps no versions and holds no records. A lock keeps keyturn's own writers apart;
but whoever else edits the files does not take it, so this target does not claim to compare and set.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from keyturn.targets.base import (
    Capabilities,
    Guard,
    InputError,
    Secret,
    TargetContext,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
    Value,
    WithoutDocuments,
    WithoutServer,
    check_path,
    merge,
    parse_settings,
    secret_of,
)

Fields = dict[str, object]


class JsonDirectorySettings(BaseModel):
    """What a manifest may say of such a target; never a credential."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = Field(description="The directory of the files, beside the manifest or absolute.")


class JsonDirectory(WithoutDocuments, WithoutServer):
    """A directory of JSON files."""

    kind: ClassVar[str] = "json-directory"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = JsonDirectorySettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings; nothing is read or made yet."""
        self._root = Path(context.base, parse_settings(JsonDirectorySettings, context).root)
        self._name = context.name

    def read(self, path: str, field: str) -> Value:
        """Read a field."""
        with self._words(path):
            return Value(self._held(self._load(path, field), path, field))

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """None: no earlier version is kept."""
        del version
        self._file(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Write our field over exactly what was expected, and keep all others."""
        self._change(path, field, secret, expected, guard)
        return ""

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Write the file without our field; one that is absent is done."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Write what is there once more; where nothing is, the lock shows that the directory may be written."""
        with self._locked(path, field):
            fields = self._load(path, field)
            self._held(fields, path, field)
            if fields is not None:
                self._store(path, field, fields)

    def close(self) -> None:
        """Nothing is open between two calls."""

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> None:
        def read() -> tuple[Value, Fields]:
            fields = self._load(path, field) or {}
            return Value(self._held(fields, path, field)), fields

        def write_over(fields: Fields) -> str:
            changed = {name: value for name, value in fields.items() if name != field}
            if secret:
                changed[field] = secret.reveal()
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
            found = None  # said below, outside of the error, which holds the text of the file
        if isinstance(found, dict):
            return found
        raise TargetMisfit("this file holds no JSON object", where=self._where(path))

    def _store(self, path: str, field: str, fields: Fields) -> None:
        """Replace the file whole, readable by its owner alone."""
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
        """Say what the operating system said as keyturn's errors do: nothing else may leave a target."""
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
