"""HTTP requests within bounds: a deadline for the whole answer, a largest size, and no compression.

The client libraries that keyturn uses have a deadline only for each read, so a server that sends one byte now and then
keeps them waiting for ever. All of them send their requests through this module.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Any, Self

import httpx

from keyturn.core.errors import InputError

BODY_LIMIT = 8 * 1024 * 1024
"""The largest body of an answer, in bytes."""

CONNECT = 1 / 3
"""The part of a request's deadline for connecting. The rest is for the answer."""

LATE, GRACE = 0.5, 1.0
"""Seconds: so late a deadline shows that the process stood still, and so long it has to read what has arrived."""

NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""With these errors, no byte of the request was sent."""


class Unreadable(httpx.DecodingError):
    """The answer is too large, or is compressed although that was not asked for. The text says which."""


def trust(authority: str, where: str, origin: str = "https:") -> ssl.SSLContext:
    """Return what trusts a certificate authority, or the usual ones if the name of the file is empty.

    Nothing of the process environment is used. For an `origin` without TLS the result trusts nobody. Raises InputError
    if the file cannot be used.
    """
    if not authority:
        return usual_trust(origin)
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        why = type(error).__name__
    raise InputError("this certificate file cannot be used", where=where, evidence=f"{authority}, {why}")


def usual_trust(origin: str, environment: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Return what trusts the usual authorities, or those in SSL_CERT_FILE or SSL_CERT_DIR of an `environment`.

    For an `origin` without TLS it trusts nobody: to read the authorities takes as long as dozens of requests.
    """
    if not origin.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    file, folder = ((environment or {}).get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    if file or folder:
        return ssl.create_default_context(cafile=file or None, capath=None if file else folder)
    return _usual()


@cache
def _usual() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class Watchdog:
    """Shuts down the connection of one request if it is still in use after `seconds`. Starts with its `with` block.

    If the process stood still past the deadline, what arrived in time is read first. Where the system gives no more
    threads, a request goes without: its reads still have their timeouts, and a fresh secret gets where it has to.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._seconds, self._deadline = seconds, 0.0
        self._over = self._late = False
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._deadline = time.monotonic() + self._seconds
        with suppress(RuntimeError):
            _ALARMS.set(self._deadline, self._expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over, self._socket = True, None

    def watch(self, connection: socket.socket) -> None:
        """Watch this connection instead of the one before, for example after the TLS handshake."""
        self._socket = connection
        if self.expired:
            _shut_down(connection)

    def _expire(self) -> None:
        now = time.monotonic()
        if not self._late and not self._over and now - self._deadline > LATE:
            self._late = True
            _ALARMS.set(now + GRACE, self._expire)
        elif not self._over:
            self.expired, watched = True, self._socket
            if watched is not None:
                _shut_down(watched)


class _Alarms:
    """Calls functions at their moments, in one thread for all requests: a thread for each would cost more than they."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    def set(self, moment: float, call: Callable[[], None]) -> None:
        """Call a function at a moment of the monotonic clock."""
        with self._changed:
            heapq.heappush(self._due, (moment, next(self._numbers), call))
            if self._thread is None or not self._thread.is_alive():  # a fork has no threads
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif self._due[0][0] == moment:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or (left := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left if self._due else None)
                call = heapq.heappop(self._due)[2]
            call()


_ALARMS = _Alarms()


class BoundedTransport(httpx.BaseTransport):
    """Sends requests within bounds, and returns each answer with its whole body. Thread-safe.

    Each connection is used by one request at a time, and is kept open for the next one.
    """

    def __init__(self, *, seconds: float, verify: ssl.SSLContext, proxy: str = "") -> None:
        """`seconds` is the deadline of a whole request. `proxy` is a URL, or empty for none."""
        self._seconds = seconds
        self._verify = verify
        self._proxy = proxy
        self._idle: queue.LifoQueue[_Connection] = queue.LifoQueue()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request.

        Raises:
            httpx.RequestError: no complete answer. If it is one of NEVER_SENT, nothing was sent.
            Unreadable: the answer is larger than BODY_LIMIT, or is compressed.
        """
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = _Connection(self._verify, self._proxy)
        whole = False
        try:
            answer = connection.send(request, self._seconds)
            whole = True
        finally:
            if whole:
                self._idle.put(connection)
            else:
                connection.close()
        return answer

    def close(self) -> None:
        """Close the connections that are not in use."""
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


class _Connection:
    """One connection. It is made by the first request, and made again if the server has closed it."""

    def __init__(self, verify: ssl.SSLContext, proxy: str) -> None:
        self._transport = httpx.HTTPTransport(
            verify=verify, trust_env=False, limits=httpx.Limits(max_connections=1), proxy=proxy or None
        )
        self._socket: socket.socket | None = None

    def close(self) -> None:
        self._transport.close()

    def send(self, request: httpx.Request, seconds: float) -> httpx.Response:
        failure: httpx.RequestError
        with Watchdog(seconds) as watchdog:
            if self._socket is not None:
                watchdog.watch(self._socket)

            def trace(event: str, info: Mapping[str, Any]) -> None:
                """Follow httpcore's events, for the socket and for the moment before the first byte."""
                if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                    self._socket = info["return_value"].get_extra_info("socket")
                    if self._socket is not None:
                        watchdog.watch(self._socket)
                elif event.endswith("send_request_headers.started") and watchdog.expired:
                    raise httpx.ConnectTimeout("no connection within the deadline")

            request.headers["Accept-Encoding"] = "identity"
            wait = {"connect": seconds * CONNECT, "read": seconds, "write": seconds, "pool": seconds}
            request.extensions = {**request.extensions, "timeout": wait, "trace": trace}
            try:
                answer = self._exchange(request)
            except NEVER_SENT:
                raise
            except httpx.RequestError as error:
                failure = error
            except (OSError, ValueError) as error:
                failure = httpx.ReadError(type(error).__name__)
            else:
                if not watchdog.expired:  # else the body may only look complete
                    return answer
                failure = httpx.ReadTimeout("")
        if watchdog.expired:
            failure = httpx.ReadTimeout("no complete answer within the deadline")
        raise failure

    def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        try:
            coding = response.headers.get("Content-Encoding", "").strip().lower()
            if coding not in {"", "identity"}:
                raise Unreadable("the answer is compressed, which was not asked for")
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise Unreadable(f"the answer is larger than {BODY_LIMIT // 1024**2} MiB")
        finally:
            response.close()
        # A client would send the cookies of an answer with the next request.
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"set-cookie"]
        return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=request)


def _shut_down(connection: socket.socket) -> None:
    # Use the method of the plain socket: that of a TLS socket would drop the TLS object while it is being read.
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
