"""An HTTP API with JSON answers, for targets that need no vendor's library: requests, and the errors for answers.

No text of an answer is repeated: it may contain a secret.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import httpx

from keyturn import __version__
from keyturn.core.errors import CredentialError, InputError, TargetUnavailable
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.sanitize import plain
from keyturn.targets.base import Guard
from keyturn.targets.bounded_http import BoundedTransport, usual_trust
from keyturn.targets.origins import proxy_for
from keyturn.targets.servers import Action, check_status, decoded, unreachable

_PATH = re.compile(r"(/(?!\.\.?(/|\Z))[-._a-zA-Z0-9@+=]+)+")
"""What a path is made of. Anything else would be another path: httpx takes `..` away, and ends one at `?` or `#`."""
LONGEST = 3600.0
"""So many seconds at most nothing is sent because a server asks for it."""
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach an API. `base` is its URL without a slash at its end; `request` is a deadline in seconds."""

    base: str
    proxy: str
    request: float
    environment: Mapping[str, str] = field(repr=False)
    """Holds SSL_CERT_FILE and SSL_CERT_DIR."""


def endpoint(url: str, environment: Mapping[str, str], request: float) -> Endpoint:
    """Return the API at a URL.

    Raises:
        InputError: not a URL, or plain http to another machine.
    """
    base = url.rstrip("/")
    origin = parse_origin(base)
    check_transport(origin)
    return Endpoint(base, proxy_for(str(origin), environment), request, environment)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, `body` as JSON. It is a write if there is a `guard`."""

    verb: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: str | None = field(default=None, repr=False)
    guard: Guard | None = None


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
        with suppress(ValueError):
            found = decoded(self.text.encode(errors="surrogatepass"))
            if isinstance(found, dict):
                return found
        return {}


class Rest:
    """Sends requests, also concurrently. Thread-safe."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], limit: Callable[[Answer], float | None]) -> None:
        """Keep the settings. Nothing is sent yet.

        `headers` are sent with every request. `limit` tells for how many seconds an answer asks to send nothing, None
        if it does not.
        """
        self._endpoint = endpoint
        self._headers = {"User-Agent": f"keyturn/{__version__}", **headers}
        self._limit = limit
        self._lock = threading.Lock()
        self._opened: httpx.Client | None = None
        self._silent_until = 0.0

    @property
    def base(self) -> str:
        """The URL of the API."""
        return self._endpoint.base

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
        if not credential.isascii() or not credential.isprintable() or " " in credential:
            what = "this is no credential: it contains spaces or unprintable characters"
            raise CredentialError(what, where=action.where)
        self._wait(action, self._silent_until - time.monotonic())
        writing = request.guard is not None
        headers = {"Authorization": f"Bearer {credential}"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        client = self._client()
        if request.guard:
            request.guard()
        try:
            response = client.request(
                request.verb,
                f"{self._endpoint.base}{request.path}",
                params=dict(request.params),
                content=request.body,
                headers=headers,
            )
        except httpx.RequestError as error:
            end = self._endpoint
            failure = unreachable(action, error, end.base, end.request, writing=writing)
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
                end = self._endpoint
                transport = BoundedTransport(
                    seconds=end.request, verify=usual_trust(end.base, end.environment), proxy=end.proxy
                )
                self._opened = httpx.Client(
                    transport=transport, trust_env=False, follow_redirects=False, headers=self._headers
                )
            return self._opened

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
