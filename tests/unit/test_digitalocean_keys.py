"""The control API against the sandbox and against a server that answers exactly what a test says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.digitalocean import ControlApi
from keyturn.digitalocean.keys import ATTEMPTS, PASSES
from keyturn.errors import (
    Ambiguous,
    ApiError,
    ApiForbidden,
    CreateRetired,
    CredentialError,
    LeaseLost,
    NotAccepted,
    NotFound,
    RateLimited,
)
from keyturn.model import Timing
from keyturn.sandbox import Sandbox
from keyturn.sandbox import Token as SandboxToken
from keyturn.secret import Secret
from tests.support.raw_http import RawServer, Script, reply

TOKEN = Secret("dop_v1_" + "5" * 64)
UUID = "0f0e8f0c-8a55-4f0e-9d0a-5b3f5f3f9b11"
SECRET = "sk-do-" + "x" * 64
NOW = datetime(2026, 9, 1, tzinfo=UTC)
DEFINITE = [
    (400, NotAccepted),
    (401, ApiForbidden),
    (403, ApiForbidden),
    (404, NotFound),
    (422, NotAccepted),
    (429, RateLimited),
]
AMBIGUOUS = [302, 402, 408, 409, 418, 500, 502, 503, 504]


class Waits(list[float]):
    """A sleep that only notes."""

    def __call__(self, seconds: float) -> None:
        """Note the seconds."""
        self.append(seconds)


def nothing() -> None:
    """A guard that lets everything pass."""


def api(url: str, token: Secret = TOKEN, waits: Waits | None = None) -> ControlApi:
    """A control API whose clock stands still."""
    sleep = Waits() if waits is None else waits
    return ControlApi(url, token, timing=Timing(request=2), sleep=sleep, now=lambda: NOW)


def ok(info: dict[str, Any]) -> bytes:
    """The answer to a change."""
    return reply(200, json.dumps({"api_key_info": info}))


def page(uuids: list[str], total: int | None) -> bytes:
    """One page of a list."""
    infos = [{"uuid": uuid, "name": f"name of {uuid}"} for uuid in uuids]
    return reply(200, json.dumps({"api_key_infos": infos, "meta": {} if total is None else {"total": total}}))


MINTED = ok({"uuid": UUID, "name": "n", "secret_key": SECRET})
HTML = reply(502, "<html>bad gateway</html>")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A DigitalOcean that still creates keys."""
    with Sandbox(create="allowed", seed=1) as server:
        yield server


def test_a_key_lives_its_life(sandbox: Sandbox) -> None:
    """Create, rename, regenerate, list and delete do what they say."""
    control = api(sandbox.url, Secret(sandbox.token))
    made = control.create("one", nothing)
    control.rename(made.key.uuid, "two", nothing)
    again = control.regenerate(made.key.uuid, nothing)
    listed = control.list_keys()
    control.delete(made.key.uuid, nothing)
    assert again.secret != made.secret
    assert [(key.uuid, key.name) for key in listed] == [(made.key.uuid, "two")]
    assert made.key.created_at == listed[0].created_at is not None
    assert control.list_keys() == ()


def test_the_retired_create_is_told_by_its_own_error() -> None:
    """A 410 on create is CreateRetired, with what the API says."""
    with Sandbox(create="gone", seed=1) as sandbox, pytest.raises(CreateRetired, match="control panel"):
        api(sandbox.url, Secret(sandbox.token)).create("one", nothing)


def test_a_gone_endpoint_elsewhere_is_a_definite_no() -> None:
    """A 410 on anything but create is not CreateRetired, and never counts as deleted."""
    with RawServer(reply(410, '{"id": "gone", "message": "retired"}')) as server, pytest.raises(NotAccepted):
        api(server.url).delete(UUID, nothing)


