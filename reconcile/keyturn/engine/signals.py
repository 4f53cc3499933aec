"""A request to stop: the signal is noted, and the running work looks for it where stopping is safe.

The runner starts no new key once a stop was asked for. The executor looks between two steps, and never between a mint
and the first durable write of its secret: there the secret would be lost.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Self

Heard = Callable[[int, int], None]
"""What is told of each signal: its number, and how many there were of it."""

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_active: list[Signals] = []


def stop_requested() -> int | None:
    """Return the number of the first signal that asked this process to stop, None while none did."""
    return _active[-1].stop_requested if _active else None


class Signals:
    """Notes SIGINT, SIGTERM and SIGHUP while inside instead of dying of them; main thread only.

    A handler only sets a number: anything that takes a lock could wait for the code that it interrupted. A signal
    that was ignored before (`nohup`) stays ignored. The exit code is 128 plus `stop_requested`.

    `heard` is told of each signal at once, in a thread of its own: the main thread may be waiting for its workers.
    """

    def __init__(self, heard: Heard | None = None) -> None:
        """Start with nothing asked."""
        self.stop_requested: int | None = None
        self._heard = heard
        self._noted: SimpleQueue[tuple[int, int] | None] = SimpleQueue()  # its `put` may interrupt itself
        self._times: dict[int, int] = {}
        self._teller: threading.Thread | None = None
        self._before: dict[int, signal.Handlers] = {}

    def __enter__(self) -> Self:
        """Take over the handlers; raises ValueError outside of the main thread."""
        for number in STOPPING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)  # type: ignore[assignment]
        _active.append(self)
        if self._heard:
            self._teller = threading.Thread(target=self._tell, args=(self._heard,), name="signals", daemon=True)
            self._teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the handlers back."""
        _active.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._teller:
            self._noted.put(None)
            self._teller.join()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.stop_requested is None:
            self.stop_requested = number
        self._times[number] = self._times.get(number, 0) + 1
        self._noted.put((number, self._times[number]))

    def _tell(self, heard: Heard) -> None:
        while (noted := self._noted.get()) is not None:
            with suppress(Exception):  # a message that cannot be shown stops nothing
                heard(*noted)


def pause(sleep: Callable[[float], None], seconds: float) -> None:
    """Sleep in slices of a second at most, until a stop is requested."""
    while seconds > 0 and stop_requested() is None:
        sleep(min(seconds, 1.0))
        seconds -= 1.0
