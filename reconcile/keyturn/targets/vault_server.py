"""One Vault or OpenBao server: connections, login, and the errors for its answers.

Each answer is judged by its status. No text of an answer is repeated.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from keyturn.core.errors import CredentialError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets import rest
from keyturn.targets.bounded_http import trust
from keyturn.targets.rest import Request
from keyturn.targets.servers import Action, check_status, json_object
from keyturn.targets.vault_login import Login

MOUNTS = "/v1/sys/internal/ui/mounts"
"""Tells which mounts a login may use. Every valid token may ask."""

OK = 200
NO_CONTENT = 204
BAD = 400
FORBIDDEN = 403
NOT_FOUND = 404
SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a server. `authority` is the file of its certificate authority, or empty."""

    origin: str
    namespace: str
    authority: str
    proxy: str
    request: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the caller has to judge: 200, 204, 400 or 404."""

    status: int
    body: Mapping[str, object]

    @property
    def errors(self) -> str:
        """The server's error texts, only to compare them with known phrases."""
        return " ".join(str(error) for error in _list(self.body.get("errors")))


class Server:
    """Sends requests, also concurrently. Thread-safe."""

    def __init__(self, endpoint: Endpoint, login: Login, where: str) -> None:
        """Keep the settings. Nothing is sent yet. Raises InputError if the file of the authority cannot be used."""
        self._login = login
        self._where = where
        authorities = trust(endpoint.authority, where, endpoint.origin)
        namespace = {"X-Vault-Namespace": endpoint.namespace} if endpoint.namespace else {}
        there = rest.Endpoint(endpoint.origin, endpoint.proxy, endpoint.request)
        self._client = rest.Client(there, {"X-Vault-Request": "true", **namespace}, lambda: authorities)
        self._lock = threading.Lock()
        self._token: Secret | None = None

    def ask(self, action: Action, request: Request) -> Answer:
        """Send a request. Log in first, and again if the token has expired.

        Raises:
            TargetUnavailable: no answer, sealed, throttled, 5xx; ambiguous for a write that was sent.
            TargetForbidden: the token is valid but not permitted to do this.
            TargetMisfit: a redirect, or an answer from another kind of server.
            CredentialError: the token or the login is refused.
        """
        answer = self.probe(action, request)
        if answer.status == FORBIDDEN:
            raise TargetForbidden(
                f"this login may not {action.doing}",
                where=action.where,
                evidence="the server answered 403 to a valid token",
                remedy=action.remedy,
            )
        return answer

    def probe(self, action: Action, request: Request) -> Answer:
        """Send a request like `ask`, but return a 403 for a valid token instead of raising TargetForbidden."""
        token = self._current(None)
        answer = self._send(action, request, token)
        if answer.status != FORBIDDEN:
            return answer
        # Vault answers 403 to an expired token and to a forbidden path. This endpoint needs no policy.
        if self._send(action, Request("GET", MOUNTS), token).status != FORBIDDEN:
            return answer
        return self._send(action, request, self._current(token))

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._client.close()

    def _current(self, refused: Secret | None) -> Secret:
        """Return a token other than the `refused` one. If several threads get the same refusal, only one logs in."""
        with self._lock:
            if self._token is None or self._token == refused:
                self._token = self._log_in(refused)
            return self._token

    def _log_in(self, refused: Secret | None) -> Secret:
        token = self._login.token()
        if token:
            if token == refused:
                raise CredentialError(
                    "the server refuses this token",
                    where=self._where,
                    evidence="it answered 403 to a request that every valid token may send",
                    remedy=f"The token has expired or was revoked: set a new one in {self._login.source}.",
                )
            return token
        action = Action(self._where, f"log in by {self._login.method}")
        answer = self._send(
            action, Request("POST", f"/v1/auth/{self._login.mount}/login", body=self._login.body()), None
        )
        auth = answer.body.get("auth")
        fresh = auth.get("client_token") if isinstance(auth, dict) else None
        if answer.status != OK or not isinstance(fresh, str) or not fresh:
            raise CredentialError(
                f"the server refuses the login by {self._login.method}",
                where=self._where,
                evidence=f"status {answer.status} from auth/{self._login.shown or self._login.mount}",
                remedy=f"Check {self._login.source}, the role and auth.mount.",
            )
        return Secret(fresh)

    def _send(self, action: Action, request: Request, token: Secret | None) -> Answer:
        headers = {"X-Vault-Token": token.reveal()} if token else {}
        response = self._client.send(action, request, headers)
        return _judge(action, response, writing=request.guard is not None)


def _judge(action: Action, response: httpx.Response, *, writing: bool) -> Answer:
    status, body = response.status_code, json_object(response.content)
    errors = " ".join(str(error) for error in _list(body.get("errors"))) if body else ""
    if status >= SERVER_ERROR and "sealed" in errors:
        raise TargetUnavailable(
            f"could not {action.doing}: the server is sealed",
            where=action.where,
            evidence=f"status {status}",
            remedy="Unseal it and run again.",
            ambiguous=writing,
        )
    check_status(action, status, writing=writing)
    if "namespace not found" in errors:
        raise TargetMisfit("there is no such namespace", where=action.where, remedy="Check `namespace`.")
    if body is None and status != NO_CONTENT:
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of Vault",
            where=action.where,
            evidence=f"status {status}, not JSON",
            remedy="Check that the address is the server, not a proxy, and whether it is https.",
            ambiguous=writing,
        )
    return Answer(status, body or {})


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
