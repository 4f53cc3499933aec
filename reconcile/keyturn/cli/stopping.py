"""Ctrl-C in a run: what is said at once, what a second press does, and what was left when the run has ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from keyturn.cli.console import Screen
from keyturn.core.model import Timing
from keyturn.core.reasons import Reason
from keyturn.core.results import KeyReport, RunReport
from keyturn.report.progress import span

NAMES: Final = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
NAMED: Final = 5
READ: Final = 1.0
"""Seconds within which a further press is no answer to what was said: nobody has read it yet."""
LEAVE: Final = (
    "Press Ctrl-C again to leave at once: what was begun is in the records, and the next `keyturn apply` continues it."
)


class Stopping:
    """Answers each signal of a run: `answer` is called in a thread of its own, while the run goes on."""

    def __init__(
        self,
        screen: Screen,
        timings: Sequence[Timing],
        left: Callable[[int, str], None],
        leave: Callable[[int], None],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare. `left` is told the exit code and why before `leave` ends the process; `ticks` counts seconds."""
        self._screen = screen
        self._timings = timings
        self._left = left
        self._leave = leave
        self._ticks = ticks
        self._said = 0.0
        self._warned = False

    def answer(self, number: int, times: int) -> None:
        """Say what is being finished and for how long, or leave; `times` counts the signals of this number."""
        board = self._screen.board
        if times == 1:
            self._said = self._ticks()
            self._screen.error(self._first(number))
        elif self._ticks() - self._said < READ:
            return
        elif number == signal.SIGINT and board.holds and not self._warned:
            self._warned, self._said = True, self._ticks()
            self._screen.error(
                f"Not yet: the only copy of the new secret of {_names(board.holds)} is in this process. Leaving now "
                "loses it, and its consumers are refused until the next `keyturn apply` makes another. Press Ctrl-C "
                "once more to leave all the same."
            )
        elif number == signal.SIGINT:
            self._screen.rest()
            text = "Left at once. What was begun is in the records; the next `keyturn apply` continues it."
            self._screen.error(text)
            self._left(128 + number, text)
            self._leave(128 + number)

    def _first(self, number: int) -> str:
        board = self._screen.board
        name = NAMES.get(signal.Signals(number), f"Signal {number}")
        if not board.working:
            return f"{name}: nothing is under way, so the run stops now."
        longest = max(timing.propagation + timing.request for timing in self._timings)
        doing = [f"{key} ({one.text})" if one.text else key for key, one in list(board.working.items())]
        what = f"finishes the present step of {_names(doing)}"
        if board.holds:
            longest += max(timing.delivery for timing in self._timings)
            what = f"delivers the new secret of {_names(board.holds)}, of which there is no other copy yet"
        again = f" {LEAVE}" if number == signal.SIGINT else ""
        return (
            f"{name}: begins no further key, and {what}. That takes up to {span(longest)}; then the run stops.{again}"
        )


def leave(code: int) -> None:
    """End the process now, without waiting for the threads that work on keys."""
    os._exit(code)


def ended(number: int, reports: Sequence[RunReport], *, command: str) -> str:
    """Return what a stopped run left: what the next apply continues, and what `command` has to be run for again.

    `command` is empty if the next apply does everything that this run did not do.
    """
    name = NAMES.get(signal.Signals(number), f"signal {number}")
    stopped = [key for report in reports for key in report.reports if key.end.code is Reason.INTERRUPTED]
    untouched = [key.key for key in stopped if command and not _begun(key)]
    parts = [f"Stopped by {name}"]
    if len(untouched) < len(stopped) or not untouched:
        parts.append("the next `keyturn apply` continues from there")
    text = "; ".join(parts) + "."
    if untouched:
        text += f" Nothing was written for {_names(untouched)}: run `keyturn {command} {' '.join(untouched)}` again."
    return text


def _begun(key: KeyReport) -> bool:
    """Tell whether the records know of the order, so that the next apply continues it."""
    record = key.record
    return bool(key.done) or (record is not None and (record.intent is not None or record.requested is not None))


def _names(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return ", ".join(keys[:NAMED]) + more
