"""The server, in a thread for tests or in the foreground for the command line. Loopback only."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType
from typing import Final, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from keyturn.sandbox.app import TRANSPORT, application
from keyturn.sandbox.ready import ReadyKey
from keyturn.sandbox.service import Service
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import Token

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
# Longer than any client keeps an idle connection: the sandbox closes one only for a fault.
KEEP_ALIVE_SECONDS: Final = 3600


class Protocol(H11Protocol):
    """HTTP/1.1 whose application can drop the connection: the transport is in the scope's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Remember the transport, for this connection only."""
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class Sandbox(Service):
    """A local DigitalOcean: `with Sandbox(create="gone", seed=1) as sandbox: sandbox.url, sandbox.token`."""

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        port: int = 0,
        seed: int | None = None,
        start: float | None = None,
        tokens: Iterable[Token | str] = (),
        keys: Iterable[ReadyKey] = (),
        **changes: object,
    ) -> None:
        """Prepare an account. `changes` are fields of `Settings`; port 0 is any free port. Raises ValueError."""
        super().__init__((settings or Settings()).changed(changes), seed=seed, start=start, tokens=tokens, keys=keys)
        self._port = port
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL of both APIs, known when the sandbox runs."""
        return f"http://{HOST}:{self._port}"

    @property
    def exports(self) -> dict[str, str]:
        """The environment variables that direct keyturn to this sandbox."""
        return {"KEYTURN_API_URL": self.url, "KEYTURN_INFERENCE_URL": self.url, "DIGITALOCEAN_TOKEN": self.token}

    def __enter__(self) -> Self:
        """Listen and serve. Raises OSError if the port is in use."""
        listener = _listen(self._port)
        self._port = listener.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                application(self),
                http=Protocol,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                date_header=False,  # the sandbox has its own clock
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="keyturn-sandbox", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                listener.close()
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.001)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving. Delayed answers are dropped."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS)


def _listen(port: int) -> socket.socket:
    # The protocol is given because asyncio sets TCP_NODELAY only then. Without it each answer takes 40 ms, because its
    # head and its body are two writes.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def serve(
    settings: Settings,
    port: int,
    *,
    announce: Callable[[str], None],
    seed: int | None = None,
    tokens: Iterable[Token | str] = (),
    keys: Iterable[ReadyKey] = (),
) -> int:
    """Serve until SIGINT or SIGTERM and return the signal's number. Main thread only. OSError if the port is in use.

    `announce` is called with one line per export, as soon as the sandbox answers.
    """
    stop = threading.Event()
    caught: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        caught.append(number)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(settings=settings, port=port, seed=seed, tokens=tokens, keys=keys) as sandbox:
            for name, value in sandbox.exports.items():
                announce(f"export {name}={value}")
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return caught[0]
