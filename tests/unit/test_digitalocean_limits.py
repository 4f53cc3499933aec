"""The control API client and the rate limits, as the sandbox counts them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from keyturn.digitalocean import ControlApi
from keyturn.errors import (
    NotFound,
    RateLimited,
)
from keyturn.sandbox import Sandbox
from keyturn.secret import Secret
from tests.support.control import MINTED, NOW, TOKEN, UUID, api, nothing
from tests.support.raw_http import RawServer, reply


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
    assert statuses.count(429) == 2


def test_the_hour_limit_of_the_sandbox_is_never_met() -> None:
    """What the headers announce is not run into: an error before sending, no 429 in the log."""
    with Sandbox(seed=1, hour_limit=3, start=NOW.timestamp()) as sandbox:
        control = api(sandbox.url, Secret(sandbox.token))
        for _ in range(3):
            control.list_keys()
        with pytest.raises(RateLimited, match="used up"):
            control.list_keys()
        assert [seen.status for seen in sandbox.requests] == [200, 200, 200]


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
