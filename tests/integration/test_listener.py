"""What `keyturn run` serves: health, metrics, a page; to this machine only unless told otherwise."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from keyturn.cli import connections
from keyturn.cli.listener import OPENMETRICS, Address, Listener, parse_address
from keyturn.cli.running import pages
from keyturn.core.errors import InputError
from keyturn.core.forecast import Coming, What
from keyturn.core.results import RunStatus
from keyturn.engine.loop import Snapshot
from keyturn.report.documents import StatusDocument
from tests.support.outcomes import statuses

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LOOPBACK = Address("127.0.0.1", 0)


@dataclass
class Told:
    """A loop as the server sees it."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    every: timedelta = timedelta(minutes=10)


def metrics(document: StatusDocument) -> str:
    """Stand in for the real ones."""
    return f"keys {len(document.keys)}\n# EOF\n"


def html(document: StatusDocument) -> str:
    """Stand in for the real page."""
    return f"<!doctype html><title>{len(document.keys)} keys, {document.exit_code}</title>"


@pytest.fixture
def told() -> Told:
    """A loop that has looked."""
    due = Coming(NOW + timedelta(hours=1), What.ROTATE, "o", "bot")
    runs = (RunStatus("o", statuses(), exit_code=4),)
    return Told(Snapshot(runs, NOW, NOW, NOW + timedelta(minutes=10), due))


@pytest.fixture
def url(told: Told) -> Iterator[str]:
    """The URL of a server that serves it."""
    with Listener(pages(told, lambda: NOW, metrics, html), LOOPBACK) as listener:
        yield listener.url


def get(url: str, path: str, **headers: str) -> httpx.Response:
    """Ask for a page."""
    return httpx.get(url + path, headers=headers, timeout=20, trust_env=False)


def test_health_is_told_with_its_moments(url: str) -> None:
    """And the exit code that `status` would have: a key in trouble is no trouble of the loop."""
    answer = get(url, "healthz")
    assert answer.status_code == 200
    found = answer.json()
    found.pop("keyturn")
    assert found == {
        "status": "ok",
        "why": "",
        "last_look": "2026-11-29T12:00:00+00:00",
        "last_success": "2026-11-29T12:00:00+00:00",
        "next_look": "2026-11-29T12:10:00+00:00",
        "next_due": "2026-11-29T13:00:00+00:00",
        "next_due_what": "rotate bot",
        "exit_code": 4,
    }


@pytest.mark.parametrize(
    ("snapshot", "status", "code"),
    [
        (Snapshot(), "starting", 503),
        (Snapshot(trouble="no answer"), "failing", 503),
        (Snapshot(last_success=NOW, problem="keyturn.yaml:1: wrong"), "degraded", 503),
        (Snapshot(last_success=NOW - timedelta(minutes=31)), "failing", 503),
        (Snapshot(holder="another run"), "standby", 200),
    ],
)
def test_health_follows_the_loop(told: Told, url: str, snapshot: Snapshot, status: str, code: int) -> None:
    """503 if it does not do its work, with the reason."""
    told.snapshot = snapshot
    answer = get(url, "healthz")
    assert (answer.status_code, answer.json()["status"]) == (code, status)
    assert answer.json()["why"] == (snapshot.problem or snapshot.trouble or snapshot.holder)


def test_the_page_and_the_metrics_are_those_of_the_reports(told: Told, url: str) -> None:
    """With their types, and not before the first look."""
    assert get(url, "metrics").text == f"keys {len(statuses())}\n# EOF\n"
    assert get(url, "metrics").headers["content-type"] == OPENMETRICS
    assert get(url, "").text == f"<!doctype html><title>{len(statuses())} keys, 4</title>"
    told.snapshot = Snapshot()
    assert [get(url, path).status_code for path in ("metrics", "")] == [503, 503]


def test_no_browser_keeps_frames_or_guesses_it(url: str) -> None:
    """The headers of every answer."""
    for path in ("healthz", "metrics", ""):
        found = get(url, path).headers
        assert (found["cache-control"], found["x-content-type-options"]) == ("no-store", "nosniff")
        assert found["content-security-policy"] == "frame-ancestors 'none'"
        assert "server" not in found


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("evil.example", 421),
        ("evil.example:80", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:9464", 200),
        ("[::1]:1", 200),
    ],
)
def test_on_loopback_it_answers_to_names_of_this_machine_only(url: str, host: str, code: int) -> None:
    """A page of another site cannot read it under a name that leads to 127.0.0.1."""
    assert get(url, "healthz", host=host).status_code == code


def test_it_can_only_be_read(url: str) -> None:
    """No other method, and no other page."""
    assert httpx.post(url + "healthz", timeout=20, trust_env=False).status_code == 405
    assert get(url, "openapi.json").status_code == 404
    assert get(url, "metrics/", host="evil.example").status_code == 404


