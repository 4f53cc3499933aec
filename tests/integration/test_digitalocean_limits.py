"""The control API client and the rate limits, as the sandbox counts them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from keyturn.core.errors import (
    NotFound,
    RateLimited,
)
from keyturn.core.secret import Secret
from keyturn.live.digitalocean import ControlApi
from keyturn.sandbox import Sandbox
from tests.support.control import MINTED, NOW, TOKEN, UUID, Waits, api, nothing, page
from tests.support.raw_http import RawServer, reply


def test_the_guard_is_asked_after_waiting_for_the_budget() -> None:
    """Even a short wait for the rate limit can outlast what is left of a lease: the check comes after it."""
    events: list[str] = []
    reset = str(int(NOW.timestamp()) + 2)
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
    assert events[-2:] == ["guard", "guard"]
    assert set(events[:-2]) == {"wait"}
    assert clock[0] == NOW.timestamp() + 2


def test_a_change_that_would_wait_is_not_sent() -> None:
    """A lease runs while a change waits: RateLimited at once, the guard not even asked; how long to wait is known."""
    reset = str(int(NOW.timestamp()) + 600)
    used_up = reply(404, "{}", {"ratelimit-remaining": "0", "ratelimit-reset": reset})
    with RawServer(used_up) as server:
        waits = Waits()
        control = api(server.url, waits=waits)
        with pytest.raises(NotFound):
            control.regenerate(UUID, nothing)
        changes = (
            lambda: control.regenerate(UUID, guarded),
            lambda: control.create("n", guarded),
            lambda: control.rename(UUID, "n", guarded),
            lambda: control.delete(UUID, guarded),
        )
        for change in changes:
            with pytest.raises(RateLimited, match="not sent"):
                change()
        assert control.budget.throttled() == 600
        assert len(server.requests) == 1
    assert waits == []


def guarded() -> None:
    """A guard that is never asked."""
    raise AssertionError


def test_a_429_of_a_change_is_told_at_once() -> None:
    """Nothing happened, so anyone who asked for it looks after the lease, then asks again: no second sending here."""
    with RawServer(reply(429, "{}", {"Retry-After": "30"})) as server:
        for change in ("delete", "rename", "regenerate"):
            control = api(server.url)
            arguments = (UUID, "n") if change == "rename" else (UUID,)
            with pytest.raises(RateLimited) as raised:
                getattr(control, change)(*arguments, nothing)
            assert raised.value.definite
            assert control.budget.throttled() == pytest.approx(30, abs=0.1)
        assert len(server.requests) == 3


def test_a_429_of_a_read_is_waited_out_however_often() -> None:
    """Six in a row are more than other failures may be; each time it waits as long as was said."""
    clock = [NOW.timestamp()]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    busy = reply(429, "{}", {"Retry-After": "90"})
    with RawServer(*[busy] * 6, page([], 0)) as server:
        control = ControlApi(server.url, TOKEN, sleep=sleep, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        assert control.list_keys() == ()
        assert len(server.requests) == 7
    assert clock[0] - NOW.timestamp() == pytest.approx(540, abs=1)


def test_a_read_gives_up_after_an_hour_and_a_quarter() -> None:
    """An hour's limit is waited out, an API that only says 429 is not."""
    clock = [NOW.timestamp()]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    with RawServer(reply(429)) as server:
        control = ControlApi(server.url, TOKEN, sleep=sleep, now=lambda: datetime.fromtimestamp(clock[0], UTC))
        with pytest.raises(RateLimited):
            control.list_keys()
    assert clock[0] - NOW.timestamp() == pytest.approx(75 * 60, abs=61)


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
    """What the headers announce is waited out, an hour if need be: no 429 in the log."""
    with Sandbox(seed=1, hour_limit=3, start=NOW.timestamp()) as sandbox:
        clock = [NOW.timestamp()]

        def sleep(seconds: float) -> None:
            clock[0] += seconds
            sandbox.advance(seconds)

        control = ControlApi(
            sandbox.url, Secret(sandbox.token), sleep=sleep, now=lambda: datetime.fromtimestamp(clock[0], UTC)
        )
        for _ in range(5):
            control.list_keys()
        assert [seen.status for seen in sandbox.requests] == [200] * 5
    assert clock[0] - NOW.timestamp() == pytest.approx(3600, abs=2)


def test_threads_share_one_budget() -> None:
    """Eight threads, twenty requests left: twenty succeed, the other changes are refused unsent, no 429 is met."""
    with Sandbox(seed=1, hour_limit=20, start=NOW.timestamp()) as sandbox:
        control = ControlApi(sandbox.url, Secret(sandbox.token), now=lambda: NOW)
        control.list_keys()

        def change(_: int) -> bool:
            try:
                control.delete(UUID, nothing)
            except RateLimited:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(change, range(40)))
        statuses = [seen.status for seen in sandbox.requests]
    assert done.count(True) == 19
    assert statuses == [200] + [404] * 19
