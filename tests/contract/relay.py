"""A server between a target and a real OpenBao that loses, breaks or replaces what passes through it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from urllib.parse import urlsplit

from tests.support.raw_http import RawServer


class Fault(Enum):
    """What happens to a request instead of being passed on and answered."""

    LOST_ANSWER = "passed on; the connection breaks before the answer"
    DROPPED = "the connection breaks, nothing was passed on"


Judge = Callable[[bytes], Fault | bytes | None]
"""Given the bytes of a request: a fault, another answer, or None to pass it on."""


def is_write(request: bytes) -> bool:
    """Tell whether a request writes to the KV engine."""
    return request.startswith((b"POST /v1/secret/data/", b"PUT /v1/secret/data/"))


@contextmanager
def relay(address: str, judge: Judge) -> Iterator[RawServer]:
    """Listen before the server at `address`."""

    def script(connection: socket.socket) -> None:
        request = server.requests[-1]
        found = judge(request)
        if found is Fault.DROPPED:
            return
        answer = found if isinstance(found, bytes) else _forward(address, request)
        if found is not Fault.LOST_ANSWER:
            connection.sendall(answer)

    with RawServer(script) as server:
        yield server


def _forward(address: str, request: bytes) -> bytes:
    parts = urlsplit(address)
    last = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", request, count=1).replace(
        b"\r\n", b"\r\nConnection: close\r\n", 1
    )
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as server:
        server.sendall(last)
        answer = b""
        while chunk := server.recv(65536):
            answer += chunk
    return answer
