"""An HTTP client with bearer auth and a deadline for the whole request. Its errors separate unsent from unknown.

- Every request has its own connection. The server may just have closed a kept-alive one, and a mint sent on it would
  be ambiguous without need.
- The guard of a mutating call runs before connecting, and again immediately before the first byte of the request, in
  the caller's thread.
- Redirects are not followed, so that no credential ever reaches another origin. A proxy is used only if it is given.
- Bodies are kept out of `repr` and are never logged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from keyturn.core.errors import Ambiguous, ApiError, InputError, NotAccepted
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.secret import Secret, sendable
from keyturn.live.digitalocean.redact import redact
from keyturn.targets.bounded_http import BODY_LIMIT, Watchdog, usual_trust
from keyturn.targets.servers import NO_TLS_TEXT, perhaps_tls, speaks_no_tls

_REFUSED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer with its whole body. `seconds` is the time from the start to the head of the answer."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)
    seconds: float


class _TooLate(Exception):
    """The deadline passed before the first byte of the request."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """One request in progress: its guard, and the watchdog of its connection."""

    guard: Callable[[], None] | None
    watchdog: Watchdog

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Follow httpcore's events: keep the socket, and run the guard immediately before the request."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self.watchdog.watch(info["return_value"].get_extra_info("socket"))
        elif event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            if self.guard is not None:
                self.guard()
            if self.watchdog.expired:
                raise _TooLate


class HttpClient:
    """Sends requests to one origin. Thread-safe."""

    def __init__(self, url: str, *, seconds: float, user_agent: str, proxy: str = "") -> None:
        """Prepare for base `url`. `seconds` is the deadline of a whole request, `proxy` the URL of a proxy or empty.

        Raises InputError if `url` is not a plain http(s) URL, or is plain http to another machine, or for an invalid
        `proxy`.
        """
        check_transport(parse_origin(url))
        self.url = url.rstrip("/")
        self._seconds = seconds
        try:
            self._client = httpx.Client(
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": user_agent},
                limits=httpx.Limits(max_keepalive_connections=0),
                timeout=seconds,
                follow_redirects=False,
                proxy=proxy or None,
                trust_env=False,  # it would send requests to this machine through HTTP_PROXY or ALL_PROXY, in clear
                verify=usual_trust(url, os.environ),
            )
        except (ValueError, httpx.InvalidURL):  # their text may hold the proxy's password
            raise InputError("this is not the URL of a proxy", where="HTTPS_PROXY") from None

    def close(self) -> None:
        """Close the client."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        bearer: Secret,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        guard: Callable[[], None] | None = None,
    ) -> Answer:
        """Send once and return the answer, with any status.

        Raises NotAccepted if nothing was sent, Ambiguous without a complete answer, and the errors of `guard`.
        """
        if not sendable(bearer.reveal()):
            raise NotAccepted(
                "not sent: the credential has characters that are not allowed in a header", where=self.url
            )
        if guard is not None:
            guard()
        watchdog = Watchdog(self._seconds)
        failure: ApiError
        # Raise outside the handlers: httpx errors contain the request, and with it the credential.
        try:
            with watchdog:
                return self._exchange(method, path, bearer, params, body, _Flight(guard, watchdog))
        except _TooLate:
            failure = NotAccepted(f"not sent: no connection within {self._seconds:g} s", where=self.url)
        except _REFUSED as error:
            plain = speaks_no_tls(error)
            failure = NotAccepted(
                NO_TLS_TEXT if plain else "could not connect",
                where=self.url,
                evidence=_kind(error) if plain else redact(str(error) or _kind(error), bearer),
                remedy="Check the network, and KEYTURN_API_URL or KEYTURN_INFERENCE_URL if it is set.",
            )
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError, ValueError) as error:
            late = watchdog.expired or isinstance(error, httpx.TimeoutException)
            what = (
                f"no complete answer within {self._seconds:g} s"
                if late
                else "the connection was lost before the answer"
            )
            remedy = perhaps_tls(error, self.url)
            failure = Ambiguous(what, where=self.url, evidence=_kind(error), remedy=remedy)
        raise failure

    def _exchange(
        self,
        method: str,
        path: str,
        bearer: Secret,
        params: Mapping[str, str] | None,
        body: Mapping[str, object] | None,
        flight: _Flight,
    ) -> Answer:
        started = time.monotonic()
        with self._client.stream(
            method,
            self.url + path,
            params=params,
            json=body,
            headers={"Authorization": f"Bearer {bearer.reveal()}"},
            extensions={"trace": flight.trace},
        ) as response:
            seconds = time.monotonic() - started
            read = bytearray()
            for chunk in response.iter_bytes():
                read += chunk
                if len(read) > BODY_LIMIT:
                    message = "too long"
                    raise httpx.DecodingError(message)
            return Answer(response.status_code, response.headers, bytes(read), seconds)


def _kind(error: Exception) -> str:
    return type(error).__name__
