"""What a run is doing now, as lines: a counter, what is waited for, and a line for each key that is being worked on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime

from keyturn.core.results import Progress, Stage
from keyturn.report.lines import Line, Span, Tone, columns, count, line

IN_SECONDS = 120
"""Longer waits are shown in minutes."""
VERBS = {"plan": "planned", "apply": "done"}


@dataclass(frozen=True, slots=True)
class Working:
    """A key that is being worked on: since when, what is done now, and whether its only secret is in this process."""

    since: datetime
    text: str = ""
    holds: bool = False


@dataclass(slots=True)
class Board:
    """The present state of a run. It is told of progress, and asked for lines with the time of asking.

    It may be asked in another thread than it is told in: at worst the answer is a message late.
    """

    work: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    working: dict[str, Working] = field(default_factory=dict)
    waits: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    """What is waited for until when, by key; an empty key is the whole run."""

    def hear(self, step: Progress) -> None:
        """Take in one progress message."""
        if step.stage is Stage.BEGIN:
            self.work, self.total, self.done, self.failed = step.text, step.number, 0, 0
            self.working.clear()
            self.waits.clear()
        elif step.stage is Stage.START:
            self.working[step.key] = Working(step.at)
        elif step.stage is Stage.END:
            self.working.pop(step.key, None)
            self.waits.pop(step.key, None)
            self.done += 1
            self.failed += bool(step.code)
        elif step.stage is Stage.WAIT and step.until is not None:
            self.waits[step.key] = (step.text, step.until)
        elif step.stage is Stage.STEP and step.key:
            before = self.working.get(step.key, Working(step.at))
            self.working[step.key] = replace(before, text=step.text or before.text, holds=step.holds)
            self.waits.pop(step.key, None)

    @property
    def holds(self) -> tuple[str, ...]:
        """The keys whose only secret is in this process now."""
        return tuple(key for key, one in self.working.items() if one.holds)

    def counter(self, now: datetime) -> str:
        """Return `57/200 keys done, 2 failed, 12 s to wait for the API's limit`; empty before the first key."""
        if not self.total:
            return ""
        parts = [f"{self.done}/{count(self.total, 'key')} {VERBS.get(self.work, 'done')}"]
        parts += [f"{self.failed} failed"] if self.failed else []
        if left := self._limit(now):
            parts.append(f"{span(left)} to wait for the API's limit")
        return ", ".join(parts)

    def limited(self, now: datetime) -> bool:
        """Tell whether the API's rate limit holds back the run, or each key at work."""
        return self._limit(now) > 0

    def lines(self, now: datetime, height: int) -> list[Line]:
        """Return the counter, the wait of the whole run and the keys at work, in at most `height` lines, 3 or more."""
        result = [line(Span(text, Tone.HEAD))] if (text := self.counter(now)) else []
        text, until = self.waits.get("", ("", now))
        if until > now and not _of_limit(text):
            result.append(line(Span(f"{text} {span((until - now).total_seconds())} left.", Tone.WARN)))
        room = max(1, height - len(result) - 1)
        oldest = sorted(self.working.items(), key=lambda item: item[1].since)
        rows = [
            (
                Span(key, Tone.NAME),
                Span(f"{max(0, int((now - one.since).total_seconds())):3} s"),
                Span(self._text(key, one, now)),
            )
            for key, one in oldest[:room]
        ]
        result += columns(rows, indent=2) if rows else []
        if len(oldest) > room:
            result.append(line(Span(f"  and {count(len(oldest) - room, 'more key')} at work", Tone.DIM)))
        return result

    def _text(self, key: str, one: Working, now: datetime) -> str:
        text, until = self.waits.get(key, ("", now))
        if until > now:
            return f"{text}, {span((until - now).total_seconds())} left"
        return one.text or ("reads" if self.work == "plan" else "begins")

    def _limit(self, now: datetime) -> float:
        """Return for how many seconds the API's rate limit holds back the run, or each of its keys; else 0."""
        waits = tuple(self.waits.items())
        left = {key: (until - now).total_seconds() for key, (text, until) in waits if _of_limit(text)}
        return max(0.0, left.get("", 0.0), min(left.values()) if left and set(self.working) <= set(left) else 0.0)


def _of_limit(text: str) -> bool:
    return "rate limit" in text


def span(seconds: float) -> str:
    """Return a length of time as `12 s`, and from two minutes on as `3 min`; rounded up."""
    return f"{math.ceil(seconds)} s" if seconds <= IN_SECONDS else f"{math.ceil(seconds / 60)} min"
