"""Every decision of the machine over the histories, as one number per job: the oracle for a rewrite of the machine.

`make decisions` writes the numbers before a rewrite; until they are removed, every simulation compares with them. A
rewrite that decides otherwise anywhere changes one, and the change has to say what decides otherwise, and why. What
only people read (sentences, the history) does not count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path
from unittest.mock import patch

from keyturn.core import machine
from keyturn.core.record import Record
from keyturn.core.results import End, Planned
from keyturn.core.state import State
from keyturn.core.steps import Decision
from keyturn.engine import executor

EXPECTED = Path(__file__).parents[2] / "build" / "decisions.json"
_MODULUS = 2**64
_READABLE = ", marked=False, begun=False, effect_due=False"
"""What a delivery that can be read had no need to say when the note was made."""
_UNSAID = frozenset({"why", "hold_signals"})
"""Fields that do not count: sentences, and what the performer of a step worked out itself when the note was made."""


@dataclass(slots=True)
class Digest:
    """A sum over decisions: their order does not count, how often each was taken does."""

    count: int = 0
    total: int = 0

    def add(self, decision: Decision) -> None:
        """Count a decision."""
        self.count += 1
        text = canonical(decision).encode()
        self.total = (self.total + int.from_bytes(blake2b(text, digest_size=8).digest())) % _MODULUS

    def __str__(self) -> str:
        """Show as it is kept."""
        return f"{self.count}:{self.total:016x}"


def canonical(decision: Decision) -> str:
    """Return what a decision comes to, without its sentences."""
    if isinstance(decision, End):
        return f"End {decision.code} {decision.exit_code} {decision.until}"
    parts = [
        f"{part.name}={_value(getattr(decision, part.name))}" for part in fields(decision) if part.name not in _UNSAID
    ]
    return f"{type(decision).__name__} {' '.join(parts)}"


def _value(value: object) -> str:
    match value:
        case End():
            return canonical(value)
        case Planned():
            return f"{value.change} {value.code} {value.slot} {value.uuid} {value.delivery}"
        case Record():
            return repr(_unsaid(value)).replace(_READABLE, "")
        case (Planned(), *_):
            return "+".join(map(_value, value))
        case _:
            return repr(value)


def _unsaid(record: Record) -> Record:
    """Return a record without what people said and read."""
    return replace(
        record,
        history=(),
        parked=record.parked and replace(record.parked, why=""),
        requested=record.requested and replace(record.requested, by="", reason=""),
        unverified="unverified" if record.unverified else "",
        intent=record.intent and replace(record.intent, cause=None),
    )


@contextmanager
def recorded() -> Iterator[Digest]:
    """Count every decision that executors take meanwhile."""
    digest, real = Digest(), machine.next_step

    def next_step(state: State) -> Decision:
        decision = real(state)
        digest.add(decision)
        return decision

    with patch.object(executor, "next_step", next_step):
        yield digest


def expected() -> dict[str, str]:
    """Return the number of each job as it was written before; none if nothing was."""
    if not EXPECTED.is_file():
        return {}
    found: dict[str, str] = json.loads(EXPECTED.read_text(encoding="utf-8"))
    return found


def counting() -> bool:
    """Tell whether decisions are counted: they are to be written, or compared."""
    return os.environ.get("DECISIONS") == "write" or EXPECTED.is_file()
