"""One Vault or OpenBao server: connections, login, and the errors for its answers.

hvac only builds and sends requests. Its exceptions contain bodies, so they are switched off, and this module judges
each answer by its status. No text of an answer is repeated.
"""

from __future__ import annotations

import io
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx
import hvac
import requests
from hvac.adapters import RawAdapter

from keyturn.core.errors import CredentialError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport, trust
from keyturn.targets.servers import Action, check_status, json_object, unreachable
from keyturn.targets.vault_login import Login

Ask = Callable[[hvac.Client], requests.Response]

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
    """Sends requests concurrently. Each request has a connection of its own."""

    def __init__(self, endpoint: Endpoint, login: Login, where: str) -> None:
        """Keep the settings. Nothing is sent yet."""
        self._endpoint = endpoint
        self._login = login
        self._where = where
        self._transport = BoundedTransport(
            seconds=endpoint.request, verify=trust(endpoint.authority, where, endpoint.origin), proxy=endpoint.proxy
        )
        self._idle: queue.LifoQueue[hvac.Client] = queue.LifoQueue()
        self._lock = threading.Lock()
        self._token: Secret | None = None

    def ask(self, action: Action, ask: Ask, guard: Guard | None = None) -> Answer:
        """Send a request; it is a write if there is a `guard`. Log in first, and again if the token has expired.

        Raises:
            TargetUnavailable: no answer, sealed, throttled, 5xx; ambiguous for a write that was sent.
            TargetForbidden: the token is valid but not permitted to do this.
            TargetMisfit: a redirect, or an answer from another kind of server.
            CredentialError: the token or the login is refused.
        """
        answer = self.probe(action, ask, guard)
        if answer.status == FORBIDDEN:
            raise TargetForbidden(
                f"this login may not {action.doing}",
                where=action.where,
                evidence="the server answered 403 to a valid token",
                remedy=action.remedy,
            )
        return answer

    def probe(self, action: Action, ask: Ask, guard: Guard | None = None) -> Answer:
        """Send a request like `ask`, but return a 403 for a valid token instead of raising TargetForbidden."""
        token = self._current(None)
        answer = self._send(action, ask, token, guard)
        if answer.status != FORBIDDEN:
            return answer
        # Vault answers 403 to an expired token and to a forbidden path. This endpoint needs no policy.
        if self._send(action, _visible_mounts, token).status != FORBIDDEN:
            return answer
        return self._send(action, ask, self._current(token), guard)

    def close(self) -> None:
        """Close the connections that are not in use."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().adapter.close()
        self._transport.close()

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
        ask = self._login.request()
        answer = self._send(action, ask, None)
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

    def _send(self, action: Action, ask: Ask, token: Secret | None, guard: Guard | None = None) -> Answer:
        writing = guard is not None
        with self._client() as client:
            client.token = token.reveal() if token else ""
            if guard:
                guard()
            try:
                response = ask(client)
            except httpx.RequestError as error:
                end = self._endpoint
                failure = unreachable(action, error, end.origin, end.request, writing=writing)
            else:
                return _judge(action, response, writing=writing)
        raise failure

    @contextmanager
    def _client(self) -> Iterator[hvac.Client]:
        try:
            client = self._idle.get_nowait()
        except queue.Empty:
            client = _new_client(self._endpoint, self._transport)
        try:
            yield client
        finally:
            self._idle.put(client)


class _Adapter(RawAdapter):
    """Sends what hvac builds through our transport, past a session of `requests`, which takes longer than hvac."""

    transport: BoundedTransport

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        raise_exception: bool = True,  # noqa: FBT001, FBT002 - hvac's signature
        *,
        params: Mapping[str, str | int | None] | None = None,
        json: object = None,
        **_: object,
    ) -> requests.Response:
        """Send a request. Raises httpx.RequestError."""
        del raise_exception  # this module judges each answer
        if method.lower() == "list":
            method, params = "get", {**(params or {}), "list": "true"}
        known = {"X-Vault-Request": "true", "X-Vault-Token": self.token, "X-Vault-Namespace": self.namespace}
        sent = httpx.Request(
            method,
            self.urljoin(self.base_uri, re.sub("//+", "/", url)),
            headers={**(headers or {}), **{name: value for name, value in known.items() if value}},
            params=params,
            json=json,
        )
        answer = self.transport.handle_request(sent)
        response = requests.Response()
        response.status_code = answer.status_code
        response.raw = io.BytesIO(answer.content)
        return response


def _new_client(endpoint: Endpoint, transport: BoundedTransport) -> hvac.Client:
    """Make a client that reads nothing from the process environment.

    `token=""` and `cert` are set because hvac would otherwise use VAULT_TOKEN, ~/.vault-token and VAULT_CLIENT_CERT.
    The transport decides about certificates, proxy and deadline.
    """
    client = hvac.Client(
        url=endpoint.origin,
        token="",
        cert=(),  # type: ignore[arg-type]  # None would mean: look it up
        session=requests.Session(),
        adapter=_Adapter,
        namespace=endpoint.namespace or None,
    )
    assert isinstance(client.adapter, _Adapter)  # noqa: S101 - as given
    client.adapter.transport = transport
    return client


def _visible_mounts(client: hvac.Client) -> requests.Response:
    response: requests.Response = client.adapter.get("/v1/sys/internal/ui/mounts")
    return response


def _judge(action: Action, response: requests.Response, *, writing: bool) -> Answer:
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