def test_a_long_list_is_read_to_its_end(sandbox: Sandbox) -> None:
    """450 keys come in three pages of 200."""
    names = {sandbox.panel_create(f"key-{number}").uuid for number in range(450)}
    listed = api(sandbox.url, Secret(sandbox.token)).list_keys()
    assert {key.uuid for key in listed} == names
    assert [seen.query for seen in sandbox.requests] == [{"page": str(n), "per_page": "200"} for n in (1, 2, 3)]


def test_a_half_list_is_read_again(sandbox: Sandbox) -> None:
    """A list shorter than its total is never taken for the whole."""
    for number in range(4):
        sandbox.panel_create(f"key-{number}")
    sandbox.arm("list", "half-list", times=2)
    assert len(api(sandbox.url, Secret(sandbox.token)).list_keys()) == 4


def test_pages_that_disagree_are_read_again() -> None:
    """A total that changes between two pages: somebody changes keys, so list again."""
    first, second = page(["a", "b"], 3), page(["c"], 4)
    with RawServer(first, second, page(["a", "b"], 3), page(["c"], 3)) as server:
        assert [key.uuid for key in api(server.url).list_keys()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "answer",
    [page(["a"], 2), page(["a"], None), page(["a", "a"], 2), page(["a", "b"], 1), page([""], 1), reply(200, "{}")],
)
def test_a_list_that_never_agrees_is_unknown(answer: bytes) -> None:
    """After five readings it is an error, never an absence."""
    waits = Waits()
    with RawServer(answer) as server, pytest.raises(Ambiguous, match="did not agree"):
        api(server.url, waits=waits).list_keys()
    assert len(waits) == PASSES - 1
    assert len(server.requests) <= 2 * PASSES


def test_a_page_shifted_by_a_delete_is_read_again() -> None:
    """The same uuid on two pages means that one was missed."""
    with RawServer(page(["a", "b"], 3), page(["b"], 3), page(["a", "b", "c"], 3)) as server:
        assert [key.uuid for key in api(server.url).list_keys()] == ["a", "b", "c"]


def test_strange_fields_do_no_harm() -> None:
    """Unknown fields, wrong types and unreadable dates are None or empty; the key is listed."""
    info = {
        "uuid": "a",
        "name": 7,
        "created_at": "never",
        "deleted_at": "0001-01-01T00:00:00Z",
        "created_by": 1,
        "x": [],
    }
    with RawServer(reply(200, json.dumps({"api_key_infos": [info], "meta": {"total": 1}, "links": None}))) as server:
        (key,) = api(server.url).list_keys()
    assert (key.name, key.created_at, key.deleted_at) == ("", None, None)


def test_times_are_utc_whatever_their_offset_and_precision() -> None:
    """RFC 3339 with nanoseconds and an offset is understood."""
    info = {"uuid": "a", "created_at": "2026-08-01T14:00:00.123456789+02:00", "deleted_at": "2026-08-02T00:00:00Z"}
    with RawServer(reply(200, json.dumps({"api_key_infos": [info], "meta": {"total": 1}}))) as server:
        (key,) = api(server.url).list_keys()
    assert key.created_at == datetime(2026, 8, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert key.deleted_at == datetime(2026, 8, 2, tzinfo=UTC)


@pytest.mark.parametrize(("status", "error"), DEFINITE)
def test_a_definite_no_to_a_mint(status: int, error: type[ApiError]) -> None:
    """Each definite status is its own error, and the mint is sent once."""
    with RawServer(reply(status, '{"id": "some_id", "message": "no"}')) as server:
        with pytest.raises(error, match=f"HTTP {status}, some_id, no") as raised:
            api(server.url).regenerate(UUID, nothing)
        assert raised.value.definite
        assert raised.value.status == status
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", AMBIGUOUS)
def test_any_other_status_leaves_a_mint_ambiguous(status: int) -> None:
    """Whatever is not a known no may have happened, and the mint is sent once."""
    with RawServer(reply(status, "<html>")) as server:
        with pytest.raises(Ambiguous) as raised:
            api(server.url).create("n", nothing)
        assert not raised.value.definite
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, ""),
        reply(200, "<html>hello</html>"),
        reply(200, "[]"),
        reply(200, '{"api_key_info": {"uuid": "' + UUID + '"}}'),
        reply(200, '{"api_key_info": {"uuid": "' + UUID + '", "secret_key": ""}}'),
        reply(200, '{"api_key_info": {"uuid": "' + UUID + '", "secret_key": "two\\nlines"}}'),
        reply(200, '{"api_key_info": {"secret_key": "' + SECRET + '"}}'),
        ok({"uuid": "another", "secret_key": SECRET}),
        reply(204),
        MINTED[:-20],
        b"",
    ],
)
def test_a_mint_without_a_whole_answer_is_ambiguous(answer: bytes) -> None:
    """No secret, no uuid, another key's uuid, half an answer: nobody knows what happened; it is sent once."""
    with RawServer(answer) as server:
        with pytest.raises(Ambiguous) as raised:
            api(server.url).regenerate(UUID, nothing)
        assert len(server.requests) == 1
    assert SECRET not in str(raised.value) + repr(raised.value.__context__)


