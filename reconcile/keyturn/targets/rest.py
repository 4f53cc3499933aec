"""HTTP APIs with JSON answers, without a vendor's library: `Client` sends requests, `Rest` judges the answers too.

No text of an answer is repeated: it may contain a secret.
"""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus

import httpx

from keyturn import __version__
from keyturn.core.errors import CredentialError, InputError, TargetUnavailable
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.sanitize import plain
from keyturn.core.secret import sendable
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport, usual_trust
from keyturn.targets.origins import proxy_for
from keyturn.targets.servers import Action, check_status, json_object, unreachable

_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[-._a-zA-Z0-9@+=]+)+")
"""What a path is made of. Anything else would be another path: httpx takes `..` away, and ends one at `?` or `#`."""
LONGEST = 3600.0
"""So many seconds at most nothing is sent because a server asks for it."""
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach an API.

    `base` is its URL without a slash at its end. `proxy` is empty for none. `request` is the deadline of one request in
    seconds.
    """

    base: str
    proxy: str
    request: float


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `body` is JSON, as text or still to be encoded. It is a write if there is a `guard`."""

    verb: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: str | Mapping[str, object] | None = field(default=None, repr=False)
    guard: Guard | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the caller has to judge: 2xx, and 4xx that does not mean the same everywhere."""

    status: int
    text: str = field(repr=False)
    headers: httpx.Headers

    @property
    def good(self) -> bool:
        """Whether the request succeeded."""
        return self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def date(self) -> float | None:
        """The server's clock when it answered, in Unix seconds; None if it does not say."""
        with suppress(ValueError, OverflowError):
            return parsedate_to_datetime(self.headers.get("Date", "")).timestamp()
        return None

    def object(self) -> Mapping[str, object]:
        """Return the JSON object of the answer, empty if it is none."""
        return json_object(self.text.encode(errors="surrogatepass")) or {}


class Client:
    """Sends requests within bounds, also concurrently. Thread-safe. The caller judges the answers."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], trust: Callable[[], ssl.SSLContext]) -> None:
        """Keep the settings. Nothing is read or sent yet.

        `headers` are sent with every request. `trust` is called for the first one, before its guard.
        """
        self._endpoint = endpoint
        self._headers = {"Accept": "*/*", "User-Agent": f"keyturn/{__version__}", **headers}
        self._trust = trust
        self._lock = threading.Lock()
        self._opened: BoundedTransport | None = None

    @property
    def base(self) -> str:
        """The URL of the API."""
        return self._endpoint.base

    def send(self, action: Action, request: Request, headers: Mapping[str, str]) -> httpx.Response:
        """Send a request with further headers; a body is called application/json unless they say otherwise.

        Nothing is read from the process environment, and no redirect is followed.

        Raises:
            TargetUnavailable: no usable answer; ambiguous for a write that was sent.
        """
        end, body = self._endpoint, request.body
        transport = self._transport()
        sent = httpx.Request(
            request.verb,
            f"{end.base}{request.path}",
            params=dict(request.params),
            content=body if isinstance(body, str) else None,
            json=None if isinstance(body, str) else body,
            headers={**self._headers, **({} if body is None else {"Content-Type": "application/json"}), **headers},
        )
        if request.guard:
            request.guard()
        try:
            return transport.handle_request(sent)
        except httpx.RequestError as error:
            failure = unreachable(action, error, end.base, end.request, writing=request.guard is not None)
        raise failure

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _transport(self) -> BoundedTransport:
        with self._lock:
            if self._opened is None:
                end = self._endpoint
                self._opened = BoundedTransport(seconds=end.request, verify=self._trust(), proxy=end.proxy)
            return self._opened


def client_of(url: str, environment: Mapping[str, str], request: float, headers: Mapping[str, str]) -> Client:
    """Return a client of the API at a URL, with the proxy and the authorities of an environment.

    `request` is the deadline of one request in seconds; `headers` are sent with every one.

    Raises:
        InputError: not a URL, or plain http to another machine.
    """
    base = url.rstrip("/")
    origin = parse_origin(base)
    check_transport(origin)
    proxy = proxy_for(str(origin), environment)
    return Client(Endpoint(base, proxy, request), headers, partial(usual_trust, str(origin), environment))


class Rest:
    """Sends requests with a credential, also concurrently. Thread-safe."""

    def __init__(self, client: Client, limit: Callable[[Answer], float | None]) -> None:
        """Keep these. Nothing is sent yet.

        `limit` tells for how many seconds an answer asks to send nothing, None if it does not.
        """
        self._client = client
        self._limit = limit
        self._silent_until = 0.0

    @property
    def base(self) -> str:
        """The URL of the API."""
        return self._client.base

    def send(self, action: Action, request: Request, credential: str) -> Answer:
        """Send a request with a credential as its bearer token.

        Raises:
            TargetUnavailable: no answer, throttled, 5xx, or no text; ambiguous for a write that was sent. For as long
                as the server asks to wait, nothing is sent.
            TargetMisfit: a redirect, or too large.
            InputError: a name in the path would lead elsewhere. Nothing was sent.
            CredentialError: the credential cannot be sent.
        """
        if not _PATH.fullmatch(request.path):
            raise InputError(
                f"could not {action.doing}: this name is not allowed",
                where=plain(action.where, 200),
                evidence=f"it would lead to the path {plain(request.path, 200)!r}",
            )
        if not sendable(credential):
            what = "this is no credential: it contains spaces or unprintable characters"
            raise CredentialError(what, where=action.where)
        self._wait(action, self._silent_until - time.monotonic())
        response = self._client.send(action, request, {"Authorization": f"Bearer {credential}"})
        return self._judge(action, response, writing=request.guard is not None)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _judge(self, action: Action, response: httpx.Response, *, writing: bool) -> Answer:
        text = ""  # of what is no text
        with suppress(UnicodeDecodeError):
            text = response.content.decode()
        answer = Answer(response.status_code, text, response.headers)
        seconds = self._limit(answer)
        if seconds is not None:
            seconds = min(seconds, LONGEST)
            self._silent_until = max(self._silent_until, time.monotonic() + seconds)
            self._wait(action, seconds)
        check_status(action, answer.status, writing=writing)
        return answer

    @staticmethod
    def _wait(action: Action, seconds: float) -> None:
        """Raise TargetUnavailable if the server asked to send nothing for that long: nothing happened, and may not."""
        if seconds > 0:
            raise TargetUnavailable(
                f"could not {action.doing}: the server asks to wait",
                where=action.where,
                evidence=f"{seconds:.0f} s, its limit of requests",
                remedy="Run again then.",
            )


def seconds_of(headers: httpx.Headers, name: str = "Retry-After") -> float | None:
    """Return the whole seconds in a header; None if it holds anything else."""
    text = headers.get(name, "").strip()
    return float(text) if _SECONDS.fullmatch(text) else None
