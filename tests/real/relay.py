"""What stands between the command line and its servers: it can hold one request, and say so, at a chosen moment."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR, socket
from typing import Any, Self, cast
from urllib.parse import parse_qs, urlsplit

LONGEST = 60.0
"""Seconds after which a request that is held goes on by itself: no test can hang on one that it forgot."""
SILENCE = 300.0
"""Seconds without a word after which the answer to a watch ends."""
HOP = frozenset({"connection", "keep-alive", "transfer-encoding"})
NOT_PASSED_ON = HOP | {"content-length"}
"""Of an answer: its length is told again."""


class Moment(StrEnum):
    """Where a request is held."""

    BEFORE = "before"
    """The server has not seen it."""
    AFTER = "after"
    """The server did it; its answer is under way."""
    LATE = "late"
    """As BEFORE; but it reaches the server some time after its sender died."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that passed: what it was about, and the status that the server gave (None: it broke the connection)."""

    what: str
    verb: str
    path: str
    mutating: bool
    status: int | None


Kind = Callable[[str, str, bytes], tuple[str, bool]]
"""Returns what a request is about, from its verb, path and body, and whether it changes something."""


def kind_of(verb: str, path: str, body: bytes) -> tuple[str, bool]:
    """Return what a request to the API of DigitalOcean is about, and whether it changes something."""
    parts = urlsplit(path).path.strip("/").split("/")
    if parts[0] == "v2" and verb != "GET":
        changes = {"POST": "create", "DELETE": "delete", "PATCH": "rename", "PUT": "rename"}
        return ("regenerate" if parts[-1] == "regenerate" else changes[verb]), True
    return "/".join(parts[:2]), False


@dataclass(slots=True)
class Hold:
    """One request that is to be held: the `nth` (from 1) that `matches`, at a moment."""

    matches: Callable[[str], bool]
    nth: int = 1
    moment: Moment = Moment.BEFORE
    reached: threading.Event = field(default_factory=threading.Event)
    what: str = ""
    _decided: threading.Event = field(default_factory=threading.Event)
    _dropped: bool = False

    def let_go(self) -> None:
        """Let the request, or its answer, go on."""
        self._decided.set()

    def drop(self) -> None:
        """Break the connection where it is."""
        self._dropped = True
        self._decided.set()

    def land(self, after: float) -> None:
        """Let the request reach its server some seconds from now, whether or not its sender still lives."""
        timer = threading.Timer(after, self._decided.set)
        timer.daemon = True
        timer.start()

    def stop(self, what: str) -> bool:
        """Hold, in the request's own thread; return whether it goes on."""
        self.what = what
        self.reached.set()
        self._decided.wait(LONGEST)
        return not self._dropped


class Gate:
    """What passed the relays of one process, or of several; and the one request that is to be held."""

    def __init__(self) -> None:
        """Start open."""
        self._lock = threading.Lock()
        self._sent: list[Sent] = []
        self._hold: Hold | None = None
        self._seen = 0
        self.cut = ""
        """The URL of a server to which every request breaks."""
        self._streams: dict[socket, str] = {}
        """Connections to servers whose answers have no end yet."""
        self.others: dict[str, Gate] = {}
        """The gates of those who show another login: what follows the last space of its header."""

    def arm(self, hold: Hold) -> Hold:
        """Hold a request from now on; return the hold."""
        with self._lock:
            self._hold, self._seen = hold, 0
        return hold

    def on(self, what: str, moment: Moment = Moment.BEFORE, nth: int = 1) -> Hold:
        """Hold the n-th changing request of a kind."""
        return self.arm(Hold(lambda kind: kind == what, nth, moment))

    def at(self, nth: int, moment: Moment) -> Hold:
        """Hold the n-th changing request of whatever kind."""
        return self.arm(Hold(lambda _: True, nth, moment))

    def open(self) -> None:
        """Hold nothing any more; what is held breaks."""
        with self._lock:
            hold, self._hold = self._hold, None
        if hold:
            hold.drop()

    def cut_off(self, server: str) -> None:
        """Let every request to the server at this URL break from now on, and every watch."""
        with self._lock:
            self.cut = server
            streams = [stream for stream, where in self._streams.items() if where == server]
        for stream in streams:
            with suppress(OSError):
                socket.shutdown(stream, SHUT_RDWR)  # not that of an SSLSocket, which belongs to its own thread

    @contextmanager
    def streaming(self, server: str, stream: socket) -> Iterator[bool]:
        """Keep a connection to a server, so that it can be cut; yield whether it may begin."""
        with self._lock:
            begins = self.cut != server
            self._streams[stream] = server
        try:
            yield begins
        finally:
            with self._lock:
                del self._streams[stream]

    def clear(self) -> None:
        """Forget what passed."""
        with self._lock:
            self._sent.clear()

    @property
    def changes(self) -> tuple[Sent, ...]:
        """The changing requests that reached a server, in order."""
        with self._lock:
            return tuple(sent for sent in self._sent if sent.mutating)

    def meet(self, what: str, *, mutating: bool) -> Hold | None:
        """Return the hold that this request falls into."""
        with self._lock:
            if self._hold is None or not mutating or not self._hold.matches(what):
                return None
            self._seen += 1
            return self._hold if self._seen == self._hold.nth else None

    def note(self, sent: Sent) -> None:
        """Write down what reached a server."""
        with self._lock:
            self._sent.append(sent)