def test_a_mint_is_not_sent_again_when_nobody_listens() -> None:
    """Even a definite no is left to the executor."""
    waits = Waits()
    with RawServer(MINTED) as server:
        url = server.url
    with pytest.raises(NotAccepted):
        api(url, waits=waits).regenerate(UUID, nothing)
    assert waits == []


@pytest.mark.parametrize("broken", [HTML, b"", reply(500, "{}"), reply(200, "<html>"), reply(429)])
def test_reads_renames_and_deletes_are_tried_again(broken: bytes) -> None:
    """What may pass is tried again with growing pauses; the guard is asked before each sending."""
    info = ok({"uuid": UUID})
    waits, guards = Waits(), []
    with RawServer(broken, broken, page([], 0), broken, info, broken, info) as server:
        control = api(server.url, waits=waits)
        assert control.list_keys() == ()
        control.rename(UUID, "n", lambda: guards.append(1))
        control.delete(UUID, lambda: guards.append(1))
        assert len(server.requests) == 7
    assert len(guards) == 8
    assert waits[0] <= 0.5
    assert len(waits) == 4


def test_a_change_is_tried_four_times_at_most() -> None:
    """A server that stays ill ends in Ambiguous after four requests."""
    with RawServer(HTML) as server:
        with pytest.raises(Ambiguous):
            api(server.url).delete(UUID, nothing)
        assert len(server.requests) == ATTEMPTS


def test_a_definite_no_is_not_tried_again() -> None:
    """403 will be 403 a moment later; the error names the missing scope."""
    with RawServer(reply(403, "{}")) as server:
        with pytest.raises(ApiForbidden, match="genai:update"):
            api(server.url).rename(UUID, "n", nothing)
        assert len(server.requests) == 1


def test_a_definite_no_after_an_ambiguous_answer_stays_ambiguous() -> None:
    """The first sending may still take effect, whatever the second was told."""
    with RawServer(HTML, reply(403, "{}")) as server, pytest.raises(Ambiguous):
        api(server.url).rename(UUID, "n", nothing)


def test_the_guard_stops_a_second_sending() -> None:
    """A lease lost while backing off: the rename is not sent again."""
    asked: list[int] = []

    def guard() -> None:
        asked.append(1)
        if len(asked) > 2:
            raise LeaseLost("gone")

    with RawServer(HTML) as server:
        with pytest.raises(LeaseLost):
            api(server.url).rename(UUID, "n", guard)
        assert len(server.requests) == 1


def test_deleting_what_is_gone_is_done(sandbox: Sandbox) -> None:
    """A 404 of the API counts as done, also after an answer that was lost."""
    made = sandbox.panel_create("one")
    control = api(sandbox.url, Secret(sandbox.token))
    sandbox.arm("delete", "lost-response")
    control.delete(made.uuid, nothing)
    control.delete(made.uuid, nothing)
    assert [seen.status for seen in sandbox.requests] == [None, 404, 404]


