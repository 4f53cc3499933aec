"""Sends the requests of botocore, so that they have the same bounds as those of the other targets."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping

import httpx
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders

from keyturn.core.origins import origin_of
from keyturn.targets.bounded_http import BoundedTransport, trust
from keyturn.targets.origins import proxy_for


class Sender:
    """Sends the requests of all clients of a session. Thread-safe.

    Its `send` is a handler of botocore's event `before-send`: an answer that a handler returns is used as it is. So
    certificates, proxies and deadlines are decided here.
    """

    def __init__(self, seconds: float, environment: Mapping[str, str], authority: str, where: str) -> None:
        """`seconds` is the deadline of a request. `authority` is the file of a certificate authority, or empty.

        Raises InputError if that file cannot be used.
        """
        self._seconds = seconds
        self._environment = environment
        self._verify = trust(authority, where)
        self._lock = threading.Lock()
        self._transports: dict[str, BoundedTransport] = {}

    def send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        """Send a request. Raises httpx.RequestError."""
        body = request.body
        if not isinstance(body, str | bytes | None):
            body = bytes(body) if isinstance(body, bytearray) else body.read()
        sent = httpx.Request(request.method, request.url, headers=dict(request.headers.items()), content=body)
        answer = self._transport(origin_of(request.url)).handle_request(sent)
        headers = HTTPHeaders.from_pairs(answer.headers.multi_items())
        return AWSResponse(request.url, answer.status_code, headers, _Body(answer.content))

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()

    def _transport(self, origin: str) -> BoundedTransport:
        with self._lock:
            if origin not in self._transports:
                proxy = proxy_for(origin, self._environment)
                self._transports[origin] = BoundedTransport(seconds=self._seconds, verify=self._verify, proxy=proxy)
            return self._transports[origin]


class _Body(io.BytesIO):
    """A body that was read, as botocore reads it."""

    def stream(self) -> Iterator[bytes]:
        """Yield the whole body."""
        yield self.read()
