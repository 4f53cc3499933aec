"""Files of secrets below one directory: dotenv, JSON, or shell assignments."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field

from keyturn.core.errors import InputError, KeyturnError, TargetMisfit
from keyturn.core.secret import Secret
from keyturn.targets import json_text, shell_text
from keyturn.targets.base import (
    Capabilities,
    Document,
    Guard,
    TargetContext,
    Value,
    WithoutServer,
    check_origins,
    check_path,
    merge,
    parse_settings,
    secret_of,
)
from keyturn.targets.documents import refuse_document
from keyturn.targets.files import root_mistakes
from keyturn.targets.folder import opened
from keyturn.targets.local import DIRECTORY, LocalTarget
from keyturn.targets.places import Items, TargetSettings, flat, normal_path

T = TypeVar("T")

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MARK = "\ufeff"
"""The byte order mark with which some editors begin a file."""


class DotenvSettings(TargetSettings):
    """Settings of a directory of files."""

    root: str = Field(default=".", description="Directory of the files, below the manifest's directory.")
    format: Literal["dotenv", "json", "shell"] = Field(
        default="dotenv", description="Format of the files: for dotenv libraries, a JSON object, or assignments for sh."
    )

    def place(self, base: Path) -> Items:
        """Return all settings, with the real path of the directory."""
        return flat(self.model_dump() | {"root": normal_path(self.root, base)})

    def file_mistakes(self, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the directory is below the manifest's or a permitted one."""
        return root_mistakes("root", self.root, base, environment)

    def store(self, base: Path) -> Items:
        """Return the real path of the directory."""
        return (("root", normal_path(self.root, base)),)


@dataclass(frozen=True, slots=True)
class _Format:
    """Reads and changes one value in a text. Both raise ValueError without any of the text."""

    read: Callable[[str, str], object]
    change: Callable[[str, str, str | None], str]
    names: re.Pattern[str]