def test_a_404_of_a_stranger_is_no_delete() -> None:
    """A proxy that answers HTML knows nothing about the key."""
    with RawServer(reply(404, "<html>")) as server, pytest.raises(NotFound):
        api(server.url).delete(UUID, nothing)


@pytest.mark.parametrize("uuid", ["", "..", "../x", "a/b", "a?b", "-", "ä", "a" * 65, "a\n"])
def test_what_is_no_uuid_is_never_sent(uuid: str) -> None:
    """A uuid from a record or a manifest cannot turn the request into another one."""
    with RawServer(MINTED) as server:
        with pytest.raises(NotAccepted, match="no uuid"):
            api(server.url).regenerate(uuid, nothing)
        assert server.requests == []


def test_the_guard_is_asked_after_waiting_for_the_budget() -> None:
    """The wait for the rate limit can outlast a lease, so the check comes after it, in the same thread."""
    events: list[str] = []
    reset = str(int(NOW.timestamp()) + 60)
    clock = [NOW.timestamp()]

    def sleep(seconds: float) -> None:
        events.append("wait")
        clock[0] += seconds

    used_up = reply(404, "{}", {"ratelimit-remaining": "0", "ratelimit-reset": reset})
    with RawServer(used_up, MINTED) as server:
        control = ControlApi(server.url, TOKEN, sleep=sleep, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        with pytest.raises(NotFound):
            control.regenerate(UUID, nothing)
        control.regenerate(UUID, lambda: events.append("guard"))
    assert events == ["wait", "guard", "guard"]
    assert clock[0] == NOW.timestamp() + 60


def test_a_mint_that_would_wait_too_long_is_not_sent() -> None:
    """A window that frees in more than two minutes: RateLimited at once, the guard not even asked."""
    reset = str(int(NOW.timestamp()) + 600)
    used_up = reply(404, "{}", {"ratelimit-remaining": "0", "ratelimit-reset": reset})
    with RawServer(used_up) as server:
        control = api(server.url)
        for error in (NotFound, RateLimited):
            with pytest.raises(error):
                control.regenerate(UUID, nothing)
        assert len(server.requests) == 1


def test_the_burst_limit_of_the_sandbox_is_waited_out() -> None:
    """Reads go on after the Retry-After of a 429: no second request is refused."""
    with Sandbox(seed=1, minute_limit=3, start=NOW.timestamp()) as sandbox:
        clock = [NOW.timestamp()]

        def sleep(seconds: float) -> None:
            clock[0] += seconds
            sandbox.advance(seconds)

        control = ControlApi(
            sandbox.url, Secret(sandbox.token), sleep=sleep, now=lambda: datetime.fromtimestamp(clock[0], UTC)
        )
        for _ in range(8):
            assert control.list_keys() == ()
        statuses = [seen.status for seen in sandbox.requests]
    assert statuses.count(200) == 8
    assert statuses.count(429) <= 3


def test_the_hour_limit_of_the_sandbox_is_never_met() -> None:
    """What the headers announce is not run into: an error before sending, no 429 in the log."""
    with Sandbox(seed=1, hour_limit=3, start=NOW.timestamp()) as sandbox:
        control = api(sandbox.url, Secret(sandbox.token))
        for _ in range(3):
            control.list_keys()
        with pytest.raises(RateLimited, match="used up"):
            control.list_keys()
        assert [seen.status for seen in sandbox.requests] == [200, 200, 200]


def test_the_account_is_the_team() -> None:
    """The team's uuid; empty for a token without account:read; an error for a token that is refused."""
    with Sandbox(seed=1) as sandbox:
        assert api(sandbox.url, Secret(sandbox.token)).account()
        with pytest.raises(ApiForbidden):
            api(sandbox.url).account()
    limited = SandboxToken("dop_v1_" + "6" * 64, frozenset({"genai:read"}))
    with Sandbox(seed=1, tokens=[limited]) as sandbox:
        assert api(sandbox.url, Secret(sandbox.token)).account() == ""


def test_the_skew_is_the_date_of_the_api_minus_our_clock() -> None:
    """Positive where the API is ahead; 0.0 before any answer."""
    empty = '{"api_key_infos": [], "meta": {"total": 0}}'
    with RawServer(reply(200, empty, {"Date": "Tue, 01 Sep 2026 00:01:30 GMT"})) as server:
        control = api(server.url)
        assert control.clock_skew() == 0.0
        control.list_keys()
        assert control.clock_skew() == 90.0


def test_an_error_shows_texts_of_known_shape_only() -> None:
    """The id, the request id and a clean message; a credential in it is hidden, other fields are not shown."""
    body = {
        "id": "bad_request",
        "message": f"no\x1b[2J {SECRET} {TOKEN.reveal()}",
        "request_id": UUID,
        "debug": "internals",
    }
    with RawServer(reply(400, json.dumps(body))) as server, pytest.raises(NotAccepted) as raised:
        api(server.url).create("n", nothing)
    text = str(raised.value)
    assert f"HTTP 400, bad_request, request {UUID}, no\\x1b[2J [redacted] [redacted]" in text
    assert "internals" not in text


@pytest.mark.parametrize(
    "body",
    ['{"id": "Not An Id", "message": {"a": 1}, "request_id": "x y"}', "[]", "null", "<html>secret</html>", "\xff"],
)
def test_an_error_of_unknown_shape_shows_its_status_only(body: str) -> None:
    """What is not a text under a known name is not repeated."""
    with RawServer(reply(400, body)) as server, pytest.raises(NotAccepted, match=r"\(HTTP 400\)\.$"):
        api(server.url).create("n", nothing)


def test_a_token_that_no_header_can_carry_is_refused_at_once() -> None:
    """A token with a line end in it, as files like to have."""
    with pytest.raises(CredentialError, match="line end"):
        ControlApi("http://127.0.0.1:1", Secret("dop_v1_x\n"))


def test_what_is_sent() -> None:
    """The documented verbs, paths and bodies, with the bearer token."""
    scripts: list[bytes | Script] = [MINTED, MINTED, ok({}), ok({})]
    with RawServer(*scripts) as server:
        control = api(server.url)
        control.create("n", nothing)
        control.regenerate(UUID, nothing)
        control.rename(UUID, "m", nothing)
        control.delete(UUID, nothing)
        sent = [request.decode() for request in server.requests]
    base = "/v2/gen-ai/models/api_keys"
    assert [request.partition(" HTTP")[0] for request in sent] == [
        f"POST {base}",
        f"PUT {base}/{UUID}/regenerate",
        f"PUT {base}/{UUID}",
        f"DELETE {base}/{UUID}",
    ]
    bodies = [request.partition("\r\n\r\n")[2] for request in sent]
    assert [json.loads(body) if body else None for body in bodies] == [
        {"name": "n"},
        None,
        {"api_key_uuid": UUID, "name": "m"},
        None,
    ]
    assert all(f"Authorization: Bearer {TOKEN.reveal()}" in request for request in sent)


def test_threads_share_one_budget() -> None:
    """Eight threads, twenty requests left: twenty succeed, the rest are refused unsent, no 429 is met."""
    with Sandbox(seed=1, hour_limit=20, start=NOW.timestamp()) as sandbox:
        control = ControlApi(sandbox.url, Secret(sandbox.token), now=lambda: NOW)
        control.list_keys()

        def read(_: int) -> bool:
            try:
                control.list_keys()
            except RateLimited:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(read, range(40)))
        statuses = [seen.status for seen in sandbox.requests]
    assert done.count(True) == 19
    assert statuses == [200] * 20
