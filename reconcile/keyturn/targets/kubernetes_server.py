"""One Kubernetes API server: the connection, the login, and the errors for its answers.

The API is described in the documentation of Kubernetes ("Kubernetes API Concepts"). No text of an answer is repeated: a
refusal may quote the object, and so the secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from keyturn.core.errors import CredentialError, InputError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.sanitize import plain
from keyturn.targets import rest
from keyturn.targets.kubernetes_login import Login
from keyturn.targets.servers import Action, check_status, json_object

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
"""A body of server-side apply is YAML, and so may be JSON."""
_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[-._a-zA-Z0-9]+)+")
"""What a path is made of. Anything else would be another path: httpx takes `..` away, and ends one at `?` or `#`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the caller has to judge: 2xx, 403, 404, 409 or 422."""

    status: int
    body: Mapping[str, object]

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    def causes(self) -> str:
        """Return the machine-readable causes of a refusal and its text, only to compare them with known phrases."""
        details = self.body.get("details")
        causes = details.get("causes") if isinstance(details, dict) else None
        return f"{causes if isinstance(causes, list) else ''} {self.body.get('message')}"


@dataclass(frozen=True, slots=True)
class Request(rest.Request):
    """One request. `content` is the media type of its body, `accept` that of the answer."""

    body: Mapping[str, object] | None = field(default=None, repr=False)
    content: str = JSON
    accept: str = JSON


class Server:
    """Sends requests, also concurrently. Thread-safe."""

    def __init__(self, endpoint: rest.Endpoint, login: Login, where: str) -> None:
        """Keep the settings. Nothing is read or sent yet."""
        self._client = rest.Client(endpoint, {}, login.trust)
        self._login = login
        self._where = where

    def ask(self, action: Action, request: Request) -> Answer:
        """Send a request like `probe`. Raises TargetForbidden for a 403."""
        answer = self.probe(action, request)
        if answer.status != HTTPStatus.FORBIDDEN:
            return answer
        if "NamespaceTerminating" in answer.causes():
            raise TargetMisfit("this namespace is being deleted", where=action.where, remedy="Use another namespace.")
        raise TargetForbidden(
            f"this login may not {action.doing}",
            where=action.where,
            evidence=f"the server answered 403 to {self._login.source}",
            remedy=action.remedy,
        )

    def probe(self, action: Action, request: Request) -> Answer:
        """Send a request, and log in again once if the token is refused.

        Raises:
            TargetUnavailable: no answer, throttled, 5xx; ambiguous for a write that was sent.
            TargetMisfit: a redirect, too large, or an answer of another kind of server.
            CredentialError: there is no credential, or it is refused.
            InputError: a name in the path would lead elsewhere. Nothing was sent.
        """
        if not _PATH.fullmatch(request.path):
            raise InputError(
                f"could not {action.doing}: this name is not one of Kubernetes",
                where=plain(action.where, 200),
                evidence=f"it would lead to the path {plain(request.path, 200)!r}",
                remedy="Names have letters, digits, - and . only.",
            )
        token = self._login.token()
        answer = self._send(action, request, token)
        if answer.status == HTTPStatus.UNAUTHORIZED and token:
            answer = self._send(action, request, self._login.token(refused=token))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise CredentialError(
                "the server refuses this login",
                where=self._where,
                evidence=f"it answered 401 to {self._login.source}",
                remedy="Log in again, or renew the token.",
            )
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, action: Action, request: Request, token: str) -> Answer:
        headers = {"Accept": request.accept, **({"Authorization": f"Bearer {token}"} if token else {})}
        if request.body is not None:
            headers["Content-Type"] = request.content
        response = self._client.send(action, request, headers)
        return self._judge(action, response, writing=request.guard is not None)

    @staticmethod
    def _judge(action: Action, response: httpx.Response, *, writing: bool) -> Answer:
        check_status(action, response.status_code, writing=writing)
        body = json_object(response.content)
        # The server names the kind of each answer; a proxy's page has none.
        if body is not None and isinstance(body.get("kind"), str):
            return Answer(response.status_code, body)
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of a Kubernetes API server",
            where=action.where,
            evidence=f"status {response.status_code}",
            remedy="Check that the address is the server, not a proxy.",
            ambiguous=writing,
        )
