"""Work on many keys side by side, and say when the work on each begins and ends: what a live view is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from keyturn.core.model import DesiredKey
from keyturn.core.reasons import Condition
from keyturn.core.results import KeyReport, Progress, Stage
from keyturn.engine.threads import map_in_threads

R = TypeVar("R")

Listener = Callable[[Progress], None]

PLAN = "plan"
APPLY = "apply"
"""The works that a BEGIN names."""


@dataclass(frozen=True, slots=True)
class Announcer:
    """Says what begins and ends; `hear` is called in the caller's thread only, `now` in any."""

    hear: Listener
    now: Callable[[], datetime]
    workers: int

    def each(
        self, what: str, work: Sequence[DesiredKey], counted: Collection[str], do: Callable[[DesiredKey, Listener], R]
    ) -> tuple[R, ...]:
        """Do the work for each key and return the results in the order of the keys; only `counted` ids are announced.

        Raises what `do` raises, when all have ended.
        """
        if counted:
            self.hear(Progress("", what, self.now(), Stage.BEGIN, number=len(counted)))

        def announced(key: DesiredKey, say: Listener) -> R:
            if key.id not in counted:
                return do(key, say)
            say(Progress(key.id, "", self.now(), Stage.START))
            try:
                result = do(key, say)
            except BaseException:
                say(Progress(key.id, "", self.now(), Stage.END, code=1))
                raise
            code, why = _failure(result)
            say(Progress(key.id, why, self.now(), Stage.END, code=code))
            return result

        return map_in_threads(work, announced, self.hear, self.workers, only_reads=what == PLAN)


def _failure(result: object) -> tuple[int, str]:
    """Return the exit code of a key that failed, and why; 0 if it is fine, or if only an operator is waited for."""
    if not isinstance(result, KeyReport) or result.now.condition is Condition.ACTION_NEEDED:
        return 0, ""
    return result.exit_code, f"{result.now.condition}: {result.now.why}" if result.exit_code else ""
