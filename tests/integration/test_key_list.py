"""The shared list of keys under threads that wait for each other in real time."""

from __future__ import annotations

import threading
import time

from keyturn.core.errors import Ambiguous
from keyturn.core.model import ApiKey
from keyturn.live.key_list import KeyList, Keys


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


def test_a_failure_serves_who_waited_for_it_and_nobody_later() -> None:
    """Of nine at once one tries in vain, unless fresh is asked for; who comes later, or tries again, finds the API."""
    source = Source()
    source.held = source.failing = True
    listing = KeyList(source.read)
    found: list[str] = []

    def get() -> None:
        try:
            found.append(str(len(listing.get())))
        except Ambiguous as error:
            found.append(str(error))

    threads = [threading.Thread(target=get) for _ in range(9)]
    threads[0].start()
    assert source.begun.acquire(timeout=20)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)
    source.go_on.release(9)
    for thread in threads:
        thread.join(20)
    assert found == ["no agreement."] * 9
    assert source.readings <= 3
    source.failing = source.held = False
    readings = source.readings
    assert len(listing.get()) == len(listing.get()) == readings + 1
