"""The HTTP server of `run` and `operator`: `/healthz`, `/readyz`, `/metrics` and `/`, for reading only."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from keyturn.cli.connections import bounded_server
from keyturn.cli.pages import Judge, Pages, Render
from keyturn.core.errors import InputError
from keyturn.report.documents import StatusDocument

START_SECONDS = 20.0
STOP_SECONDS = 5.0
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNUSABLE = {
    errno.EADDRINUSE: "Choose another port, or stop the process that uses it.",
    errno.EADDRNOTAVAIL: "This machine does not have this address: use one of its own, such as 127.0.0.1.",
    errno.EACCES: "This port needs rights that keyturn should not have: choose one above 1023, such as 9464.",
}
"""What to do about an address that cannot be listened on."""
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 takes any free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback


def parse_address(text: str) -> Address:
    """Return the address of `HOST:PORT` or `[IPv6]:PORT`; the host is an IP address or `localhost`.

    Raises ValueError for anything else: a name could be resolved to an address that nobody meant.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    wrong = "must be an address and a port, such as 127.0.0.1:9464"
    if not port.isascii() or not port.isdigit():
        raise ValueError(f"{wrong}: it has no port")
    if int(port) > 65535:  # noqa: PLR2004
        raise ValueError(f"{wrong}: a port is at most 65535")
    if not host:
        raise ValueError(f"{wrong}: it has no address")
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f"{wrong}: {host!r} is neither an IP address nor localhost") from None
    return Address(host, int(port))


def application(pages: Pages, address: Address) -> ASGIApp:
    """Return the application. On a loopback address it answers to names of this machine only.

    A page of another site could otherwise read it in an operator's browser, under a name that it resolves to 127.0.0.1.
    """

    def told(answer: Response) -> Response:
        answer.headers.update(HEADERS)
        return answer

    def refused(request: Request) -> bool:
        if not address.loopback:
            return False
        host = request.headers.get("host", "")
        return (host if host.endswith("]") else host.rpartition(":")[0] or host) not in LOCAL_NAMES

    def answered(request: Request, answer: Callable[[], Response]) -> Response:
        if refused(request):
            return told(PlainTextResponse("This server answers to localhost only.\n", 421))
        return told(answer())

    def judged(judge: Judge) -> Callable[[Request], Awaitable[Response]]:
        def answer() -> Response:
            well, what = judge()
            return JSONResponse(what, 200 if well else 503)

        async def asked(request: Request) -> Response:
            return answered(request, answer)  # in the loop of the server: no page that is rendered delays it

        return asked

    def page(render: Render, media_type: str) -> Callable[[Request], Response]:
        rendered = _Rendered(render)

        def answer() -> Response:
            status = pages.status()
            if status is None:
                return PlainTextResponse("There was no look yet.\n", 503)
            return Response(rendered.text(status), media_type=media_type)

        return lambda request: answered(request, answer)

    found = Starlette(
        routes=[
            Route("/healthz", judged(pages.health)),
            *([Route("/readyz", judged(pages.ready))] if pages.ready else []),
            Route("/metrics", page(pages.metrics, OPENMETRICS)),
            Route("/", page(pages.html, "text/html; charset=utf-8")),
        ]
    )
    found.router.redirect_slashes = False  # a redirect would repeat the Host of the request
    return found


class _Rendered:
    """A page that is rendered again only for a status that differs, however often it is asked for. Thread-safe."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._lock = threading.Lock()
        self._of: StatusDocument | None = None
        self._text = ""

    def text(self, status: StatusDocument) -> str:
        with self._lock:
            if status != self._of:
                self._text, self._of = self._render(status), status
            return self._text


class Listener:
    """Serves in a thread of its own until the block ends."""

    def __init__(self, pages: Pages, address: Address) -> None:
        """Prepare; nothing listens yet."""
        self._pages = pages
        self._address = address
        self.url = ""

    def __enter__(self) -> Self:
        """Listen and serve. Raises InputError if the address cannot be used."""
        self._socket = _listen(self._address)
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        self._server = bounded_server(application(self._pages, self._address))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="keyturn-http", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                self._socket.close()
                raise InputError("the HTTP server did not start", where=self.url)
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)
        self._socket.close()


def _listen(address: Address) -> socket.socket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, address.port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise InputError(
            "cannot listen on this address",
            where=f"{address.host}:{address.port}",
            evidence=error.strerror or "",
            remedy=_UNUSABLE.get(error.errno or 0, "Choose another address or port."),
        ) from None
    return listener
