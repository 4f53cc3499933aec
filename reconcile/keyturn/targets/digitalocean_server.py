"""The control API of DigitalOcean, for targets in the account: the connection, the token, and the errors for answers.

A manifest names no address: the account token goes to DigitalOcean, or to KEYTURN_API_URL. No text of an answer is
repeated: a refusal may quote the request, and so the secret.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from keyturn import __version__
from keyturn.core.errors import CredentialError, InputError, TargetForbidden, TargetUnavailable
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.variables import API, TOKENS, account_token
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport, usual_trust
from keyturn.targets.origins import proxy_for
from keyturn.targets.servers import Action, check_status, decoded, unreachable


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the caller has to judge: 2xx, or a 4xx other than 401, 403, 412, 413 and 429."""

    status: int
    body: Mapping[str, object]

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES


class Server:
    """Sends requests with the account token, also concurrently. Thread-safe."""

    def __init__(self, environment: Mapping[str, str], request: float, where: str) -> None:
        """`request` is the deadline of one request in seconds. Nothing is sent yet.

        Raises:
            InputError: KEYTURN_API_URL is not a URL, or is plain http to another machine.
        """
        variable, default = API
        self._url = (environment.get(variable, "") or default).rstrip("/")
        try:
            check_transport(parse_origin(self._url))
        except InputError as error:
            error.where = variable
            raise
        self._environment = environment
        self._request = request
        self._where = where
        self._lock = threading.Lock()
        self._opened: httpx.Client | None = None

    def ask(
        self,
        action: Action,
        verb: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        guard: Guard | None = None,
    ) -> Answer:
        """Send a request. It is a write if there is a `guard`.

        Raises:
            TargetUnavailable: no answer, throttled, 5xx; ambiguous for a write that was sent.
            TargetForbidden: the token lacks a scope.
            TargetMisfit: a redirect, or too large.
            CredentialError: there is no token, or it is refused.
        """
        headers = {"Authorization": f"Bearer {self._token()}"}
        client, writing = self._client(), guard is not None
        if guard:
            guard()
        try:
            response = client.request(verb, path, params=dict(params or {}), json=body, headers=headers)
        except httpx.RequestError as error:
            failure = unreachable(action, error, self._url, self._request, writing=writing)
        else:
            return self._judge(action, response, writing=writing)
        raise failure

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
                origin = str(parse_origin(self._url))
                transport = BoundedTransport(
                    seconds=self._request,
                    verify=usual_trust(origin, self._environment),
                    proxy=proxy_for(origin, self._environment),
                )
                self._opened = httpx.Client(
                    base_url=self._url,
                    transport=transport,
                    trust_env=False,
                    follow_redirects=False,
                    headers={"Accept": "application/json", "User-Agent": f"keyturn/{__version__}"},
                )
            return self._opened

    def _token(self) -> str:
        name, token = account_token(self._environment)
        if not token:
            raise CredentialError("no DigitalOcean token found", where=self._where, remedy=f"Set {TOKENS[0]}.")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise CredentialError(
                f"the variable {name} does not hold a token",
                where=self._where,
                evidence="it contains spaces or unprintable characters",
            )
        return token

    @staticmethod
    def _judge(action: Action, response: httpx.Response, *, writing: bool) -> Answer:
        status = response.status_code
        if status == HTTPStatus.UNAUTHORIZED:
            raise CredentialError(
                "the API refuses this token",
                where=action.where,
                evidence=f"status {status}",
                remedy=f"It has expired or was revoked: set a new one in {TOKENS[0]}.",
            )
        if status == HTTPStatus.FORBIDDEN:
            raise TargetForbidden(
                f"this token may not {action.doing}",
                where=action.where,
                evidence=f"status {status}",
                remedy=action.remedy,
            )
        check_status(action, status, writing=writing)
        if status >= HTTPStatus.BAD_REQUEST:
            return Answer(status, {})
        try:
            body = decoded(response.content)
        except ValueError:
            body = None
        if isinstance(body, dict):
            return Answer(status, body)
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of the API",
            where=action.where,
            evidence=f"status {status}",
            remedy="Check that the address is the API, not a proxy.",
            ambiguous=writing,
        )
