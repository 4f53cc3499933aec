"""PURE: what an examination of the set-up found: one check per line, each with what to do if it is not in order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from keyturn.core.errors import KeyturnError


class Mark(StrEnum):
    """How a check ended. `skip`: it was not tried, and the sentence says why."""

    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of an examination. `exit_code` is 0 unless the mark is `fail`."""

    part: str
    """What was examined: `environment`, `manifest`, `account`, `programs`, `target NAME`, `records` or `keys`."""
    what: str
    mark: Mark = Mark.OK
    remedy: str = ""
    exit_code: int = 0


def failure(part: str, error: KeyturnError) -> Check:
    """Return the check that ended with this error: its place, sentence and evidence, its remedy, its exit code.

    The place is not repeated where it is the part itself.
    """
    where = error.where.removeprefix(part).removeprefix(", ") if error.where.startswith(part) else error.where
    text = f"{where}: {error.what}" if where else error.what
    if error.evidence:
        text = f"{text} ({error.evidence})"
    return Check(part, text, Mark.FAIL, error.remedy, error.exit_code)


def warned(part: str, what: str, remedy: str) -> Check:
    """Return a check with a warning."""
    return Check(part, what, Mark.WARN, remedy)


def failed(part: str, what: str, remedy: str, exit_code: int = 1) -> Check:
    """Return a check that failed."""
    return Check(part, what, Mark.FAIL, remedy, exit_code)


def skipped(part: str, what: str) -> Check:
    """Return a check that was not tried."""
    return Check(part, what, Mark.SKIP)
