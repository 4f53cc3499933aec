"""A run in words: what was done to each key, how it ended, and what is wrong now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from itertools import chain

from keyturn.core.model import GOOD, SmokeResult, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import KeyReport, RunReport
from keyturn.report.common import Common, common
from keyturn.report.done import COUNTED, done_text, finished, waits_for
from keyturn.report.lines import Line, Span, Tone, count, line, moment
from keyturn.report.plan import change_lines, common_lines, condition_spans, foot, note_lines, rest_lines
from keyturn.report.remedies import of_verdict, remedies


def run_lines(
    reports: Iterable[RunReport], *, steps: bool = False, needed: bool = False, at: datetime | None = None
) -> list[Line]:
    """Return the reports of one or more manifests as lines: what was done, what is wrong, and what to do about it.

    `steps` adds each step with whole uuids. `needed` leaves out what needs nobody: keys that only wait, and counts.
    `at` is told beside the name of the manifest.
    """
    result: list[Line] = []
    for report in reports:
        shared = common([(key.key, key.conditions) for key in report.reports])
        told = [rows for key in report.reports if (rows := _key_lines(key, shared, steps=steps))]
        rest = [*common_lines(shared, indent=2), *rest_lines(report)]
        if needed and not (told or rest or report.exit_code):
            continue
        head = f"{report.owner}, {moment(at)}" if at else report.owner
        result += [line(Span(head, Tone.HEAD)), *note_lines(report)]
        result += [row for rows in told for row in rows]
        result += [line(), *found] if (found := common_lines(shared, indent=2)) else []
        result += foot(rest_lines(report), run_summary(report))
    return result


def smoke_words(result: SmokeResult, *, said: Iterable[Reason] = (), key: str = "KEY") -> str:
    """Return a smoke-check in words, with its remedy unless it is `said` beside it: these reasons have it already."""
    words = result.verdict.value
    if result.api:
        words += f" by {result.api.value}"
    if result.seconds is not None:
        words += f" in {result.seconds * 1000:.0f} ms"
    words = f"{words}: {result.detail}" if result.detail else words
    told = result.verdict in GOOD or Reason.of(result.verdict.value) in said
    told = told or (result.verdict is Verdict.REFUSED and Reason.GONE in said)
    return words if told else f"{words.rstrip('.')}; {of_verdict(result.verdict, key)}"


def smoke_tone(verdict: Verdict) -> Tone:
    """Return how a verdict is painted."""
    if verdict is Verdict.ACCEPTED:
        return Tone.GOOD
    return Tone.DIM if verdict is Verdict.SKIPPED else Tone.BAD


def run_summary(report: RunReport) -> str:
    """Return one sentence of counts: what was done, then the conditions of all keys."""
    ends = [key.now.condition for key in report.reports]
    numbers = Counter(chain.from_iterable(map(finished, report.reports)))
    done = [f"{numbers[word]} {word}" for word in COUNTED if numbers[word]]
    problems = sum(len(key.problems) for key in report.reports)
    parts = [f"{count(len(ends), 'key')}: {', '.join(done) or 'nothing changed'}"]
    parts += [f"{ends.count(condition)} {condition.value}" for condition in Condition if condition in ends]
    parts += [count(problems, "problem")] if problems else []
    return "; ".join(parts) + "."


def _key_lines(key: KeyReport, shared: Common, *, steps: bool) -> list[Line]:
    """Return the lines of a key; none if nothing was done and nothing is wrong that no other line says."""
    found = shared.own(key.conditions or (key.end,))
    wrong = [end for end in found if end.exit_code]
    smoke = key.smoke if key.smoke and key.smoke.verdict not in GOOD else None
    if not (key.done or wrong or smoke or key.problems):
        return []
    rows: list[Line] = []
    if done := done_text(key):
        rows.append(line("  ", Span(key.key, Tone.NAME), "  ", Span(done)))
        rows += change_lines(key.done, whole=True) if steps else []
        calm = {Condition.READY, Condition.OVERLAP}  # the sentence above says how long the old secret works
        rows += [line("    now  ", *condition_spans(end)) for end in found if end.condition not in calm]
    else:
        first = condition_spans(wrong[0]) if wrong else (Span(key.now.code.word),)
        rows.append(line("  ", Span(key.key, Tone.NAME), "  ", *first))
        rows += [line("    also ", *condition_spans(end)) for end in wrong[1:]]
    rows += [line("    do   ", text) for text in (*remedies(found, key.key), waits_for(key)) if text]
    if smoke:
        said = [end.code for end in key.conditions or (key.end,)]
        words = smoke_words(smoke, said=said, key=key.key)
        rows.append(line("    smoke-check  ", Span(words, smoke_tone(smoke.verdict))))
    return rows + [line("    ", Span("problem", Tone.BAD), f"  {problem}") for problem in key.problems]
