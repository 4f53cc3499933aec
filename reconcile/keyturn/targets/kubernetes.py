"""Kubernetes: the Secrets of a cluster.

A delivery is one key of a Secret; the other keys are kept. A record or a claim is a Secret of a type of its own. Every
write goes to exactly the version that was read, and the preflight is a dry run, which the server judges like a write.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from keyturn.core.errors import Conflict, InputError, TargetMisfit
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
    tries,
    unguarded,
)
from keyturn.targets.documents import DOCUMENT, refuse_document
from keyturn.targets.kubernetes_login import IN_CLUSTER, login, login_mistakes, server_of
from keyturn.targets.kubernetes_secrets import Entry, Place, Secrets, encoded
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.origins import proxy_for
from keyturn.targets.places import Items, TargetSettings, flat, normal_origin
from keyturn.targets.prepared import Prepared
from keyturn.targets.rest import Endpoint

OPAQUE = "Opaque"
RECORD = "keyturn.dev/record"
"""The type of Secrets that hold a record or a claim; also their finalizer, so that a deleted one does not vanish."""

PATH, SERIAL = "keyturn.dev/path", "keyturn.dev/serial"
FOLDER = "keyturn.dev/folder"
MANAGED = {"app.kubernetes.io/managed-by": "keyturn"}
ALLOW = "keyturn.dev/allow"
"""Annotation of a Secret that keyturn did not make: the names, separated by commas, for which it may be written."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST = 253
"""Characters of a name and of a key ("Object Names and IDs", "Secrets" in the documentation of Kubernetes)."""
_KEY = re.compile(rf"(?!\.\.)(?!\.\Z)[-._a-zA-Z0-9]{{1,{_LONGEST}}}")
_SERIAL = re.compile(r"[1-9][0-9]{0,17}")

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class KubernetesSettings(TargetSettings):
    """Settings of a cluster."""

    address: str = Field(
        default=IN_CLUSTER,
        description="Scheme, host and port of the API server. Default: the cluster of the pod that keyturn runs in. A "
        "credential is sent only there: it is that of the pod, or of the context of KUBECONFIG with this server.",
    )
    namespace: Namespace = Field(description="Namespace of the Secrets. A path is the name of a Secret in it.")
    writers: dict[str, str] | None = Field(
        default=None,
        description="By `NAME#FIELD`: the name that the annotation `keyturn.dev/allow` of a Secret has to list before "
        "this field is written, unless keyturn made the Secret. `keyturn operator` sets it. Default: each Secret may "
        "be written.",
    )

    def place(self, base: Path) -> Items:
        """Return all settings, with the address as an origin."""
        del base
        return flat(self.model_dump() | {"address": normal_origin(self.address)})

    def store(self, base: Path) -> Items:
        """Return the address and the namespace."""
        del base
        return flat({"address": normal_origin(self.address), "namespace": self.namespace})