def test_on_another_address_any_name_is_answered(told: Told) -> None:
    """It was asked for: a probe of Kubernetes uses the address of the pod."""
    with Listener(pages(told, lambda: NOW, metrics, html), Address("0.0.0.0", 0)) as listener:  # noqa: S104
        port = listener.url.rstrip("/").rpartition(":")[2]
        assert get(f"http://127.0.0.1:{port}/", "healthz", host="10.1.2.3:9464").status_code == 200


def test_a_port_in_use_is_said(told: Told) -> None:
    """In one sentence."""
    with ExitStack() as stack:
        first = stack.enter_context(Listener(pages(told, lambda: NOW, metrics, html), LOOPBACK))
        port = int(first.url.rstrip("/").rpartition(":")[2])
        with pytest.raises(InputError, match=r"cannot listen on this address .*stop the process that uses it"):
            stack.enter_context(Listener(pages(told, lambda: NOW, metrics, html), Address("127.0.0.1", port)))


def test_an_address_of_another_machine_is_said(told: Told) -> None:
    """A free port would not help."""
    elsewhere = Listener(pages(told, lambda: NOW, metrics, html), Address("192.0.2.1", 0))
    with pytest.raises(InputError, match=r"This machine does not have this address"), elsewhere:
        pass


def connect(url: str, text: bytes) -> socket.socket:
    """Return a connection on which this was sent."""
    found = socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2])), timeout=10)
    found.sendall(text)
    return found


def ended(client: socket.socket) -> bool:
    """Tell whether the server ends this connection within ten seconds, whatever it sends before."""
    with suppress(ConnectionError):
        while client.recv(65536):
            pass
    return True


@pytest.mark.finding("D1", before="with 100 slow clients, /healthz answered 503", now="200; the oldest of them ends")
@pytest.mark.parametrize("sent", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_slow_clients_do_not_keep_the_health_from_being_told(url: str, sent: bytes) -> None:
    """However many have connected and sent half a header."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(url, sent)) for _ in range(100)]
        assert get(url, "healthz").status_code == 200
        assert ended(clients[0])
        assert get(url, "").status_code == 200


@pytest.mark.finding("D1", before="a client that sent a byte a second was heard for ever", now="10 s for all of it")
@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n",
    ],
)
def test_a_client_has_one_deadline_for_everything(told: Told, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Each further byte would have put it off: of the header, and of a body that nobody asked for."""
    monkeypatch.setattr(connections, "SECONDS", 0.5)
    with Listener(pages(told, lambda: NOW, metrics, html), LOOPBACK) as listener, connect(listener.url, sent) as client:
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < 5:
                client.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() - began < 4


def test_an_answer_that_nobody_reads_ends_too(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is longer than what the system buffers."""
    monkeypatch.setattr(connections, "SECONDS", 1.0)
    long = pages(told, lambda: NOW, metrics, lambda _: "x" * 20_000_000)
    with Listener(long, LOOPBACK) as listener:
        client = connect(listener.url, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = len(client.recv(1))
        time.sleep(1.2)
        with client, suppress(ConnectionError):
            while part := client.recv(1 << 20):
                got += len(part)
        assert 0 < got < 20_000_000


def test_a_header_has_a_limit(url: str) -> None:
    """Beyond it the connection ends; one request is answered on each."""
    with connect(url, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 12_000) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        assert ended(client)
    assert get(url, "healthz").headers["connection"] == "close"


def test_a_page_is_rendered_once_per_look(told: Told) -> None:
    """A crowd of readers costs no more than one, also if each has a document of its own."""
    seen: list[StatusDocument] = []

    def slow(document: StatusDocument) -> str:
        seen.append(document)
        return html(document)

    with Listener(pages(told, lambda: NOW, metrics, slow), LOOPBACK) as listener:
        assert {get(listener.url, "").status_code for _ in range(3)} == {200}
        told.snapshot = Snapshot(tuple(replace(one) for one in told.snapshot.statuses), NOW, NOW)
        assert get(listener.url, "").status_code == 200
        assert len(seen) == 1
        told.snapshot = Snapshot(tuple(replace(one, exit_code=5) for one in told.snapshot.statuses), NOW, NOW)
        assert get(listener.url, "").status_code == 200
        assert len(seen) == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:9464", Address("127.0.0.1", 9464)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:9464", Address("::1", 9464)),
        ("0.0.0.0:80", Address("0.0.0.0", 80)),  # noqa: S104
    ],
)
def test_an_address(text: str, found: Address) -> None:
    """IP addresses and localhost."""
    assert parse_address(text) == found
    assert found.loopback == (found.host != "0.0.0.0")  # noqa: S104


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9464", "it has no address"),
        (":9464", "it has no address"),
        ("127.0.0.1", "it has no port"),
        ("127.0.0.1:", "it has no port"),
        ("host.example:80", "is neither an IP address nor localhost"),
        ("127.0.0.1:70000", "a port is at most 65535"),
        ("a:٣", "it has no port"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    """Nothing is bound wider than it was told: a port alone is not enough."""
    with pytest.raises(ValueError, match=f"must be an address and a port, such as .*: .*{why}"):
        parse_address(text)
