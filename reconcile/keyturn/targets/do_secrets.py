"""DigitalOcean Secrets Manager: deliveries and records in one region of the account.

A secret of the store is a flat map of texts with a version, and every write goes to exactly the version that was read.
The service is not generally available, so a manifest has to say `preview: true`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from keyturn.core.errors import Conflict, InputError, TargetMisfit
from keyturn.core.secret import Secret
from keyturn.targets.base import (
    Capabilities,
    Document,
    Guard,
    TargetContext,
    Value,
    WithoutServer,
    check_path,
    merge,
    parse_settings,
    secret_of,
    tries,
    unguarded,
    with_field,
)
from keyturn.targets.digitalocean_server import Server
from keyturn.targets.do_secrets_store import Entry, Store
from keyturn.targets.documents import DOCUMENT, refuse_document
from keyturn.targets.permitted_places import place_mistakes
from keyturn.targets.places import Items, TargetSettings
from keyturn.targets.prepared import Prepared

PATH = "path"
"""The value beside a document that says which one it is: its name has only a digest of the folder."""

_NAME = re.compile(r"[A-Za-z0-9][-_.A-Za-z0-9]*")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_ESCAPED = re.compile(r"-(-|[0-9a-f]{2})")


class DoSecretsSettings(TargetSettings):
    """Settings of one region of DigitalOcean Secrets Manager."""

    region: str = Field(pattern=r"^[a-z]{2,8}[0-9]{1,3}$", description="Region of the secrets.")
    preview: Literal[True] = Field(
        description="Has to be `true`: the service is not generally available, and its API may change."
    )

    def delivery_mistakes(self, path: str, field: str, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake for what cannot be a field of a secret, and for a secret that is not permitted.

        The account token reaches the secrets of every region.
        """
        try:
            _check(path, field)
        except InputError as error:
            error.where = "field" if error.where else "path"
            yield error
        yield from place_mistakes(DoSecretsTarget.kind, f"{self.region}/{path}", environment)

    def store(self, base: Path) -> Items:
        """Return the region."""
        del base
        return (("region", self.region),)