class KubernetesTarget:
    """The Secrets of one namespace."""

    kind: ClassVar[str] = "kubernetes"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True, versions=False, documents=True, whole_value=False, counts=True, unique_versions=True
    )
    settings_model: ClassVar[type[BaseModel]] = KubernetesSettings

    @classmethod
    def origin_mistakes(cls, settings: KubernetesSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield mistakes unless the pod or a permitted context of KUBECONFIG has a credential for the address."""
        return login_mistakes("address", settings.address, environment)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the origin."""
        settings = parse_settings(KubernetesSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        origin = server_of(settings.address, context.environment)
        self._server = Server(
            Endpoint(origin, proxy_for(origin, context.environment), context.request),
            login(settings.address, context.environment, context.request),
            f"target {context.name}",
        )
        self._secrets = Secrets(self._server, context.name)
        self._namespace = settings.namespace
        self._writers = settings.writers
        self._prepared: Prepared[Entry] = Prepared()
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[str, str]] = {}

    def read(self, path: str, field: str) -> Value:
        """Read a field."""
        place = self._place(path, field)
        entry = self._secrets.read(place)
        return Value(self._held(entry, place, field), entry.version)

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: Kubernetes keeps no earlier versions."""
        del version
        self._place(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Merge our field into the Secret, on exactly the version that was read. Create the Secret if there is none."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove the field. The Secret stays, even without fields: a pod may mount it."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Try the write as a dry run, with a random value.

        A dry run that changes nothing is accepted even where a write is not.
        """
        place = self._place(path, field)
        for _ in tries():
            entry = self._secrets.read(place)
            self._held(entry, place, field)
            if self._written(place, entry, field, Secret(secrets.token_hex(16)), unguarded, dry=True):
                self._prepared.keep(path, entry)
                return
        raise Conflict("this Secret keeps changing", where=self._secrets.where(place), remedy="Run again.")

    def read_document(self, path: str) -> Document:
        """Read a document."""
        place = self._record(path)
        entry = self._secrets.read(place)
        if entry.data is None:
            return Document(text=None, version="0")
        text, serial = self._document(entry, place, path)
        with self._lock:
            self._seen[path] = (serial, entry.version)
        return Document(text=text, version=serial)

    def write_document(self, path: str, text: str, version: str, guard: Guard) -> str:
        """Write a document over exactly `version`: a serial number that each write raises by one."""
        place = self._record(path)
        serial = str(int(version) + 1) if _SERIAL.fullmatch(version) or version == "0" else ""
        metadata: dict[str, object] = {"annotations": {PATH: path, SERIAL: serial}}
        content = {"metadata": metadata, "data": {DOCUMENT: encoded(text)}}
        written: Entry | None = None
        if version == "0":
            metadata |= {"labels": {**MANAGED, FOLDER: _hash(path.rpartition("/")[0])}, "finalizers": [RECORD]}
            written = self._secrets.create(place, {**content, "type": RECORD}, guard)
        elif serial and (resource := self._resource_version(path, place, version)):
            written = self._secrets.change(place, resource, content, guard)
        if written is None:
            raise Conflict(
                "the document was modified concurrently",
                where=self._secrets.where(place),
                evidence=f"it is not at version {version}",
            )
        with self._lock:
            self._seen[path] = (serial, written.version)
        return serial

    def list_documents(self, prefix: str) -> tuple[str, ...]:
        """List the documents, including deleted ones that their finalizer keeps."""
        namespace = self._record(prefix).namespace
        paths = self._secrets.list(namespace, f"{FOLDER}={_hash(prefix)}", PATH)
        return tuple(sorted(path.rpartition("/")[2] for path in paths if path.rpartition("/")[0] == prefix))

    def check_documents(self, prefix: str) -> None:
        """Raise TargetForbidden if the login may not list: nothing in Kubernetes deletes Secrets by itself."""
        self.list_documents(prefix)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        place = self._place(path, field)

        def value(entry: Entry) -> Value:
            return Value(self._held(entry, place, field), entry.version)

        def write_over(entry: Entry) -> str | None:
            written = self._written(place, entry, field, secret, guard)
            return written.version if written else None

        where = self._secrets.where(place)
        read = self._prepared.reader(path, expected, lambda: self._secrets.read(place), value)
        return merge(read, write_over, field=field, secret=secret, expected=expected, where=where)

    def _written(
        self, place: Place, entry: Entry, field: str, secret: Secret | None, guard: Guard, *, dry: bool = False
    ) -> Entry | None:
        data = {field: encoded(secret.reveal()) if secret else None}
        if entry.data is None:
            content = {"metadata": {"labels": MANAGED}, "type": OPAQUE, "data": data}
            return self._secrets.create(place, content, guard, dry=dry)
        if secret:  # what is removed is exactly what keyturn wrote
            self._permit(place, entry, field)
        return self._secrets.change(place, entry.version, {"data": data}, guard, dry=dry)

    def _permit(self, place: Place, entry: Entry, field: str) -> None:
        """Raise TargetMisfit if this Secret, at the version that is written over, is someone else's."""
        if self._writers is None:
            return
        name = self._writers.get(f"{place.name}#{field}", "")
        if not writable(entry.labels, entry.annotations, name):
            raise TargetMisfit(
                "keyturn did not make this Secret",
                where=self._secrets.where(place),
                evidence=f"its annotation {ALLOW} does not say {name!r}",
                remedy="Its owner may write the annotation. Or deliver to another Secret.",
            )

    def _held(self, entry: Entry, place: Place, field: str) -> Secret | None:
        """Return the secret in a field. Only Secrets without a meaning for Kubernetes itself are read and written."""
        where, texts = self._secrets.where(place), entry.texts()
        refuse_document(texts, where)
        if entry.data is not None and entry.type != OPAQUE:
            remedy = "Deliver to a Secret of type Opaque."
            raise TargetMisfit("this Secret has a type of its own", where=where, evidence=entry.type, remedy=remedy)
        if entry.deleted:
            raise TargetMisfit("this Secret is being deleted", where=where, evidence="a finalizer still keeps it")
        return secret_of(texts.get(field), field, where)

    def _document(self, entry: Entry, place: Place, path: str) -> tuple[str, str]:
        """Return the text and the serial of a document."""
        where = self._secrets.where(place)
        if entry.deleted:
            raise TargetMisfit(
                "this document was deleted",
                where=where,
                evidence=f"only its finalizer {RECORD} keeps it",
                remedy="Save it, remove its `finalizers` and `deletionTimestamp`, then create it again.",
            )
        text, serial = entry.texts().get(DOCUMENT), entry.annotations.get(SERIAL, "")
        whole = isinstance(text, str) and _SERIAL.fullmatch(serial) and entry.annotations.get(PATH) == path
        if entry.type != RECORD or not whole or not isinstance(text, str):
            raise TargetMisfit(
                "this is not a keyturn document",
                where=where,
                evidence=f"its type is {entry.type}" if entry.type != RECORD else f"its {DOCUMENT}, {PATH} or {SERIAL}",
                remedy="Nothing was changed. Restore it, or use another namespace.",
            )
        return text, serial

    def _resource_version(self, path: str, place: Place, serial: str) -> str:
        """Return the server's version of a document at a serial; empty if it is at another one."""
        with self._lock:
            seen = self._seen.get(path)
        if seen is None or seen[0] != serial:
            entry = self._secrets.read(place)
            seen = (self._document(entry, place, path)[1], entry.version) if entry.data is not None else ("", "")
        return seen[1] if seen[0] == serial else ""

    def _place(self, path: str, field: str) -> Place:
        """Return the Secret of a delivery. Raises InputError for a path or field that Kubernetes cannot have."""
        check_path(path)
        if not _KEY.fullmatch(field):
            raise InputError(
                "a delivery to Kubernetes needs a field" if not field else "a Secret cannot have this field",
                where=path,
                evidence="a field has at most 253 of A-Z a-z 0-9 - _ . and is not . or .. at its start",
            )
        if len(path) > _LONGEST or not _NAME.fullmatch(path):
            raise InputError(
                f"the path {path!r} is not the name of a Secret",
                evidence="names have lower-case letters, digits, - and .",
            )
        return Place(self._namespace, path)

    def _record(self, path: str) -> Place:
        check_path(path)
        return Place(self._namespace, f"keyturn-{_hash(path)}")


def writable(labels: Mapping[str, str], annotations: Mapping[str, str], name: str) -> bool:
    """Tell whether a Secret that exists may be written for this name: keyturn made it, or its owner says so."""
    if labels.items() >= MANAGED.items():
        return True
    return bool(name) and name in (part.strip() for part in annotations.get(ALLOW, "").split(","))


def _hash(path: str) -> str:
    """Return 40 hex digits: a name or a label's value for any path."""
    return hashlib.sha256(path.encode()).hexdigest()[:40]
