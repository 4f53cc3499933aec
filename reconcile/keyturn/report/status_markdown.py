"""`status` as GitHub-flavoured markdown, for the summary of a job: every name that is not ours is in a code span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from keyturn.core.reasons import Condition
from keyturn.core.results import End, KeyStatus
from keyturn.report.common import common
from keyturn.report.documents import StatusDocument
from keyturn.report.handoff import CLICKS, FIRST, PANEL
from keyturn.report.lines import count, length, moment
from keyturn.report.markdown import LIMIT, code
from keyturn.report.overview import is_remembered, place, totals, worst_first
from keyturn.report.pools import pool_text
from keyturn.report.remedies import remedies, remedy


def status_markdown(document: StatusDocument) -> str:
    """Return the totals, what is wrong and what to do, each key in one row, and the account's rest.

    All tables together have at most 60,000 characters, so that a comment takes them too; missing rows are counted.
    """
    keys = worst_first(document.keys)
    shared = common([(key.key, key.every) for key in keys])
    wrong = [_wrong(names, end, do) for names, end, do in shared]
    for key in keys:
        own = [end for end in shared.own(key.every) if end.condition is not Condition.READY]
        dos = remedies(own, key.key)
        for number, end in enumerate(own):
            wrong.append(_wrong(key.key, end, "; ".join(dos) if not number else ""))
    tables = _Tables()
    parts = ["### keyturn status", f"{totals(document)}. As of {moment(document.at)}."]
    for end in document.stops:
        parts += [f"**An apply would stop:** {code(end.why)}", f"**Do:** {code(remedy(end, 'KEY'))}"]
    parts += tables.table(("key", "condition", "since, until", "why", "do"), wrong)
    parts += tables.table(("key", "condition", "age", "next rotation", "delivered", "where"), _rows(keys, document.at))
    parts += [f"**Note:** {code(pool_text(pool))}" for pool in document.pools]
    parts += _make(keys)
    if document.unowned is not None:
        parts.append(f"{count(len(document.unowned), 'key')} of the account owned by no manifest.")
        parts += tables.table(("uuid", "name"), [_cells((code(key.uuid), code(key.name))) for key in document.unowned])
    return "\n\n".join(parts) + "\n"


@dataclass
class _Tables:
    """Tables that share the room of one comment."""

    room: int = LIMIT

    def table(self, heads: Sequence[str], rows: Sequence[str]) -> list[str]:
        """Return a table of as many rows as there is room for, and how many more there are."""
        kept: list[str] = []
        for row in rows:
            if len(row) >= self.room:
                break
            self.room -= len(row) + 1
            kept.append(row)
        whole = [_cells(heads), _cells(["---"] * len(heads)), *kept]
        more = [f"… and {count(len(rows) - len(kept), 'row')} more."] if len(kept) < len(rows) else []
        return ["\n".join(whole), *more] if rows else []


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _wrong(key: str, end: End, do: str) -> str:
    return _cells((code(key), f"**{end.code.word}**", _when(end), code(end.why), code(do)))


def _when(end: End) -> str:
    since = f"since {moment(end.since)}" if end.since else ""
    until = f"until {moment(end.until)}" if end.until else ""
    return ", ".join(part for part in (since, until) if part)


def _rows(keys: Sequence[KeyStatus], now: datetime) -> list[str]:
    return [_row(key, now) for key in keys]


def _row(key: KeyStatus, now: datetime) -> str:
    held = sum(1 for _, good in key.deliveries if good)
    seen = f", as recorded at {moment(key.recorded_at)}" if is_remembered(key) and key.recorded_at else ""
    age = length(now - key.minted_at) if key.minted_at else ""
    rotates = moment(key.next_rotation_at) if key.next_rotation_at else ""
    delivered = f"{held} of {len(key.deliveries)}{seen}"
    return _cells((code(key.key), key.word, age, rotates, delivered, code(place(key))))


def _make(keys: Sequence[KeyStatus]) -> list[str]:
    """Return the API keys that an operator has to make, with the clicks."""
    ends = [next((end for end in key.every if end.make), key.every[0]) for key in keys]
    names = list(dict.fromkeys(name for end in ends for name in end.make))
    if not names:
        return []
    first = [] if all(end.since for end in ends if end.make) else [FIRST]
    return [f"Make in the [control panel]({PANEL}) ({CLICKS}):", "\n".join(f"- {code(name)}" for name in names), *first]
