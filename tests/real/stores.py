"""Where a site delivers and keeps its records: its corner of an OpenBao, or namespaces of a Kubernetes API server.

A store says what its part of a manifest and of the environment is, and, past keyturn, what it holds and ever held.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx

from tests.cluster.audit import Write
from tests.cluster.control_plane import Cluster
from tests.contract.place_kubernetes import documented_rules
from tests.real.relay import Gate, Relay
from tests.support.openbao import OpenBao
from tests.support.process import wait_until

Json = dict[str, Any]
RECORDS = "records-"
"""How the prefix of every record begins in these tests."""
DOCUMENT = "document"
ELSEWHERE = "elsewhere"
"""The target of another cluster: another namespace."""
KINDS = {"keys": "record", "slots": "claim"}
"""What is at <prefix>/keys/<id> and <prefix>/slots/<uuid>."""
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a delivered field: when it was written, when the next one was (None: it is the present one)."""

    value: str | None
    since: float
    until: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a consumer reads a path: the request, and the file of the certificate authority, if it is https."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    authority: str = ""

    def fields(self) -> Mapping[str, str] | None:
        """Read it now, by a connection of its own; None if there is nothing."""
        parts = urlsplit(self.url)
        connection = (
            HTTPSConnection(parts.netloc, timeout=PATIENCE, context=ssl.create_default_context(cafile=self.authority))
            if self.authority
            else HTTPConnection(parts.netloc, timeout=PATIENCE)
        )
        try:
            connection.request("GET", parts.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        assert answer.status == HTTPStatus.OK, answer.status
        if self.authority:
            return {name: base64.b64decode(value).decode() for name, value in (body.get("data") or {}).items()}
        found: Mapping[str, str] = body["data"]["data"]
        return found


class Store(Protocol):
    """What a site knows of a store. `deliveries` and `records` are the names of its targets in a manifest."""

    deliveries: str
    records: str
    address: str
    token: str
    """The login of the command line and of consumers."""

    def targets(self, url: str) -> Json:
        """Return its targets, reached at `url`."""

    def another(self) -> str:
        """Return one more login with the same rights."""

    def environment(self, url: str, folder: Path, token: str = "") -> dict[str, str]:
        """Return the variables with a login, `token` if none is given; files for them go into `folder`."""

    def relay(self, gate: Gate) -> Relay:
        """Return a relay before it."""

    def path(self, key: str) -> str:
        """Return where a key is delivered."""

    def reading(self, path: str, target: str = "") -> Reading:
        """Return how a path of a target is read; without a name, of the target for deliveries."""

    def history(self, path: str, field: str, target: str = "") -> tuple[Version, ...]:
        """Return every version of a field, oldest first, from what the store itself wrote down."""

    def document(self, path: str) -> str | None:
        """Return the text of a record or a claim."""

    def documents(self, path: str) -> tuple[Version, ...]:
        """Return every version of a record or a claim, oldest first."""


class VaultStore:
    """A prefix of an OpenBao."""

    deliveries = records = "vault"

    def __init__(self, bao: OpenBao, site: str) -> None:
        """Enter as root."""
        self._bao, self._site = bao, site
        self.address, self.token = bao.address, bao.root_token

    def targets(self, url: str) -> Json:
        """Return one target for everything."""
        return {"vault": {"type": "vault", "address": url, "auth": {"method": "token"}}}

    def another(self) -> str:
        """Return one more token of root."""
        return self._bao.token("root")

    def environment(self, url: str, folder: Path, token: str = "") -> dict[str, str]:
        """Return address and token."""
        return {"VAULT_ADDR": url, "VAULT_TOKEN": token or self.token}

    def relay(self, gate: Gate) -> Relay:
        """Return a relay before the server."""
        return Relay(self.address, gate, kind_in_vault)

    def path(self, key: str) -> str:
        """Return a path in a folder of the site's own."""
        return f"apps-{self._site}/{key}"

    def reading(self, path: str, target: str = "") -> Reading:
        """Return the request for the present version."""
        return Reading(f"{self.address}/v1/secret/data/{path}", {"X-Vault-Token": self.token})

    def history(self, path: str, field: str, target: str = "") -> tuple[Version, ...]:
        """Return the versions that the server keeps: all of them."""
        try:
            metadata = self._bao.call("GET", f"secret/metadata/{path}")["data"]
        except httpx.HTTPStatusError:
            return (Version(None, 0.0, None),)
        assert isinstance(metadata, dict)
        numbers = sorted(map(int, metadata["versions"]))
        times = [_moment(metadata["versions"][str(number)]["created_time"]) for number in numbers]
        found = []
        for number, since, until in zip(numbers, times, [*times[1:], None], strict=True):
            data = self._bao.call("GET", f"secret/data/{path}?version={number}")["data"]
            assert isinstance(data, dict)
            found.append(Version(data["data"].get(field), since, until))
        return tuple(found)

    def document(self, path: str) -> str | None:
        """Return the text of a record or a claim."""
        try:
            data = self._bao.call("GET", f"secret/data/{path}")["data"]
        except httpx.HTTPStatusError:
            return None
        assert isinstance(data, dict)
        text: str = data["data"][DOCUMENT]
        return text

    def documents(self, path: str) -> tuple[Version, ...]:
        """Return the versions that the server keeps."""
        return self.history(path, DOCUMENT)


class KubernetesStore:
    """Namespaces of an API server: two for deliveries, one for records.

    They are entered with the roles that docs/targets.md prints, and nothing else.
    """

    def __init__(self, cluster: Cluster, spaces: Mapping[str, str] | None = None) -> None:
        """Make the login and, if none are given, the namespaces.

        `spaces` are those by target: the first one for deliveries, the last one for records.
        """
        self._cluster = cluster
        self._spaces = dict(spaces or {target: cluster.namespace() for target in ("apps", ELSEWHERE, "notes")})
        self.deliveries, *_, self.records = self._spaces
        self.address = cluster.origin
        self.token = self.another()

    def another(self) -> str:
        """Return the token of one more user, once the API server knows its roles."""
        roles = {
            target: "keyturn-records" if target == self.records else "keyturn-deliveries" for target in self._spaces
        }
        rights = {self._spaces[target]: documented_rules(role) for target, role in roles.items()}
        token = self._cluster.user(rights)
        wait_until(lambda: self._may_enter(token), "the roles to be known to the API server")
        return token

    def targets(self, url: str) -> Json:
        """Return a target for each namespace."""
        settings = {"type": "kubernetes", "address": url}
        return {target: {**settings, "namespace": space} for target, space in self._spaces.items()}

    def environment(self, url: str, folder: Path, token: str = "") -> dict[str, str]:
        """Return a kubeconfig that leads to `url`."""
        config = json.dumps(self._cluster.kubeconfig(token or self.token, origin=url))
        file = folder / f"kubeconfig-{hashlib.sha256(config.encode()).hexdigest()[:8]}"
        with NamedTemporaryFile("w", dir=folder, delete=False) as whole:  # another run may be reading it
            whole.write(config)
        Path(whole.name).replace(file)
        return {"KUBECONFIG": str(file)}

    def relay(self, gate: Gate) -> Relay:
        """Return a relay that shows the server's own certificate."""
        return Relay(self.address, gate, kind_in_kubernetes, self._cluster.pair)

    def path(self, key: str) -> str:
        """Return the name of a Secret."""
        return key

    def reading(self, path: str, target: str = "") -> Reading:
        """Return the request for the Secret."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return Reading(f"{self.address}{_secret(self._space(target), path)}", headers, str(self._cluster.pair[0]))

    def history(self, path: str, field: str, target: str = "") -> tuple[Version, ...]:
        """Return what the audit log says, up to the present version.

        A write takes effect between its beginning and its end. A version counts from the beginning of its own write to
        the end of the next one, so that no moment is missed.
        """
        space = self._space(target)
        found = self._get(space, path)
        if found is None:
            return (Version(None, 0.0, None),)
        present = int(found["metadata"]["resourceVersion"])
        writes: tuple[Write, ...] = ()

        def arrived() -> bool:
            nonlocal writes
            writes = self._cluster.audit.writes(space, path)
            return bool(writes) and writes[-1].version >= present

        wait_until(arrived, f"version {present} of {path} in the audit log")
        ends = [*(one.ended for one in writes[1:]), None]
        return tuple(Version(one.data.get(field), one.began, end) for one, end in zip(writes, ends, strict=True))

    def document(self, path: str) -> str | None:
        """Return the text of a record or a claim: its Secret is named by a hash of its path."""
        found = self._get(self._spaces[self.records], _hashed(path))
        return base64.b64decode(found["data"][DOCUMENT]).decode() if found else None

    def documents(self, path: str) -> tuple[Version, ...]:
        """Return what the audit log says."""
        return self.history(_hashed(path), DOCUMENT, self.records)

    def _space(self, target: str) -> str:
        return self._spaces[target or self.deliveries]

    def _get(self, namespace: str, name: str) -> Json | None:
        try:
            return self._cluster.call("GET", _secret(namespace, name))
        except httpx.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _may_enter(self, token: str) -> bool:
        """Tell whether the API server has heard of all roles: it refuses for a moment after they were made."""
        headers = {"Authorization": f"Bearer {token}"}
        context = ssl.create_default_context(cafile=self._cluster.pair[0])
        with httpx.Client(base_url=self.address, verify=context, headers=headers, trust_env=False) as client:
            answers = [client.get(_secret(space, "none")).status_code for space in self._spaces.values()]
        return answers == [HTTPStatus.NOT_FOUND] * len(answers)


def kind_in_vault(verb: str, path: str, body: bytes) -> tuple[str, bool]:
    """Return what a request to a Vault is about, and whether it changes something."""
    parts = urlsplit(path).path.strip("/").split("/")
    if parts[:3] != ["v1", "secret", "data"]:
        return "/".join(parts[:2]), False
    documents = KINDS if parts[3].startswith(RECORDS) else {}
    return documents.get(parts[4], "delivery"), verb in {"POST", "PUT"}


def kind_in_kubernetes(verb: str, path: str, body: bytes) -> tuple[str, bool]:
    """Return what a request to an API server is about, and whether it changes something: a dry run does not."""
    parts = urlsplit(path)
    if "/secrets" not in parts.path or verb not in {"POST", "PATCH", "PUT"}:
        return parts.path.rpartition("/")[2], False
    annotations = json.loads(body)["metadata"].get("annotations") or {}
    document = str(annotations.get("keyturn.dev/path", "")).split("/")
    kind = KINDS[document[-2]] if len(document) > 1 else "delivery"
    return kind, "dryRun=" not in parts.query


def _secret(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def _hashed(path: str) -> str:
    return f"keyturn-{hashlib.sha256(path.encode()).hexdigest()[:40]}"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
