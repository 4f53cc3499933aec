"""One Kubernetes API server: the connection, the login, and the errors for its answers.

The API is described in the documentation of Kubernetes ("Kubernetes API Concepts"). No text of an answer is repeated: a
refusal may quote the object, and so the secret.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from keyturn import __version__
from keyturn.core.errors import CredentialError, InputError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.sanitize import plain
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport
from keyturn.targets.kubernetes_login import Login
from keyturn.targets.servers import Action, check_status, decoded, unreachable

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
"""A body of server-side apply is YAML, and so may be JSON."""
_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[-._a-zA-Z0-9]+)+")
"""What a path is made of. Anything else would be another path: httpx takes `..` away, and ends one at `?` or `#`."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a server. `proxy` is empty for none; `request` is the deadline of one request in seconds."""

    origin: str
    proxy: str
    request: float


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
class Request:
    """One request. It is a write if there is a `guard`."""

    verb: str
    path: str
    params: Mapping[str, str]
    body: Mapping[str, object] | None = None
    content: str = JSON
    accept: str = JSON
    guard: Guard | None = None


class Server:
    """Sends requests, also concurrently. Thread-safe."""

    def __init__(self, endpoint: Endpoint, login: Login, where: str) -> None:
        """Keep the settings. Nothing is read or sent yet."""
        self._endpoint = endpoint
        self._login = login
        self._where = where
        self._lock = threading.Lock()
        self._opened: httpx.Client | None = None

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
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _client(self) -> httpx.Client:
        """Return the client. It reads nothing from the process environment, and follows no redirect."""
        with self._lock:
            if self._opened is None:
                end = self._endpoint
                transport = BoundedTransport(seconds=end.request, verify=self._login.trust(), proxy=end.proxy)
                self._opened = httpx.Client(
                    base_url=end.origin,
                    transport=transport,
                    trust_env=False,
                    follow_redirects=False,
                    headers={"User-Agent": f"keyturn/{__version__}"},
                )
            return self._opened

    def _send(self, action: Action, request: Request, token: str) -> Answer:
        client, writing = self._client(), request.guard is not None
        headers = {"Accept": request.accept, **({"Authorization": f"Bearer {token}"} if token else {})}
        if request.body is not None:
            headers["Content-Type"] = request.content
        if request.guard:
            request.guard()
        try:
            response = client.request(
                request.verb,
                request.path,
                params=dict(request.params),
                json=request.body,
                headers=headers,
            )
        except httpx.RequestError as error:
            end = self._endpoint
            failure = unreachable(action, error, end.origin, end.request, writing=writing)
        else:
            return self._judge(action, response, writing=writing)
        raise failure

    @staticmethod
    def _judge(action: Action, response: httpx.Response, *, writing: bool) -> Answer:
        check_status(action, response.status_code, writing=writing)
        try:
            body = decoded(response.content)
        except ValueError:
            body = None
        # The server names the kind of each answer; a proxy's page has none.
        if isinstance(body, dict) and isinstance(body.get("kind"), str):
            return Answer(response.status_code, body)
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of a Kubernetes API server",
            where=action.where,
            evidence=f"status {response.status_code}",
            remedy="Check that the address is the server, not a proxy.",
            ambiguous=writing,
        )
