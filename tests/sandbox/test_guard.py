"""What a web page in the browser of an operator gets from the sandbox, and what no body can do to it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from keyturn.sandbox import Sandbox
from tests.sandbox.conftest import KEYS


@pytest.mark.finding(
    "L9",
    before="a page whose name resolves to 127.0.0.1 read /_sandbox/state; any page made tokens and keys",
    now="403 unless Host and Origin are the sandbox's own, 415 unless a POST is JSON",
)
@pytest.mark.parametrize("path", ["/_sandbox/state", "/", KEYS, "/v1/models"])
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8787"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1@evil.example"},
        {"host": ""},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
    ],
)
def test_a_request_of_another_origin_is_refused(api: httpx.Client, path: str, headers: dict[str, str]) -> None:
    """On every route, before anything is read or changed."""
    answer = api.get(path, headers=headers)
    assert answer.status_code == 403
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"]
)
def test_a_form_makes_nothing(sandbox: Sandbox, api: httpx.Client, kind: str) -> None:
    """A browser sends these types to any origin without asking first."""
    for path in ("keys", "tokens", "faults", "by-hand", "settings", "clock"):
        answer = api.post(f"/_sandbox/{path}", content=b'{"name": "bot"}', headers={"content-type": kind})
        assert answer.status_code == 415
    assert not sandbox.state.keys
    assert len(sandbox.state.tokens) == 1


def test_its_own_page_and_any_spelling_of_this_machine_work(sandbox: Sandbox, api: httpx.Client) -> None:
    """The page's own requests name their origin; a client may say localhost."""
    assert api.get("/").status_code == 200
    made = api.post("/_sandbox/keys", json={"name": "bot"}, headers={"origin": sandbox.url})
    assert made.status_code == 200
    port = urlsplit(sandbox.url).port
    for host in (f"localhost:{port}", f"LOCALHOST:{port}", "127.0.0.1"):
        assert api.get("/_sandbox/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/_sandbox/keys", KEYS, "/v1/chat/completions"])
def test_a_body_has_a_bound(sandbox: Sandbox, api: httpx.Client, path: str) -> None:
    """More than 1 MiB is answered 413, with a length and without one; the sandbox goes on."""
    headers = {"content-type": "application/json"}
    assert api.post(path, content=b" " * (1 << 20), headers=headers).status_code != 413
    place = urlsplit(sandbox.url)
    for length in ("content-length: 300000000", "transfer-encoding: chunked"):
        with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as line:
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
            line.sendall(head.encode())
            sent = 0
            try:
                while sent < 64 << 20:  # the sandbox stops reading long before
                    line.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n" if "chunked" in length else b" " * 65536)
                    sent += 65536
            except OSError:
                pass
            assert sent < 32 << 20
    assert api.get("/_sandbox/health").status_code == 200


def test_a_body_that_is_too_large_is_told(api: httpx.Client) -> None:
    """One that a client has sent whole before it reads."""
    answer = api.post("/_sandbox/keys", content=b" " * ((1 << 20) + 1), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["id"]) == (413, "request_too_large")
