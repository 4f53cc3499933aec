"""Faults: what the client sees, and whether the account changed."""

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from keyturn.sandbox import Key, Sandbox
from keyturn.sandbox.faults import Fault, fault_from, take
from tests.sandbox.conftest import KEYS, both_formats, client


@pytest.fixture
def key(sandbox: Sandbox) -> Key:
    """Give a key that an operator has made."""
    return sandbox.panel_create("bot")


def raw(sandbox: Sandbox, verb: str, path: str) -> bytes:
    """Speak HTTP by hand; give every byte that came back before the connection ended."""
    place = urlsplit(sandbox.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=10) as line:
        line.sendall(
            f"{verb} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {sandbox.token}\r\n"
            "content-length: 0\r\nconnection: close\r\n\r\n".encode()
        )
        got = b""
        while True:
            try:
                part = line.recv(4096)
            except ConnectionResetError:
                return got
            if not part:
                return got
            got += part


@both_formats
@pytest.mark.parametrize(("kind", "done"), [("lost-response", True), ("dropped-request", False)])
def test_a_dropped_connection_carries_no_byte(sandbox: Sandbox, key: Key, kind: str, done: bool) -> None:
    """The TCP connection ends without a byte of an answer; only `lost-response` has done the thing."""
    sandbox.arm("regenerate", kind)
    assert raw(sandbox, "PUT", f"{KEYS}/{key.uuid}/regenerate") == b""
    assert sandbox.accepts(key.secret) is not done
    (seen,) = sandbox.requests
    assert (seen.status, seen.fault, seen.effect_at is not None) == (None, kind, done)
    assert raw(sandbox, "GET", KEYS).startswith(b"HTTP/1.1 200 ")


def test_a_drop_ends_one_connection_only(sandbox: Sandbox, api: httpx.Client) -> None:
    """A second client's open connection is not touched by the drop of another's."""
    assert api.get(KEYS).status_code == 200
    sandbox.arm("account", "dropped-request")
    with client(sandbox, sandbox.token) as other, pytest.raises(httpx.RemoteProtocolError):
        other.get("/v2/account")
    assert api.get(KEYS).status_code == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 429, 500, 503])
def test_an_error_does_nothing(sandbox: Sandbox, api: httpx.Client, key: Key, status: int) -> None:
    """`error-NNN` answers that status in the API's shape and leaves the account as it was."""
    sandbox.arm("regenerate", f"error-{status}")
    answer = api.put(f"{KEYS}/{key.uuid}/regenerate")
    assert answer.status_code == status
    assert set(answer.json()) == {"id", "message", "request_id"}
    assert answer.headers["ratelimit-remaining"] == "5000"
    assert ("retry-after" in answer.headers) is (status == 429)
    assert sandbox.accepts(key.secret)


def test_an_error_of_inference_has_its_shape(sandbox: Sandbox, key: Key) -> None:
    """A fault on an inference call answers in the shape that inference has, be it the documented one or OpenAI's."""
    sandbox.arm("models", "error-500", times=2)
    sandbox.arm("models", "error-599")
    with client(sandbox, key.secret) as caller:
        answer = caller.get("/v1/models")
        assert (answer.status_code, answer.json()["id"]) == (500, "InternalServerError")
        sandbox.change(openai_errors=True)
        assert caller.get("/v1/models").json()["error"]["type"] == "server_error"
        sandbox.change(openai_errors=False)
        assert caller.get("/v1/models").json()["id"] == "ServerError"  # a status without a name


