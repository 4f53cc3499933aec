"""HashiCorp Vault and OpenBao: the KV engine, version 2.

A delivery is one field of a path; the other fields are kept. A document is a path with one field, `document`, which
holds JSON as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, Field

from keyturn.core.errors import Conflict, InputError, KeyturnError, TargetForbidden, TargetMisfit
from keyturn.core.origins import origin_of
from keyturn.core.secret import Secret
from keyturn.targets.base import (
    Capabilities,
    Document,
    Guard,
    TargetContext,
    Value,
    check_origins,
    check_path,
    merge,
    parse_settings,
    secret_of,
    unguarded,
    with_field,
)
from keyturn.targets.documents import DOCUMENT, refuse_document, refuse_null
from keyturn.targets.files import authority, authority_mistakes
from keyturn.targets.origins import origin_mistakes, prefix_mistakes, proxy_for
from keyturn.targets.places import Items, TargetSettings, flat, normal_origin, normal_path
from keyturn.targets.prepared import Prepared
from keyturn.targets.vault_login import AuthSettings, Login, PlainPath, namespace_mistakes

if TYPE_CHECKING:
    from keyturn.targets.vault_kv import Entry

NEEDED = frozenset({"create", "read", "update"})


class VaultSettings(TargetSettings):
    """Settings of a Vault or OpenBao server."""

    address: str = Field(description="Scheme, host and port of the server. Credentials are sent only to VAULT_ADDR.")
    mount: PlainPath = Field(default="secret", description="Mount of a KV engine, version 2.")
    namespace: PlainPath | None = Field(default=None, description="Namespace of the mount and of the login.")
    ca_cert: str = Field(default="", description="File of the certificate authority, unless VAULT_CACERT is set.")
    auth: AuthSettings = Field(default=AuthSettings(), description="How to log in.")

    def place(self, base: Path) -> Items:
        """Return all settings, with the address as an origin and the mount of the login."""
        normal = {
            "address": normal_origin(self.address),
            "ca_cert": normal_path(self.ca_cert, base) if self.ca_cert else "",
            "auth": {**self.auth.model_dump(), "mount": self.auth.path},
        }
        return flat(self.model_dump() | normal)

    def file_mistakes(self, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the certificate file is below the manifest's directory."""
        del environment
        return authority_mistakes("ca_cert", self.ca_cert, base)

    def store(self, base: Path) -> Items:
        """Return the address and the mount. A namespace is a part of the mount's path."""
        del base
        mount = f"{self.namespace}/{self.mount}" if self.namespace else self.mount
        return (("address", normal_origin(self.address)), ("mount", mount))


