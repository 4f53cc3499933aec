"""A receiver of notices: an HTTP server on loopback that notes what it gets, and can be down, slow or unwilling."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def notice(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Listener:
    """The server. `status` is what it answers; `before` is called before it answers, after the request is noted."""

    def __init__(self) -> None:
        """Take a port; it is down until `up`."""
        self.status = 204
        self.location = ""
        self.before: Callable[[], None] = lambda: None
        self.log: list[Got] = []
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, always on the same port."""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            """Notes each request."""

            def do_POST(self) -> None:
                """Note it and answer."""
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.log.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                listener.before()
                self.send_response(listener.status)
                if listener.location:
                    self.send_header("Location", listener.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def down(self) -> None:
        """Listen no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def notices(self, path: str = "/hook") -> list[dict[str, Any]]:
        """Return the notices that came to a path, in their order."""
        return [got.notice for got in self.log if got.path == path]

    def told(self, path: str = "/hook") -> list[tuple[str, str]]:
        """Return event and key of each notice that came to a path."""
        return [(str(one["event"]), str(one["key"])) for one in self.notices(path)]