@both_formats
def test_late_answers_an_error_and_does_it_later(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """The request is answered with an error, and lands when its delay has passed, not before."""
    sandbox.arm("regenerate", "late", delay=5, status=504)
    assert api.put(f"{KEYS}/{key.uuid}/regenerate").status_code == 504
    sandbox.advance(4.9)
    assert sandbox.accepts(key.secret)
    assert [seen.effect_at for seen in sandbox.requests] == [None]
    sandbox.advance(0.1)
    assert not sandbox.accepts(key.secret)
    assert sandbox.requests[0].effect_at == sandbox.requests[0].time + 5
    (_, landed) = sandbox.state.secrets.values()
    assert landed.minted_at == sandbox.requests[0].time + 5


@both_formats
def test_late_lands_after_a_newer_request(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """A late regenerate kills the secret that a newer regenerate has answered: why keyturn settles."""
    sandbox.arm("regenerate", "late", delay=5, drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        api.put(f"{KEYS}/{key.uuid}/regenerate")
    newer = api.put(f"{KEYS}/{key.uuid}/regenerate").json()["api_key_info"]["secret_key"]
    assert sandbox.accepts(newer)
    sandbox.advance(5)
    assert not sandbox.accepts(newer)


def test_late_requests_land_in_the_order_of_their_time(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """Two late requests that are due at one look land in the order in which they were due."""
    sandbox.arm("rename", "late", delay=9)
    sandbox.arm("rename", "late", delay=3)
    for name in ("slow", "quick"):
        api.put(f"{KEYS}/{key.uuid}", json={"name": name})
    sandbox.clear_faults()
    sandbox.advance(10)
    assert sandbox.state.keys[key.uuid].name == "slow"


def test_a_late_request_may_find_nothing(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """A late delete of a key that is gone by then changes nothing."""
    sandbox.arm("delete", "late", delay=5)
    api.delete(f"{KEYS}/{key.uuid}")
    sandbox.by_hand("delete", key.uuid)
    sandbox.advance(5)
    assert sandbox.requests[0].effect_at is None


@both_formats
def test_slow_does_it_and_holds_the_answer_back(sandbox: Sandbox, key: Key) -> None:
    """A client that gives up on a slow answer finds that the thing was done."""
    sandbox.arm("regenerate", "slow", delay=0.6)
    with client(sandbox, sandbox.token) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.put(f"{KEYS}/{key.uuid}/regenerate", timeout=0.3)
    assert not sandbox.accepts(key.secret)


def test_slow_answers_in_the_end(sandbox: Sandbox, api: httpx.Client) -> None:
    """A patient client gets the whole answer, `delay` seconds later."""
    sandbox.arm("list", "slow", delay=0.3)
    began = time.monotonic()
    assert api.get(KEYS).status_code == 200
    assert time.monotonic() - began >= 0.3


def test_html_error_is_a_proxy_speaking(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """The answer is an HTML page of the given status, and nothing was done."""
    sandbox.arm("regenerate", "html-error", status=503)
    answer = api.put(f"{KEYS}/{key.uuid}/regenerate")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert sandbox.accepts(key.secret)


@both_formats
def test_truncated_json_has_done_it(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """The answer is 200 but unreadable, and the secret it held is lost."""
    sandbox.arm("regenerate", "truncated-json")
    answer = api.put(f"{KEYS}/{key.uuid}/regenerate")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        answer.json()
    assert not sandbox.accepts(key.secret)


@pytest.mark.parametrize(("quiet", "total"), [(False, 4), (True, 2)])
def test_half_list_lacks_keys(sandbox: Sandbox, api: httpx.Client, quiet: bool, total: int) -> None:
    """Half of the keys are missing; the total gives it away unless the fault is quiet."""
    for n in range(4):
        sandbox.panel_create(f"bot-{n}")
    sandbox.arm("list", "half-list", quiet=quiet)
    body = api.get(KEYS).json()
    assert (len(body["api_key_infos"]), body["meta"]["total"]) == (2, total)
    assert len(api.get(KEYS).json()["api_key_infos"]) == 4


def test_times_and_after_count_matching_requests(sandbox: Sandbox, api: httpx.Client) -> None:
    """`after` lets that many requests of the op pass, `times` strikes that often; other ops do not count."""
    sandbox.arm("list", "error-500", after=1, times=2)
    api.get("/v2/account")
    assert [api.get(KEYS).status_code for _ in range(4)] == [200, 500, 500, 200]
    assert sandbox.faults == ()


def test_a_fault_for_always_ends_when_cleared(sandbox: Sandbox, api: httpx.Client) -> None:
    """`times: null` strikes until the faults are cleared, and `*` strikes every op."""
    sandbox.arm("*", "error-503", times=None)
    assert [api.get(path).status_code for path in (KEYS, "/v2/account", "/v1/models")] == [503, 503, 503]
    sandbox.clear_faults()
    assert api.get(KEYS).status_code == 200


def test_a_fault_may_be_for_one_key(sandbox: Sandbox, api: httpx.Client, key: Key) -> None:
    """With a uuid only requests about that key are struck."""
    other = sandbox.panel_create("other")
    sandbox.arm("regenerate", "error-500", uuid=key.uuid)
    assert api.put(f"{KEYS}/{other.uuid}/regenerate").status_code == 200
    assert api.put(f"{KEYS}/{key.uuid}/regenerate").status_code == 500


@pytest.mark.parametrize("op", ["chat", "models", "*"])
def test_a_fault_for_one_key_strikes_inference_with_its_secret(
    sandbox: Sandbox, api: httpx.Client, key: Key, op: str
) -> None:
    """The path names no key then: the secret tells whose request it is, even after its death."""
    other = sandbox.panel_create("other")
    body = {"model": "llama3.3-70b-instruct", "messages": [{"role": "user", "content": "hi"}]}

    def status(secret: str) -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        if op == "chat":
            return api.post("/v1/chat/completions", json=body, headers=headers).status_code
        return api.get("/v1/models", headers=headers).status_code

    sandbox.arm(op, "error-503", times=2, uuid=key.uuid)
    assert [status(secret) for secret in (other.secret, key.secret)] == [200, 503]
    sandbox.by_hand("delete", key.uuid)
    assert [status(secret) for secret in (key.secret, key.secret)] == [503, 401]


def test_every_match_counts_for_every_waiting_fault() -> None:
    """While one fault strikes, the `after` of the next one counts the same request."""
    faults = (Fault("list", "error-500"), Fault("list", "error-503", after=1))
    left, struck = take(faults, "list")
    assert (struck, left) == (faults[0], (Fault("list", "error-503", after=0),))


@pytest.mark.parametrize(
    "options",
    [
        {"op": "nothing", "kind": "slow"},
        {"op": "list", "kind": "error-200"},
        {"op": "list", "kind": "error-NNN"},
        {"op": "create", "kind": "half-list"},
        {"op": "list", "kind": "slow", "times": 0},
        {"op": "list", "kind": "slow", "after": -1},
        {"op": "list", "kind": "slow", "delay": "1"},
        {"op": "list", "kind": "slow", "status": 200},
        {"op": "list", "kind": "slow", "drop": 1},
        {"op": "list", "kind": "slow", "uuid": None},
        {"op": "list", "kind": "slow", "uuid": "6a0c2d0e-0000-4000-8000-000000000000"},
        {"op": "list", "kind": "slow", "unknown": 1},
        {"op": "list"},
    ],
)
def test_a_wrong_fault_is_refused(options: dict[str, object]) -> None:
    """A fault with an unknown op, kind or field, or a value out of range, is a ValueError that says so."""
    with pytest.raises(ValueError, match=r"expected|fault|half-list"):
        fault_from(options)
