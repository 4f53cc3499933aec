"""The control API against the sandbox and against a server that answers exactly what a test says."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keyturn.core.errors import (
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
from keyturn.core.secret import Secret
from keyturn.live.digitalocean import ControlApi
from keyturn.live.digitalocean.keys import ATTEMPTS
from keyturn.sandbox import Sandbox
from keyturn.sandbox import Token as SandboxToken
from tests.support.control import MINTED, SECRET, TOKEN, UUID, Waits, api, nothing, ok, page
from tests.support.raw_http import RawServer, Script, reply

DEFINITE = [
    (400, NotAccepted),
    (401, ApiForbidden),
    (403, ApiForbidden),
    (404, NotFound),
    (422, NotAccepted),
    (429, RateLimited),
]
AMBIGUOUS = [302, 402, 408, 409, 418, 500, 502, 503, 504]
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


@pytest.mark.parametrize("broken", [HTML, b"", reply(500, "{}"), reply(200, "<html>")])
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
        with pytest.raises(NotAccepted, match="not the uuid of a key"):
            api(server.url).regenerate(uuid, nothing)
        assert server.requests == []


def test_the_account_is_the_team() -> None:
    """The team's uuid; empty for a token without account:read; an error for a token that is refused."""
    with Sandbox(seed=1) as sandbox:
        assert api(sandbox.url, Secret(sandbox.token)).account()
        with pytest.raises(ApiForbidden):
            api(sandbox.url).account()
    limited = SandboxToken("dop_v1_" + "6" * 64, frozenset({"genai:read"}))
    with Sandbox(seed=1, tokens=[limited]) as sandbox:
        assert api(sandbox.url, Secret(sandbox.token)).account() == ""


@pytest.mark.parametrize(
    ("status", "body", "blocked"),
    [
        (200, '{"status": {"balance": "-1.00", "blocked": true, "eligible": true}}', True),
        (200, '{"status": {"blocked": false}}', False),
        (200, '{"status": {"blocked": "yes"}}', None),
        (200, '{"status": null}', None),
        (200, "<html>", None),
        (401, '{"id": "unauthorized", "message": "no"}', None),
        (403, '{"id": "forbidden", "message": "no"}', None),
        (404, '{"id": "not_found", "message": "no"}', None),
        (500, '{"id": "server_error", "message": "no"}', None),
    ],
)
def test_the_balance_is_known_or_not(status: int, body: str, blocked: bool | None) -> None:
    """Most tokens may not read it, and an answer of no use is no answer: not known."""
    with RawServer(reply(status, body)) as server:
        assert api(server.url).prepayment_blocked() is blocked
        assert b"GET /v2/customers/my/prepayment_status " in server.requests[0]


def test_the_balance_without_an_answer_is_an_error() -> None:
    """Then nothing is known of the API either."""
    with pytest.raises(NotAccepted):
        api("http://127.0.0.1:1").prepayment_blocked()
    with RawServer(reply(429, "{}")) as server, pytest.raises(RateLimited):
        api(server.url).prepayment_blocked()


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
    with pytest.raises(CredentialError, match="line break"):
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
