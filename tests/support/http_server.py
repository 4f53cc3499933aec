"""What the HTTP servers of the tests share: they listen on loopback from the start to the end of a `with` block."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Self


class HttpServer:
    """Answers by a handler, which finds this object as `self.server.owner`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.owner = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Keeps a connection for further requests, sends an answer in one piece, and prints nothing."""

    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float | None] = 10
    wbufsize = -1

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def body(self) -> bytes:
        """Read the body of the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))
