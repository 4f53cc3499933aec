"""One 1Password Connect server: the connection, the token, and the errors for its answers.

The vendor's client only builds and sends requests. Its own methods repeat bodies in exceptions, and its models drop
unknown parts of an item. So this module judges each answer by its status, and repeats no text of it.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from onepasswordconnectsdk.client import Client
from onepasswordconnectsdk.config import ClientConfig

from keyturn.core.errors import CredentialError, TargetForbidden, TargetUnavailable
from keyturn.core.secret import sendable
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport, usual_trust
from keyturn.targets.servers import Action, check_status, decoded, unreachable


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a server. `proxy` is empty for none; `variable` holds the token."""

    origin: str
    verify: bool | ssl.SSLContext
    proxy: str
    request: float
    variable: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the caller has to judge: 2xx, 400, 404 or 409. `body` is any JSON, or None if empty."""

    status: int
    body: object

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES


class Server:
    """Sends requests, also concurrently. Thread-safe."""

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str], where: str) -> None:
        """Keep the settings. Nothing is read or sent yet."""
        self._endpoint = endpoint
        self._environment = environment
        self._where = where
        self._lock = threading.Lock()
        self._client: Client | None = None

    def ask(self, action: Action, verb: str, path: str, body: object = None, *, guard: Guard | None = None) -> Answer:
        """Send a request. It is a write if there is a `guard`.

        Raises:
            TargetUnavailable: no answer, throttled, 5xx; ambiguous for a write that was sent.
            TargetForbidden: the token is valid but not permitted to do this.
            TargetMisfit: a redirect, or too large.
            CredentialError: the token is missing or refused.
        """
        client = self._connected()
        if guard:
            guard()
        writing = guard is not None
        try:
            response = client.build_request(verb, path, body)
        except httpx.RequestError as error:
            end = self._endpoint
            failure = unreachable(action, error, end.origin, end.request, writing=writing)
        else:
            return self._judge(action, response, writing=writing)
        raise failure

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._client is not None:
                self._client.session.close()
                self._client = None

    def _connected(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def _make(self) -> Client:
        """Make a client that reads nothing from the process environment.

        Without `trust_env`, no ~/.netrc is used. The transport decides about certificates, proxy and deadline.
        """
        end = self._endpoint
        verify = end.verify if isinstance(end.verify, ssl.SSLContext) else usual_trust(end.origin)
        transport = BoundedTransport(seconds=end.request, verify=verify, proxy=end.proxy)
        return Client(
            end.origin,
            self._token(),
            ClientConfig(transport=transport, trust_env=False, follow_redirects=False),
        )

    def _token(self) -> str:
        token = self._environment.get(self._endpoint.variable, "").strip()
        if not token:
            raise CredentialError(
                f"the variable {self._endpoint.variable} is not set or is empty",
                where=self._where,
                remedy="1Password Connect needs an access token.",
            )
        if not sendable(token):
            raise CredentialError(
                f"the variable {self._endpoint.variable} does not hold a token",
                where=self._where,
                evidence="it contains spaces or unprintable characters",
            )
        return token

    def _judge(self, action: Action, response: httpx.Response, *, writing: bool) -> Answer:
        status = response.status_code
        where, evidence = action.where, f"status {status}"
        if status == HTTPStatus.UNAUTHORIZED:
            remedy = f"It has expired or was revoked: set a new one in {self._endpoint.variable}."
            raise CredentialError("the server refuses this token", where=where, evidence=evidence, remedy=remedy)
        if status == HTTPStatus.FORBIDDEN:
            what = f"this token may not {action.doing}"
            raise TargetForbidden(what, where=where, evidence=evidence, remedy=action.remedy)
        check_status(action, status, writing=writing)
        try:
            return Answer(status, decoded(response.content) if response.content else None)
        except ValueError:
            pass  # raised below, so that the error does not refer to the body
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of 1Password Connect",
            where=where,
            evidence=f"{evidence}, not JSON",
            remedy="Check that the host is the server, not a proxy.",
            ambiguous=writing,
        )
