"""The bounds of each connection to the HTTP server of `keyturn run`: its time, its header, and how many there are."""

from __future__ import annotations

import asyncio

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 10.0
"""From the first byte of a connection to its end: the whole header, one answer, and its reading."""
MOST = 64
"""How many connections there are at a time. With one more the oldest ends, so slow clients keep nobody out."""
LARGEST_HEADER = 8 * 1024
WAITING = 4 * MOST
"""How many requests are at work, those of connections that ended among them. One more is answered with 503."""


class Bounded(H11Protocol):
    """A connection for one request, which ends after SECONDS whatever the client does."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the class above
        """Begin the deadline, and end the oldest connection if there are too many."""
        super().connection_made(transport)
        self.began = self.loop.time()
        self._end = self.loop.call_later(SECONDS, transport.abort)
        others = [one for one in self.connections if isinstance(one, Bounded)]
        if len(others) > MOST:
            oldest = min(others, key=lambda one: one.began)
            self.connections.discard(oldest)  # at once: its own end comes after the next connection
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the deadline."""
        self._end.cancel()
        super().connection_lost(exc)


def bounded_server(application: ASGIApp) -> uvicorn.Server:
    """Return a server for this application with these bounds."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            http=Bounded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            headers=[("connection", "close")],
            h11_max_incomplete_event_size=LARGEST_HEADER,
            limit_concurrency=WAITING,
            timeout_graceful_shutdown=1,
        )
    )
