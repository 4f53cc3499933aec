"""One request: what is unsent, what is unknown, and what never leaves."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest

from keyturn.core.errors import Ambiguous, InputError, LeaseLost, NotAccepted
from keyturn.core.secret import Secret
from keyturn.live.digitalocean.http import HttpClient
from keyturn.targets.bounded_http import BODY_LIMIT
from tests.support.raw_http import RawServer, reply

TOKEN = Secret("dop_v1_" + "5" * 64)


def client(url: str, seconds: float = 5.0) -> HttpClient:
    """A client with a deadline of `seconds`."""
    return HttpClient(url, seconds=seconds, user_agent="keyturn/test")


def closed_port() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_connection_that_is_never_made_is_a_definite_no() -> None:
    """Nobody listens: nothing was sent."""
    with pytest.raises(NotAccepted, match="could not connect") as raised:
        client(closed_port()).send("PUT", "/x", TOKEN)
    assert raised.value.status is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"\x00\x01 not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_broken_answer_is_ambiguous(answer: bytes) -> None:
    """Whatever breaks after the request went out leaves open whether it happened."""
    with RawServer(answer) as server, pytest.raises(Ambiguous):
        client(server.url).send("PUT", "/x", TOKEN)


def test_a_reset_is_ambiguous() -> None:
    """A connection that is reset after the request leaves open whether it happened."""

    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with RawServer(reset) as server, pytest.raises(Ambiguous):
        client(server.url).send("PUT", "/x", TOKEN)


def test_without_another_thread_a_request_is_still_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many keys are at work: the one that has a fresh secret must not fail for lack of a watchdog."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with RawServer(reply(200, b"{}")) as server:
        monkeypatch.setattr(threading.Timer, "start", refuse)
        assert client(server.url).send("PUT", "/x", TOKEN).status == 200


def test_silence_is_ambiguous() -> None:
    """A server that says nothing is given up at the deadline."""

    def hold(_: socket.socket) -> None:
        server.stopped.wait(5)

    server = RawServer(hold)
    with server, pytest.raises(Ambiguous, match=r"no complete answer within 0\.2 s"):
        client(server.url, 0.2).send("PUT", "/x", TOKEN)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
def test_the_deadline_is_for_the_whole_request(head: bytes) -> None:
    """A server that drips bytes, of the head or of the body, is cut off at the deadline all the same."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(b"H")
            time.sleep(0.05)

    started = time.monotonic()
    with RawServer(drip) as server:
        with pytest.raises(Ambiguous, match=r"no complete answer within 0\.3 s"):
            client(server.url, 0.3).send("GET", "/x", TOKEN)
        assert time.monotonic() - started < 2


def test_an_endless_body_is_ambiguous() -> None:
    """A body of more than 8 MiB is not read to its end."""
    with RawServer(reply(200, b" " * (BODY_LIMIT + 1))) as server, pytest.raises(Ambiguous):
        client(server.url).send("GET", "/x", TOKEN)


def test_a_redirect_is_not_followed() -> None:
    """The credential goes to no other origin: the 302 is the answer."""
    with RawServer(b"") as other, RawServer(reply(302, headers={"Location": f"{other.url}/y"})) as server:
        assert client(server.url).send("GET", "/x", TOKEN).status == 302
        assert other.requests == []


def test_every_request_has_its_own_connection() -> None:
    """Two requests, two connections: no mint is sent on one that the server is about to close."""
    with RawServer(reply(200, headers={"Connection": "keep-alive"})) as server:
        shared = client(server.url)
        assert [shared.send("GET", "/x", TOKEN).status for _ in range(2)] == [200, 200]
        assert len(server.requests) == 2


def test_the_guard_runs_when_the_connection_stands_and_stops_the_bytes() -> None:
    """A lease lost while connecting is found: the connection was accepted, and not one byte came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        calls: list[int] = []

        def guard() -> None:
            calls.append(1)
            if len(calls) == 2:
                raise LeaseLost("too late")

        with pytest.raises(LeaseLost):
            client(f"http://127.0.0.1:{listener.getsockname()[1]}").send("PUT", "/x", TOKEN, guard=guard)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""


def test_the_guard_runs_before_connecting() -> None:
    """With the lease already gone not even a connection is made."""

    def guard() -> None:
        raise LeaseLost("gone")

    with pytest.raises(LeaseLost):
        client(closed_port()).send("PUT", "/x", TOKEN, guard=guard)


def test_a_deadline_that_passes_before_the_bytes_is_a_definite_no() -> None:
    """A guard that takes longer than the deadline: nothing is sent, and the error says so."""
    with RawServer(reply(200)) as server:
        with pytest.raises(NotAccepted, match=r"no connection within 0\.1 s"):
            client(server.url, 0.1).send("PUT", "/x", TOKEN, guard=lambda: time.sleep(0.2))
        assert server.requests == []


@pytest.mark.parametrize("value", ["line\nend", "tab\t", "blank ", "kéy", "nul\0"])
def test_a_credential_that_no_header_can_carry_is_never_sent(value: str) -> None:
    """It is refused before anything goes out, and the error does not show it."""
    with pytest.raises(NotAccepted, match="not allowed in a header") as raised:
        client(closed_port()).send("GET", "/x", Secret(value))
    assert value not in str(raised.value)


@pytest.mark.parametrize("url", ["", "ftp://x", "https://", "//host", "http://api.example.com", "https://u:p@h"])
def test_a_url_that_cannot_be_used_is_an_input_error(url: str) -> None:
    """Only http(s) URLs with a host, no user in them, and plain http only to this machine."""
    with pytest.raises(InputError):
        client(url)


def test_no_error_leads_to_the_credential() -> None:
    """Neither the text of a failure nor the errors behind it hold the request."""
    with RawServer(b"") as server, pytest.raises(Ambiguous) as raised:
        client(server.url).send("PUT", "/x", TOKEN)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert TOKEN.reveal() not in str(raised.value)


def test_nothing_of_a_body_or_a_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Even with every logger at DEBUG neither the token nor the answer's body is written."""
    caplog.set_level(logging.DEBUG)
    with RawServer(reply(200, b'{"secret_key": "the-body"}')) as server:
        answer = client(server.url).send("PUT", "/x", TOKEN, body={"name": "the-name"})
    assert answer.body == b'{"secret_key": "the-body"}'
    assert "the-body" not in caplog.text + repr(answer)
    assert "the-name" not in caplog.text
    assert TOKEN.reveal() not in caplog.text
