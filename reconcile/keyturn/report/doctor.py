"""An examination of the set-up as lines: each part with its checks, and below a check what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keyturn.core.checkup import Check, Mark
from keyturn.report.lines import Line, Span, Tone, count, line

_TONES = {Mark.OK: Tone.GOOD, Mark.SKIP: Tone.DIM, Mark.WARN: Tone.WARN, Mark.FAIL: Tone.BAD}
_WIDTH = max(len(mark) for mark in Mark)


def doctor_lines(checks: Sequence[Check], *, problems_only: bool = False) -> Iterator[Line]:
    """Yield the lines of all checks by part, in the order in which the parts come first, and a summary.

    `problems_only`: only failures and warnings, without the summary.
    """
    shown = [check for check in checks if not problems_only or check.mark in {Mark.WARN, Mark.FAIL}]
    for part in dict.fromkeys(check.part for check in shown):
        yield line(Span(part, Tone.HEAD))
        for check in shown:
            if check.part == part:
                yield from _lines(check)
    if not problems_only:
        yield line()
        yield _summary(checks)


def _lines(check: Check) -> Iterator[Line]:
    yield line("  ", Span(f"{check.mark:<{_WIDTH}}", _TONES[check.mark]), "  ", check.what)
    if check.remedy:
        first, *others = check.remedy.split("\n")
        yield line("  ", " " * _WIDTH, "  ", Span("do", Tone.HEAD), f" {first}")
        yield from (line("  ", " " * _WIDTH, "     ", other) for other in others)


def _summary(checks: Sequence[Check]) -> Line:
    fails, warns = (sum(check.mark is mark for check in checks) for mark in (Mark.FAIL, Mark.WARN))
    if not fails and not warns:
        return line(Span("Everything that was examined is in order.", Tone.GOOD))
    words = f"{count(fails, 'problem')}, {count(warns, 'warning')}."
    return line(Span(words, Tone.BAD if fails else Tone.WARN))
