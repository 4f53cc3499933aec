"""The control API of DigitalOcean, for targets in the account: the connection, the token, and the errors for answers.

A manifest names no address: the account token goes to DigitalOcean, or to KEYTURN_API_URL. No text of an answer is
repeated: a refusal may quote the request, and so the secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from keyturn.core.errors import CredentialError, InputError, TargetForbidden, TargetUnavailable
from keyturn.core.secret import sendable
from keyturn.core.variables import API, TOKENS, account_token
from keyturn.targets.rest import Request, client_of
from keyturn.targets.servers import Action, check_status, json_object


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
        url = environment.get(variable, "") or default
        try:
            self._client = client_of(url, environment, request, {"Accept": "application/json"})
        except InputError as error:
            error.where = variable
            raise
        self._environment = environment
        self._where = where

    def ask(self, action: Action, request: Request) -> Answer:
        """Send a request.

        Raises:
            TargetUnavailable: no answer, throttled, 5xx; ambiguous for a write that was sent.
            TargetForbidden: the token lacks a scope.
            TargetMisfit: a redirect, or too large.
            CredentialError: there is no token, or it is refused.
        """
        response = self._client.send(action, request, {"Authorization": f"Bearer {self._token()}"})
        return self._judge(action, response, writing=request.guard is not None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _token(self) -> str:
        name, token = account_token(self._environment)
        if not token:
            raise CredentialError("no DigitalOcean token found", where=self._where, remedy=f"Set {TOKENS[0]}.")
        if not sendable(token):
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
        if (body := json_object(response.content)) is not None:
            return Answer(status, body)
        raise TargetUnavailable(
            f"could not {action.doing}: this is not an answer of the API",
            where=action.where,
            evidence=f"status {status}",
            remedy="Check that the address is the API, not a proxy.",
            ambiguous=writing,
        )
