"""One list serves a run: when it is read, what a failure means, and that our own changes stay visible."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from keyturn.core.errors import Ambiguous
from keyturn.core.listing import Listing
from keyturn.core.model import ApiKey
from keyturn.live.key_list import KeyList, Keys

A, B = ApiKey("1", "a"), ApiKey("2", "b")


def add(key: ApiKey) -> Callable[[Keys], Keys]:
    """The change that adds a key."""
    return lambda keys: (*keys, key)


class Source:
    """Gives a list that grows with each reading, or fails; can be held up in the middle of a reading."""

    def __init__(self) -> None:
        self.readings = 0
        self.failing = False
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.held = False

    def read(self) -> Keys:
        """Read once."""
        self.readings += 1
        number = self.readings
        if self.held:
            self.begun.release()
            assert self.go_on.acquire(timeout=20)
        if self.failing:
            raise Ambiguous("no agreement")
        return tuple(ApiKey(str(n), "x") for n in range(number))


def test_the_first_list_serves_all_who_come_after() -> None:
    """Only `fresh` reads again, and what it read serves from then on."""
    source = Source()
    listing = KeyList(source.read)
    assert [len(listing.get()) for _ in range(3)] == [1, 1, 1]
    assert len(listing.get(fresh=True)) == 2
    assert len(listing.get()) == 2
    assert source.readings == 2


def test_who_waits_for_a_fresh_list_shares_one_that_began_meanwhile() -> None:
    """Nine at once: the first reads; the eight who came during its reading share one further reading."""
    source = Source()
    source.held = True
    listing = KeyList(source.read)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(listing.get(fresh=True)))) for _ in range(9)]
    threads[0].start()
    assert source.begun.acquire(timeout=20)
    for thread in threads[1:]:
        thread.start()
    source.go_on.release(9)
    for thread in threads:
        thread.join(20)
    assert found[0] == 1
    assert set(found[1:]) <= {2, 3}
    assert source.readings <= 3


def test_a_change_of_ours_shows_without_another_list() -> None:
    """It lasts until the next reading, which then tells for itself."""
    listing = KeyList(lambda: (A,))
    listing.get()
    listing.amend(add(B))
    assert listing.get() == (A, B)
    assert listing.get(fresh=True) == (A,)


def test_a_change_during_a_reading_is_not_lost_and_does_not_wait_for_it() -> None:
    """The reading may have passed that page already; anyone who makes the change may hold a fresh secret."""
    source = Source()
    source.held = True
    listing = KeyList(source.read)
    thread = threading.Thread(target=listing.get)
    thread.start()
    assert source.begun.acquire(timeout=20)
    listing.amend(add(B))
    source.go_on.release()
    thread.join(20)
    assert listing.get() == (ApiKey("0", "x"), B)


def test_a_list_is_indexed_once_for_all_who_look() -> None:
    """Each key of a run looks in the same list: the deleted are left out once, not once for each."""
    dead = replace(A, uuid="3", deleted_at=datetime(2026, 8, 1, tzinfo=UTC))
    kept = KeyList(lambda: (A, dead, B))
    found = Listing.of(kept.get())
    assert found is kept.get()
    assert found.living is found.living
    assert (found.living, found.living.living) == ((A, B), (A, B))
    assert (found.by_uuid["3"], found.by_name["a"], found.living.by_name["a"]) == (dead, (A, dead), (A,))
