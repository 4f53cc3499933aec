"""Connections to a target's server: when one is used again, and which answers are taken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from keyturn.targets.bounded_http import BODY_LIMIT, NEVER_SENT, BoundedTransport, usual_trust
from tests.support.raw_http import RawServer, reply

KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
"""An answer after which the connection stays open."""


@pytest.fixture
def transport() -> Iterator[BoundedTransport]:
    """A transport with a deadline of five seconds."""
    made = BoundedTransport(seconds=5, verify=usual_trust("http:"))
    yield made
    made.close()


def get(transport: BoundedTransport, url: str) -> httpx.Response:
    """Send a request with a credential."""
    return transport.handle_request(httpx.Request("GET", f"{url}/v1/x?a=b%20c", headers={"X-Token": "secret-token"}))


def test_a_connection_is_used_again(transport: BoundedTransport) -> None:
    """Two requests, one connection; each is sent as it was made, and asks for no compression."""
    second = []

    def twice(connection: socket.socket) -> None:
        connection.sendall(KEPT)
        second.append(connection.recv(65536))
        connection.sendall(KEPT)

    with RawServer(twice) as server:
        answers = [get(transport, server.url) for _ in range(2)]
    assert [(one.status_code, one.content) for one in answers] == [(200, b"{}")] * 2
    assert len(server.requests) == 1
    host = server.url.removeprefix("http://")
    lines = ["GET /v1/x?a=b%20c HTTP/1.1", f"Host: {host}", "X-Token: secret-token", "Accept-Encoding: identity"]
    assert server.requests[0].decode().split("\r\n") == [*lines, "", ""]
    assert second[0] == server.requests[0]


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], ids=["closed", "more"])
def test_a_connection_that_is_closed_or_has_more_to_say_is_not_used_again(
    transport: BoundedTransport, after: bytes
) -> None:
    """What a server sends behind its answer is no answer to the next request."""
    told = threading.Event()

    def first(connection: socket.socket) -> None:
        connection.sendall(KEPT)
        if after:
            go.wait(5)
            connection.sendall(after)
            told.set()
            done.wait(5)
        else:
            connection.shutdown(socket.SHUT_RDWR)
            told.set()

    go, done = threading.Event(), threading.Event()
    with RawServer(first, KEPT) as server:
        get(transport, server.url)
        go.set()
        assert told.wait(5)
        done.set()
        assert get(transport, server.url).content == b"{}"
    assert len(server.requests) == 2


UNCLEAR = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length with a sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
    "a length behind a line that is no header": b"HTTP/1.1 200 OK\r\nbogus\r\nContent-Length: 9\r\n\r\n{}",
    "a length with a space before its colon": b"HTTP/1.1 200 OK\r\nContent-Length : 9\r\n\r\n{}",
    "a folded line before a length": b"HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 9\r\n\r\n{}",
    "a coding of chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "less than announced": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
    "a chunk that is cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
    "a chunk that is longer than it says": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
    "chunks without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "trailers that are cut off": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    "a status that is cut off": b"HTTP/1.1 200",
    "a status with a sign": b"HTTP/1.1 +204 No Content\r\n\r\n",
    "a head that is cut off": b"HTTP/1.1 204 No Content\r\nDate: x",
    "a head without an end": b"HTTP/1.1 200 OK\r\nDate: x\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_an_answer_whose_end_is_not_clear_is_none(transport: BoundedTransport, what: str) -> None:
    """It counts neither as an answer nor as a request that was not sent. A kinder client takes many of these."""

    def say(connection: socket.socket) -> None:
        connection.sendall(UNCLEAR[what])

    with RawServer(say) as server, pytest.raises(httpx.RequestError) as caught:
        get(transport, server.url)
    assert not isinstance(caught.value, NEVER_SENT)
    assert "secret-token" not in str(caught.value)


WHOLE = {
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nX: y\r\n\r\n",
        b"{}",
    ),
    "no length": (b"HTTP/1.1 200 OK\r\n\r\n{}", b"{}"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n{}", b"{}"),
    "no body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", b""),
    "a head of letters": (b"HTTP/1.1 200 OK\r\nX: \xff\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    "an interim answer": (b"HTTP/1.1 103 Early Hints\r\n\r\n" + KEPT, b"{}"),
    "an answer to nothing": (b"HTTP/1.1 100 Continue\r\n\r\n" + KEPT, b"{}"),
}


@pytest.mark.parametrize("what", WHOLE)
def test_an_answer_whose_end_is_clear_is_read(transport: BoundedTransport, what: str) -> None:
    """However its length is told."""
    sent, body = WHOLE[what]
    with RawServer(sent) as server:
        assert get(transport, server.url).content == body


def test_an_answer_before_the_whole_request_was_read_counts(transport: BoundedTransport) -> None:
    """A server refuses a value that is too large, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection = listener.accept()[0]
            with connection:
                connection.recv(1024)
                connection.sendall(reply(413))

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        answer = transport.handle_request(httpx.Request("POST", url, content=b"x" * 2 * BODY_LIMIT))
        thread.join(5)
    assert answer.status_code == 413


def test_a_server_that_cannot_be_reached_got_nothing(transport: BoundedTransport) -> None:
    """Nobody listens."""
    with pytest.raises(NEVER_SENT):
        get(transport, "http://127.0.0.1:1")


def test_a_server_without_tls_got_nothing() -> None:
    """The handshake fails before the request."""
    transport = BoundedTransport(seconds=5, verify=usual_trust("https:"))
    with RawServer(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server, pytest.raises(NEVER_SENT):
        get(transport, server.url.replace("http:", "https:"))
    transport.close()