class VaultTarget:
    """A KV mount, version 2."""

    kind: ClassVar[str] = "vault"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True, versions=True, documents=True, whole_value=False, counts=True
    )
    settings_model: ClassVar[type[BaseModel]] = VaultSettings

    @classmethod
    def origin_mistakes(cls, settings: VaultSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield mistakes unless the address, the namespace and the mount of the login are those of the environment."""
        login, prefix = settings.auth, settings.auth.env_prefix
        found = [*origin_mistakes("address", settings.address, (f"{prefix}VAULT_ADDR",), environment, "vault")]
        found += prefix_mistakes("auth.env_prefix", prefix, environment)
        namespace = settings.namespace or ""
        yield from found or namespace_mistakes(settings.address, namespace, settings.mount, login, environment)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings, the origin and the certificate file."""
        settings = parse_settings(VaultSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        origin = origin_of(settings.address)
        base, variable = Path(context.base), f"{settings.auth.env_prefix}VAULT_CACERT"
        check_origins(settings.file_mistakes(base, context.environment), context)
        file, pem = authority(settings.ca_cert, variable, context.environment, base, f"target {context.name}")
        # What sends requests is imported only now: opening a target is the first use of the server.
        from keyturn.targets.vault_kv import KeyValue
        from keyturn.targets.vault_server import Endpoint, Server

        endpoint = Endpoint(
            origin=origin,
            namespace=settings.namespace or "",
            authority=str(file) if pem else "",
            proxy=proxy_for(origin, context.environment),
            request=context.request,
        )
        login = Login(settings.auth, context.environment, context.shown.get("auth.mount", ""))
        self._server = Server(endpoint, login, f"target {context.name}")
        shown = context.shown.get("mount", settings.mount)
        self._store = KeyValue(self._server, settings.mount, context.name, shown)
        self._prepared: Prepared[Entry] = Prepared()

    def read(self, path: str, field: str) -> Value:
        """Read a field. It is absent if the path was deleted; the version is then the one to write over."""
        entry = self._store.read(_place(path, field))
        return Value(self._held(entry, path, field), str(entry.version))

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Read a field of an earlier version. Return None if that version is gone."""
        _place(path, field)
        number = _number(version)
        return self._held(self._store.read(path, number), path, field) if number > 0 else None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Merge our field into the current fields, on exactly the version that was read."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Write the other fields without ours, or an empty version if none is left: a delete has no compare-and-set."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Rewrite the current fields; for an absent path, try a write that fails only its compare-and-set."""
        entry = self._store.read(_place(path, field))
        self._held(entry, path, field)
        if entry.fields is not None:
            if written := self._store.write(path, entry.fields, entry.version, unguarded):
                self._prepared.keep(path, written)
            return
        self.probe(path)

    def probe(self, path: str) -> None:
        """Try a write that fails only its compare-and-set, and query the capabilities. Nothing is changed."""
        self._store.probe_write(check_path(path), unguarded)
        may = self._store.capabilities(path)
        if may and "root" not in may and not may >= NEEDED:
            raise TargetForbidden(
                f"this login lacks {', '.join(sorted(NEEDED - may))}, which keyturn needs",
                where=self._store.where(path),
                evidence=f"it has {', '.join(sorted(may))}",
                remedy=self._store.policy(path, *sorted(NEEDED)),
            )

    def probe_document(self, path: str) -> None:
        """Do the same: a document is a path like any other."""
        self.probe(path)

    def whole_remedy(self, error: KeyturnError, deliveries: Iterable[str], documents: str) -> str:
        """Return all lines of the policy, if this error is about rights."""
        from keyturn.targets.vault_kv import HIDDEN, NoMount

        if not isinstance(error, NoMount | TargetForbidden):
            return ""
        needed = self._store.whole_policy(deliveries, documents)
        return f"{HIDDEN} {needed}" if isinstance(error, NoMount) else needed

    def read_document(self, path: str) -> Document:
        """Read a document."""
        entry = self._store.read(check_path(path))
        if entry.fields is None:
            if entry.version:
                raise self._deleted(path, entry)
            return Document(text=None, version="0")
        self._check_lasting(path, entry)
        text = entry.fields.get(DOCUMENT)
        if not isinstance(text, str):
            raise TargetMisfit(
                "this is not a keyturn document",
                where=self._store.where(path),
                evidence=f"its field {DOCUMENT} does not hold text",
                remedy="Nothing was changed. Use another prefix, or restore the document.",
            )
        return Document(text=text, version=str(entry.version))

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document. Raises TargetMisfit if the written version is set to be deleted."""
        entry = self._store.write(check_path(path), {DOCUMENT: text}, _number(version), guard)
        if entry is None:
            raise Conflict(
                "the document was modified concurrently",
                where=self._store.where(path),
                evidence=f"it is no longer at version {version}",
            )
        self._check_lasting(path, entry)
        return str(entry.version)

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents, including deleted ones."""
        return self._store.list(check_path(prefix))

    def check_documents(self, prefix: str) -> None:
        """Raise TargetMisfit if the mount deletes versions; TargetForbidden if its settings cannot be read."""
        check_path(prefix)
        after = self._store.vanishing()
        if after:
            raise TargetMisfit(
                "Vault would delete records in this mount",
                where=self._store.where(prefix),
                evidence=f"the mount's delete_version_after is {after}",
                remedy="Set it to 0s, or keep the records in another mount.",
            )
        self._store.list(prefix)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        """Set our field, or remove it if `secret` is None. Return the new version."""
        _place(path, field)

        def value(entry: Entry) -> Value:
            return Value(self._held(entry, path, field), str(entry.version))

        def write_over(entry: Entry) -> str | None:
            written = self._store.write(path, with_field(entry.fields or {}, field, secret), entry.version, guard)
            return str(written.version) if written else None

        read = self._prepared.reader(path, expected, lambda: self._store.read(path), value)
        return merge(read, write_over, field=field, secret=secret, expected=expected, where=self._store.where(path))

    def _held(self, entry: Entry, path: str, field: str) -> Secret | None:
        refuse_document(entry.fields or {}, self._store.where(path))
        refuse_null(entry.fields or {}, field, self._store.where(path))
        return secret_of((entry.fields or {}).get(field), field, self._store.where(path))

    def _deleted(self, path: str, entry: Entry) -> TargetMisfit:
        return TargetMisfit(
            "this document was deleted",
            where=self._store.where(path),
            evidence=f"version {entry.version} is {'destroyed' if entry.destroyed else 'deleted'}",
            remedy=(
                "Nothing was changed. Restore an earlier version: vault kv rollback."
                if entry.destroyed
                else f"Nothing was changed. Restore it: {self._store.undelete(path, entry.version)}"
            ),
        )

    def _check_lasting(self, path: str, entry: Entry) -> None:
        if entry.vanishes:
            raise TargetMisfit(
                "Vault will delete this document",
                where=self._store.where(path),
                evidence=f"version {entry.version} at {entry.vanishes}",
                remedy=(
                    "Set delete_version_after to 0s for the mount and for this path (vault kv metadata put), then "
                    f"type: {self._store.undelete(path, entry.version)}"
                ),
            )


def _place(path: str, field: str) -> str:
    if not field:
        raise InputError(
            "a delivery to Vault needs a field", where=path, evidence="a path of the KV engine consists of named fields"
        )
    return check_path(path)


def _number(version: str) -> int:
    """Return the version as Vault's number. For a version of another target, return -1, which matches nothing."""
    return int(version) if version.isdecimal() else -1
