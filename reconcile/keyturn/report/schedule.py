"""What will happen when, as lines: one per rotation, retire and freeze, in the order of time."""

from __future__ import annotations

from keyturn.core.forecast import Coming, What
from keyturn.report.documents import ScheduleDocument
from keyturn.report.lines import Line, Span, Tone, columns, line, moment

_TONES = {What.ROTATE: Tone.WARN, What.RETIRE: Tone.PLAIN, What.FREEZE: Tone.HEAD}


def schedule_lines(document: ScheduleDocument, *, notes_only: bool = False) -> list[Line]:
    """Return a row per moment, then what the schedule cannot tell; `notes_only`: only that."""
    rows = [_row(one) for one in document.coming]
    result = columns(rows) if rows else [line(f"Nothing is due before {moment(document.until)}.")]
    return [*([] if notes_only else result), *(line(Span("note  ", Tone.DIM), note) for note in document.notes)]


def details(one: Coming) -> str:
    """Return why it happens, and until when it may start or lasts."""
    if one.until is None:
        return one.why
    until = f"until {moment(one.until)}"
    return f"{until}: {one.why}" if one.what is What.FREEZE else f"{one.why}, window {until}"


def _row(one: Coming) -> tuple[Span, ...]:
    return (
        Span(f"{one.at:%a}", Tone.DIM),
        Span(moment(one.at)),
        Span(one.what, _TONES[one.what]),
        Span(one.key or one.owner, Tone.NAME),
        Span(details(one)),
    )
