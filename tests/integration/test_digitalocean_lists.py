"""A list of keys is complete, or it is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from keyturn.core.errors import (
    Ambiguous,
)
from keyturn.core.secret import Secret
from keyturn.live.digitalocean.keys import PASSES
from keyturn.sandbox import Sandbox
from tests.support.control import Waits, api, page
from tests.support.raw_http import RawServer, reply


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A DigitalOcean that still creates keys."""
    with Sandbox(create="allowed", seed=1) as server:
        yield server


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
    """A total that changes between two pages: someone changes keys, so list again."""
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
    with RawServer(answer) as server, pytest.raises(Ambiguous, match="was inconsistent"):
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