class DoSecretsTarget(WithoutServer):
    """The secrets of one region."""

    kind: ClassVar[str] = "do-secrets"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True, versions=False, documents=True, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = DoSecretsSettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings, and the origin that the environment names."""
        settings = parse_settings(DoSecretsSettings, context)
        self._server = Server(context.environment, context.request, f"target {context.name}")
        self._store = Store(self._server, settings.region, context.name)
        self._prepared: Prepared[Entry] = Prepared()

    def read(self, path: str, field: str) -> Value:
        """Read a field."""
        _check(path, field)
        return self._value(self._store.read(path), path, field)

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: the API lists earlier versions without their values."""
        del version
        _check(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Merge our field into the secret, on exactly the version that was read. Create the secret if there is none."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove the field; the secret stays. Whether an update keeps values that it omits is not documented: look."""
        self._change(path, field, None, expected, guard)
        if self.read(path, field).secret == expected:
            raise TargetMisfit(
                f"the field {field} is still there after it was removed",
                where=self._store.where(path),
                evidence="the API keeps values that an update omits",
                remedy="Remove it in the control panel.",
            )

    def preflight(self, path: str, field: str) -> None:
        """Write what is there, at its version. Of an absent secret, request one that the API has to refuse."""
        _check(path, field)
        for _ in tries():
            entry = self._store.read(path)
            self._value(entry, path, field)
            if entry.values is None:
                self._store.probe_create(path)
                return
            written = self._store.change(path, entry.version, entry.values, unguarded)
            if written is not None:
                self._prepared.keep(path, written)
                return
        raise Conflict("this secret keeps changing", where=self._store.where(path), remedy="Run again.")

    def read_document(self, path: str) -> Document:
        """Read a document."""
        name = _document_name(path)
        entry = self._found(name)
        if entry.deleted:
            raise TargetMisfit(
                "this document was deleted",
                where=self._store.where(name),
                evidence=f"it is {path}",
                remedy="Restore the secret in the control panel.",
            )
        if entry.values is None:
            return Document(text=None, version="0")
        text = entry.values.get(DOCUMENT)
        if entry.values.get(PATH) != path or not isinstance(text, str):
            raise TargetMisfit(
                "this is not a keyturn document",
                where=self._store.where(name),
                evidence=f"its {DOCUMENT} or {PATH}",
                remedy="Nothing was changed. Restore it, or use another region.",
            )
        return Document(text=text, version=str(entry.version))

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document over exactly `version`."""
        name = _document_name(path)
        values = {DOCUMENT: text, PATH: path}
        written: Entry | None = None
        if version == "0":
            written = self._store.create(name, values, guard)
        elif _VERSION.fullmatch(version):
            written = self._store.change(name, int(version), values, guard)
        if written is None:
            raise Conflict(
                "the document was modified concurrently",
                where=self._store.where(name),
                evidence=f"it is not at version {version}",
            )
        return str(written.version)

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents, including deleted ones. Raises TargetUnavailable if the list is incomplete."""
        folder = _folder(check_path(prefix))
        names = (name.removeprefix(folder) for name in self._store.list() if name.startswith(folder))
        return tuple(sorted(_ESCAPED.sub(_unescape, name) for name in names))

    def check_documents(self, prefix: str) -> None:
        """Raise TargetForbidden if the token may not list: nothing deletes secrets by itself."""
        self.list_documents(prefix)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _found(self, name: str) -> Entry:
        """Read the secret of a document. If it is not found but listed, it was deleted, or created a moment ago."""
        entry = self._store.read(name)
        if entry.values is not None or name not in self._store.list():
            return entry
        again = self._store.read(name)
        return again if again.values is not None else Entry(deleted=True)

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        _check(path, field)

        def value(entry: Entry) -> Value:
            return self._value(entry, path, field)

        def write_over(entry: Entry) -> str | None:
            values = with_field(entry.values or {}, field, secret)
            if entry.values is None:
                written = self._store.create(path, values, guard)
            else:
                written = self._store.change(path, entry.version, values, guard)
            return str(written.version) if written else None

        read = self._prepared.reader(path, expected, lambda: self._store.read(path), value)
        where = self._store.where(path)
        return merge(read, write_over, field=field, secret=secret, expected=expected, where=where)

    def _value(self, entry: Entry, path: str, field: str) -> Value:
        """Return the value of a field. Raises TargetMisfit for a document, a deleted secret, and a value not text."""
        where = self._store.where(path)
        refuse_document(entry.values, where)
        if entry.deleted:
            remedy = "Restore it in the control panel, or use another name."
            raise TargetMisfit("the deletion of this secret is requested", where=where, remedy=remedy)
        return Value(secret_of((entry.values or {}).get(field), field, where), str(entry.version))


def _check(path: str, field: str) -> None:
    """Raise InputError if this cannot be a field of a secret."""
    check_path(path)
    if not field:
        evidence = "a secret of DigitalOcean is a map of values"
        raise InputError("a delivery to DigitalOcean needs a field", where=path, evidence=evidence)
    if not _NAME.fullmatch(path):
        raise InputError(
            f"the path {path!r} is not the name of a secret",
            evidence="names have letters, digits, - _ and . and begin with a letter or a digit",
        )


def _document_name(path: str) -> str:
    """Return the name of the secret for a document: a digest of the folder, then the name with escapes.

    It has only lower-case letters, digits and -, as the names in the API's description: which others are allowed is not
    documented.
    """
    folder, _, name = check_path(path).rpartition("/")
    return _folder(folder) + re.sub("[^a-z0-9]", _escape, name)


def _folder(folder: str) -> str:
    return f"keyturn-{hashlib.sha256(folder.encode()).hexdigest()[:16]}-"


def _escape(found: re.Match[str]) -> str:
    return "--" if found[0] == "-" else f"-{ord(found[0]):02x}"


def _unescape(found: re.Match[str]) -> str:
    return "-" if found[1] == "-" else chr(int(found[1], 16))
