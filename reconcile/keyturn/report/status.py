"""The state of keys as a table, and smoke-checks as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from keyturn.core.model import ApiKey, Delivery, SmokeResult
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus
from keyturn.report.common import Common, common
from keyturn.report.documents import StatusDocument
from keyturn.report.fold import fold, wide
from keyturn.report.handoff import handoff_lines
from keyturn.report.lines import Line, Span, Tone, columns, count, length, line, moment
from keyturn.report.overview import is_remembered, place, totals, worst_first
from keyturn.report.plan import CONDITION_TONES, common_lines, condition_spans
from keyturn.report.pools import pool_lines
from keyturn.report.remedies import remedies, remedy
from keyturn.report.run import smoke_tone, smoke_words

UNMANAGED = "not in the manifest: put its entry back, or `keyturn forget {key}`"
"""What is said of a key of which only the record is left."""
LIVE = "LIVE"
HEADS = ("KEY", "STATE", "SINCE", LIVE, "GEN", "AGE", "NEXT ROTATION", "DELIVERED", "READ", "WHERE")
NARROW = ("KEY", "STATE", "AGE", "NEXT ROTATION", "DELIVERED")
"""The columns for a terminal that is too narrow for all; below that, a key has a line of its own."""


def status_lines(document: StatusDocument, width: int | None = None) -> list[Line]:
    """Return the totals, what several keys share, each key with its next step, the worst first, and the account's rest.

    `width`: columns of the terminal; lines are folded to it. None: a pipe, where nothing is folded.
    """
    keys = worst_first(document.keys)
    shared = common([(key.key, key.every) for key in keys])
    result = [line(Span(totals(document), Tone.HEAD))]
    result += _stops(document.stops)
    for names, end, do in shared:
        result += [line(), line(Span(names, Tone.NAME)), line("  ", *condition_spans(end))]
        result += [line("  ", Span("do: ", Tone.HEAD), do)] if do else []
    result += [line(), *_keys(keys, document.at, shared, width)] if keys else []
    result += [line(), *found] if (found := pool_lines(document.pools)) else []
    result += handoff_lines(next((end for end in key.every if end.make), key.every[0]) for key in keys)
    unowned = document.unowned
    if unowned is not None:
        result += [line(), line(Span(f"{count(len(unowned), 'key')} of the account owned by no manifest", Tone.HEAD))]
        rows = [(Span(key.uuid), Span(key.name), Span(_age(key, document.at))) for key in unowned]
        result += columns(rows, indent=2) if rows else []
    return fold(result, width) if width else result


def _keys(keys: Sequence[KeyStatus], now: datetime, shared: Common, width: int | None) -> list[Line]:
    """Return a row per key with as many columns as fit, each followed by what is to be said of it."""
    result: list[Line] = []
    heads: tuple[str, ...] = ()
    table: list[Line] = []
    for heads in (HEADS, NARROW):
        rows = [tuple(Span(head, Tone.HEAD) for head in heads)]
        rows += [tuple(cell for head, cell in zip(HEADS, _row(key, now), strict=True) if head in heads) for key in keys]
        head, *table = columns(rows)
        if width is None or all(wide(row) <= width for row in (head, *table)):
            result.append(head)
            break
    else:
        heads, table = (), [_short_row(key) for key in keys]
    for key, row in zip(keys, table, strict=True):
        result += [row, *_notes(key, shared, where="WHERE" not in heads)]
    return result


def smoke_lines(
    results: Sequence[tuple[str, Delivery | None, SmokeResult]],
    keys: Sequence[KeyStatus] = (),
    stopped: Sequence[End] = (),
) -> list[Line]:
    """Return one line per checked secret, then each condition that makes the exit code.

    A line has the key, where its secret was read (None: from standard input) and the verdict.
    """
    # What is wrong with a key has its own remedy below; a secret from standard input is in no delivery.
    said = {key.key: [Reason.REFUSED, *(end.code for end in key.every if end.exit_code)] for key in keys}
    rows = columns(
        [
            (
                Span(key, Tone.NAME),
                Span(str(place) if place else "stdin"),
                Span(
                    smoke_words(result, said=said.get(key, ()) if place else (Reason.REFUSED,), key=key),
                    smoke_tone(result.verdict),
                ),
            )
            for key, place, result in results
        ]
    )
    shared = common([(key.key, key.every) for key in keys])
    own = [(key.key, shared.own(key.every)) for key in keys]
    wrong = [(key, end) for key, ends in own for end in ends if end.exit_code]
    rows += [line(Span(key, Tone.NAME), "  ", *condition_spans(end)) for key, end in wrong]
    rows += [line(Span(key, Tone.NAME), "  do ", text) for key, ends in own for text in remedies(ends, key)]
    return rows + common_lines(shared) + _stops(stopped)


def _stops(stopped: Iterable[End]) -> list[Line]:
    return [
        row
        for end in stopped
        for row in (line(Span("An apply would stop: ", Tone.BAD), end.why), line("  do: ", remedy(end, "KEY")))
    ]


def _row(key: KeyStatus, now: datetime) -> tuple[Span, ...]:
    """Return the cells of HEADS."""
    return (
        Span(key.key, Tone.NAME),
        Span(key.word, CONDITION_TONES[key.condition]),
        Span(length(now - key.since) if key.since else "-"),
        Span(key.live.value if key.live else "-"),
        Span(str(key.generation)),
        Span(length(now - key.minted_at) if key.minted_at else "-"),
        Span(moment(key.next_rotation_at) if key.next_rotation_at else "-"),
        _delivered(key),
        Span("now" if key.read else "recorded" if key.deliveries else "-", Tone.DIM),
        Span(place(key) or "-"),
    )


def _short_row(key: KeyStatus) -> Line:
    """Return the line of a key on a terminal without room for columns."""
    at = key.next_rotation_at
    rotates = f", next rotation {moment(at)}" if at else ""
    state = Span(key.word, CONDITION_TONES[key.condition])
    return line(Span(key.key, Tone.NAME), "  ", state, ", delivered ", _delivered(key), rotates)


def _delivered(key: KeyStatus) -> Span:
    held = sum(1 for _, good in key.deliveries if good)
    return Span(f"{held}/{len(key.deliveries)}", Tone.GOOD if held == len(key.deliveries) else Tone.WARN)


def _notes(key: KeyStatus, shared: Common, *, where: bool) -> list[Line]:
    """Return what is to be said of a key, and what to type; `where`: also its place, if it is not at rest."""
    notes: list[Line] = []
    own = shared.own(key.every)
    notes += [condition_spans(end) for end in own if end.condition is not Condition.READY]
    notes += [line(Span("do: ", Tone.HEAD), text) for text in remedies(own, key.key)]
    if where and key.condition is not Condition.READY and key.deliveries:
        named = [one for one, _ in key.deliveries if any(str(one) in end.why for end in key.every)]
        notes += [] if named else [line("where: ", place(key))]
    if is_remembered(key) and key.recorded_at:
        notes.append(line(f"the rest is as recorded at {moment(key.recorded_at)}"))
    if not key.entry:
        notes.append(line(UNMANAGED.format(key=key.key)))
    if key.requested:
        notes.append(line("a rotation was asked for and is not finished"))
    said = [end.code for end in key.every]
    results = dict.fromkeys(result for _, result in key.results) or dict.fromkeys([key.verdict] if key.verdict else [])
    for result in results:
        places = ", ".join(str(one) for one, found in key.results if found == result)
        words = smoke_words(result, said=said, key=key.key)
        notes.append(line(f"smoke-check{f' of {places}' if places else ''}: ", Span(words, smoke_tone(result.verdict))))
    if key.untried:
        places = ", ".join(map(str, key.untried))
        notes.append(line(f"not tried: {places}: cannot be read, and shows the marker of keyturn's own write"))
    bad = [str(one) for one, good in key.deliveries if not good]
    if bad and not key.read:
        notes.append(line(f"not recorded with the live secret: {', '.join(bad)}"))
    notes += [line(Span("problem", Tone.BAD), f"  {problem}") for problem in key.problems]
    return [line("  ", *note) for note in notes]


def _age(key: ApiKey, now: datetime) -> str:
    return length(now - key.created_at) if key.created_at else "-"
