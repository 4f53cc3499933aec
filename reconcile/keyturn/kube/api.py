"""What the operator asks the API server for, and tells it: Secrets, status, metadata, Events.

No value of a Secret is read except the account token, and no text of an answer is repeated in an error.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus

from keyturn.core.errors import CredentialError, KeyturnError, TargetMisfit
from keyturn.core.secret import Secret
from keyturn.kube.resources import ACCOUNT, CLUSTER_ACCOUNT, GROUP, KEY, VERSION
from keyturn.kube.tenants import Name, SecretFacts
from keyturn.targets.base import unguarded
from keyturn.targets.kubernetes_secrets import MANAGER
from keyturn.targets.kubernetes_server import MERGE, Answer, Request, Server
from keyturn.targets.servers import Action

API = f"{GROUP}/{VERSION}"
PLURALS = {KEY: "modelaccesskeys", ACCOUNT: "keyturnaccounts", CLUSTER_ACCOUNT: "clusterkeyturnaccounts"}
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_BY = {"fieldManager": MANAGER}
_TOKEN = re.compile(r"dop_v1_[0-9A-Za-z_-]+")
"""A personal access token of DigitalOcean. A resource may name a Secret that holds something else."""


class Api:
    """The requests of the operator. Thread-safe."""

    def __init__(self, server: Server) -> None:
        """Keep the server. Nothing is sent yet."""
        self._server = server

    def facts(self, name: Name) -> SecretFacts | None:
        """Return labels and annotations of a Secret, None if there is none. Raises KeyturnError."""
        action = _action(f"secret {name[0]}/{name[1]}", "look at the secret", "secrets", "get")
        answer = self._server.ask(action, Request("GET", _secret(name), {}, accept=METADATA))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        self._good(answer, action)
        return facts_of(answer.body)

    def token(self, name: Name, key: str) -> Secret:
        """Return the account token of a key of a Secret. Raises CredentialError if there is none, or another value."""
        where = f"secret {name[0]}/{name[1]}"
        action = _action(where, "read the account token", "secrets", "get")
        answer = self._server.ask(action, Request("GET", _secret(name), {}))
        if answer.status == HTTPStatus.NOT_FOUND:
            raise CredentialError("there is no account token", where=where, evidence="there is no such Secret")
        self._good(answer, action)
        data = answer.body.get("data")
        value = data.get(key) if isinstance(data, Mapping) else None
        text = ""
        # The error of the decoder would hold the value. Raise ours below, so that it has no such context.
        with suppress(binascii.Error, ValueError):
            text = base64.b64decode(value, validate=True).decode("ascii").strip() if isinstance(value, str) else ""
        if not text:
            raise CredentialError("there is no account token", where=where, evidence=f"its key {key!r} has none")
        if not _TOKEN.fullmatch(text):
            remedy = "The operator sends no other value to DigitalOcean. Put a personal access token there."
            evidence = f"the value of its key {key!r} does not look like dop_v1_…"
            raise CredentialError("this is not an account token", where=where, evidence=evidence, remedy=remedy)
        return Secret(text)

    def patch(self, kind: str, name: Name, body: Mapping[str, object], part: str = "") -> Mapping[str, object] | None:
        """Merge into a resource, or into its `part` such as `status`, and return it.

        None if it is gone, or if `body` names a `resourceVersion` that it no longer has.
        """
        plural = PLURALS[kind]
        resource = "/".join(filter(None, (plural, part)))
        action = _action(f"{kind} {'/'.join(filter(None, name))}", f"write {resource}", resource, "patch", group=GROUP)
        path = f"{collection(kind, name[0])}/{name[1]}{'/' if part else ''}{part}"
        answer = self._server.ask(action, Request("PATCH", path, _BY, body, MERGE, guard=unguarded))
        if answer.status in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            return None
        self._good(answer, action)
        return answer.body

    def event(self, namespace: str, body: Mapping[str, object]) -> None:
        """Make an Event, unless there is one of its name, or its namespace takes none. Raises KeyturnError."""
        action = _action(f"namespace {namespace}", "make an Event", "events", "create")
        request = Request("POST", f"/api/v1/namespaces/{namespace}/events", _BY, body, guard=unguarded)
        with suppress(TargetMisfit):  # a namespace that is being deleted
            answer = self._server.ask(action, request)
            if answer.status not in {HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND}:
                self._good(answer, action)

    @staticmethod
    def _good(answer: Answer, action: Action) -> None:
        if not answer.good:
            raise KeyturnError(f"could not {action.doing}", where=action.where, evidence=f"status {answer.status}")


def collection(kind: str, namespace: str = "") -> str:
    """Return the path of all resources of a kind, in one namespace or in all."""
    below = f"namespaces/{namespace}/" if namespace else ""
    return f"/apis/{API}/{below}{PLURALS[kind]}"


def facts_of(found: Mapping[str, object]) -> SecretFacts:
    """Return what the rules need of a Secret's metadata."""
    metadata = found.get("metadata")
    parts = [metadata.get(name) if isinstance(metadata, Mapping) else None for name in ("labels", "annotations")]
    labels, annotations = ({str(key): str(text) for key, text in (part or {}).items()} for part in parts)
    return SecretFacts(labels, {name: text for name, text in annotations.items() if name.startswith(f"{GROUP}/")})


def _secret(name: Name) -> str:
    return f"/api/v1/namespaces/{name[0]}/secrets/{name[1]}"


def _action(where: str, doing: str, resource: str, *verbs: str, group: str = "") -> Action:
    rule = f'{{apiGroups: ["{group}"], resources: [{resource}], verbs: [{", ".join(verbs)}]}}'
    return Action(where, doing, f"The operator's role needs: {rule}.")