class DotenvTarget(WithoutServer):
    """A directory of files."""

    kind: ClassVar[str] = "dotenv"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True,
        versions=False,
        documents=True,
        whole_value=False,
        shared=False,
        counts=True,
        unique_versions=True,
    )
    settings_model: ClassVar[type[BaseModel]] = DotenvSettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings. Nothing is read or created yet."""
        settings = parse_settings(DotenvSettings, context)
        check_origins(settings.file_mistakes(Path(context.base), context.environment), context)
        self._root = Path(os.path.realpath(Path(context.base, settings.root)))
        self._format = _format(settings.format)
        self._name = context.name
        self._request = context.request
        self._records = LocalTarget(
            TargetContext(name=context.name, settings={}, base=str(self._root), request=context.request)
        )

    def read(self, path: str, field: str) -> Value:
        """Read a variable. No lock is needed, because files are replaced as a whole.

        The version is that of the file, by whatever path it is reached.
        """
        where = self._place(path, field)
        with opened(self._root, path, where) as spot:
            return Value(self._held(_decoded(spot.read() or b"", where), field, where), spot.version())

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: a file keeps no earlier versions."""
        del version
        self._place(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Change our variable under the lock if it is still `expected`."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove our variable. The file stays."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Write the file's content to a new file in its directory, as a change would, and remove the new file."""
        where = self._place(path, field)
        with opened(self._root, path, where) as spot, spot.locked(self._request):
            content = spot.read() or b""
            self._held(_decoded(content, where), field, where)
            spot.try_out(content)

    def probe(self, path: str) -> None:
        """Write the file's content to a new file in its directory, and remove the new file."""
        where = f"target {self._name}, {check_path(path)}"
        with opened(self._root, path, where) as spot, spot.locked(self._request):
            spot.try_out(spot.read() or b"")

    def probe_document(self, path: str) -> None:
        """Check the directory of the records."""
        self._records.probe_document(path)

    def read_document(self, path: str) -> Document:
        """Read a document."""
        return self._records.read_document(path)

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document."""
        return self._records.write_document(path, text, version, guard)

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents."""
        return self._records.list_documents(prefix)

    def check_documents(self, prefix: str) -> None:
        """Check the path."""
        self._records.check_documents(prefix)

    def close(self) -> None:
        """Do nothing: no file is kept open."""

    def _place(self, path: str, field: str) -> str:
        """Check path and field; return the location for messages."""
        where = f"target {self._name}, {check_path(path)}"
        if DIRECTORY in path.split("/"):
            raise InputError(f"the directory {DIRECTORY} is reserved for records", where=where)
        if not self._format.names.fullmatch(field):
            raise InputError(
                "a delivery to a file needs the name of a variable as its field",
                where=where,
                evidence=f"{field!r} is not a name" if field else "it has no field",
                remedy="Use letters, digits and _, and do not start with a digit.",
            )
        return where

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        """Set our variable, or remove it if `secret` is None. Return the file's version.

        Other keyturn processes wait for the lock. A change by another program is noticed until immediately before the
        rename; a change during the rename is lost.
        """
        where = self._place(path, field)
        with opened(self._root, path, where) as spot, spot.locked(self._request):

            def read() -> tuple[Value, tuple[bytes | None, str]]:
                content = spot.read()
                text = _decoded(content or b"", where)
                return Value(self._held(text, field, where), spot.version()), (content, text)

            def write_over(found: tuple[bytes | None, str]) -> str | None:
                content, text = found
                fresh = self._changed(text, field, secret, where)
                return spot.version() if spot.replace(content, _encoded(fresh, where), guard) else None

            return merge(read, write_over, field=field, secret=secret, expected=expected, where=where)

    def _changed(self, text: str, field: str, secret: Secret | None, where: str) -> str:
        mark = MARK if text.startswith(MARK) else ""
        value = secret.reveal() if secret else None
        return mark + self._as_misfit(lambda: self._format.change(text.removeprefix(MARK), field, value), where)

    def _held(self, text: str, field: str, where: str) -> Secret | None:
        refuse_document(text.removeprefix(MARK), where)
        value = self._as_misfit(lambda: self._format.read(text.removeprefix(MARK), field), where)
        if isinstance(value, str) and not _is_utf8(value):
            raise TargetMisfit(
                f"the field {field} does not hold text",
                where=where,
                evidence="it is not UTF-8",
                remedy="Use another name, or remove this one.",
            )
        return secret_of(value, field, where)

    def _as_misfit(self, ask: Callable[[], T], where: str) -> T:
        failure: KeyturnError
        try:
            return ask()
        except ValueError as error:
            failure = TargetMisfit(
                "this file cannot be changed safely",
                where=where,
                evidence=str(error),
                remedy="Nothing was changed. Fix the file, or use another.",
            )
        raise failure


def _format(name: str) -> _Format:
    if name == "json":
        return _Format(_read_json, _change_json, re.compile(r".+", re.DOTALL))
    if name == "shell":
        return _Format(shell_text.read, shell_text.changed, IDENTIFIER)
    # Import the library only now, when a dotenv file is used.
    from keyturn.targets import dotenv_text

    return _Format(dotenv_text.read, dotenv_text.changed, IDENTIFIER)


def _read_json(text: str, field: str) -> object:
    found = json_text.members(text) if text.strip() else ()
    value = next((member.value for member in found if member.name == field), "")
    if value is None:
        raise ValueError(f"the field {field} does not hold text: it is a JSON null")
    return value


def _change_json(text: str, field: str, value: str | None) -> str:
    return json_text.changed(text if text.strip() else "{}\n", field, value)


def _decoded(content: bytes, where: str) -> str:
    """Return bytes as text. Bytes that are not UTF-8 are preserved."""
    if b"\0" in content:
        raise TargetMisfit("this is not a text file", where=where)
    return content.decode(errors="surrogateescape")


def _encoded(text: str, where: str) -> bytes:
    with_lone = re.search("[\ud800-\udc7f\udd00-\udfff]", text)
    if with_lone or "\0" in text:
        raise TargetMisfit("this secret cannot be written as UTF-8 text", where=where)
    return text.encode(errors="surrogateescape")


def _is_utf8(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)