class Relay:
    """Listens on loopback before one server; `url` is where."""

    def __init__(self, server: str, gate: Gate, kind: Kind = kind_of, pair: tuple[Path, Path] | None = None) -> None:
        """Prepare. `pair` are the files of the certificate of an https server, and its key: the relay shows it, too."""
        self._listener = _Listener(("127.0.0.1", 0), _Handler)
        self._listener.upstream, self._listener.gate, self._listener.kind = server, gate, kind
        if pair:
            self._listener.shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._listener.shown.load_cert_chain(*pair)
            self._listener.trusted = ssl.create_default_context(cafile=pair[0])
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True)
        self.url = f"{urlsplit(server).scheme}://127.0.0.1:{self._listener.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    upstream = ""
    gate: Gate
    kind: Kind
    shown: ssl.SSLContext | None = None
    trusted: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket, Any]:
        """Accept a connection; its handshake is left to the thread that serves it."""
        connection, address = super().get_request()
        if self.shown:
            connection = self.shown.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no error here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        """Pass one request on, through the gate."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        listener = cast("_Listener", self.server)
        what, mutating = listener.kind(self.command, self.path, body)
        login = self.headers.get("Authorization") or self.headers.get("X-Vault-Token") or ""
        gate = listener.gate.others.get(login.rpartition(" ")[2], listener.gate)
        hold = gate.meet(what, mutating=mutating)
        held = hold and hold.moment is not Moment.AFTER and not hold.stop(what)
        if held or gate.cut == listener.upstream:
            self.close_connection = True
            return
        if "watch" in parse_qs(urlsplit(self.path).query):
            self._stream(gate)
            return
        status, answer = self._forward(body)
        gate.note(Sent(what, self.command, self.path, mutating, status))
        if (hold and hold.moment is Moment.AFTER and not hold.stop(what)) or not answer:
            self.close_connection = True
            return
        with suppress(OSError):
            self.connection.sendall(answer)

    def _forward(self, body: bytes) -> tuple[int | None, bytes]:
        """Return the server's status and the bytes to answer; as much of the answer as the server gave."""
        server = self._server(LONGEST)
        try:
            server.request(self.command, self.path, body or None, self._passed_on())
            response = server.getresponse()
            try:
                content, whole = response.read(), True
            except IncompleteRead as error:
                content, whole = error.partial, False
            self.close_connection = self.close_connection or not whole
            return response.status, _bytes(response, content, whole=whole)
        except (OSError, HTTPException):
            return None, b""
        finally:
            server.close()

    def _stream(self, gate: Gate) -> None:
        """Pass an answer on as it comes, to its end: the end is passed on only if the server itself ended it."""
        self.close_connection = True
        upstream, server = cast("_Listener", self.server).upstream, self._server(SILENCE)
        try:
            server.connect()
            with gate.streaming(upstream, server.sock) as begins:
                if not begins:
                    return
                server.request(self.command, self.path, None, self._passed_on())
                response = server.getresponse()
                gate.note(Sent("watch", self.command, self.path, mutating=False, status=response.status))
                self.connection.sendall(_head(response) + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
                while part := response.read1(65536):
                    self.connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
                if gate.cut != upstream:
                    self.connection.sendall(b"0\r\n\r\n")
        except (OSError, HTTPException):
            return
        finally:
            server.close()

    def _passed_on(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower() not in HOP}

    def _server(self, seconds: float) -> HTTPConnection:
        listener = cast("_Listener", self.server)
        name, trusted = urlsplit(listener.upstream).netloc, listener.trusted
        return (
            HTTPSConnection(name, timeout=seconds, context=trusted)
            if trusted
            else HTTPConnection(name, timeout=seconds)
        )


def _bytes(response: HTTPResponse, content: bytes, *, whole: bool) -> bytes:
    length = response.getheader("Content-Length")
    if whole and response.status != HTTPStatus.NO_CONTENT:
        length = str(len(content))
    head = _head(response) + (f"\r\nContent-Length: {length}".encode() if length is not None else b"")
    return head + b"\r\n\r\n" + content


def _head(response: HTTPResponse) -> bytes:
    """Return the first line and the headers, but what they say about the length."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.getheaders() if name.lower() not in NOT_PASSED_ON]
    return "\r\n".join(lines).encode("latin-1")
