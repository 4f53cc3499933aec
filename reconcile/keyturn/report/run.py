"""A run in words: what was done to each key, how it ended, and what is wrong now."""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.core.model import GOOD, SmokeResult, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import KeyReport, RunReport
from keyturn.report.common import Common, common
from keyturn.report.lines import Line, Span, Tone, count, line
from keyturn.report.plan import change_lines, common_lines, condition_spans, note_lines, rest_lines
from keyturn.report.remedies import of_verdict, remedies


def run_lines(reports: Iterable[RunReport]) -> list[Line]:
    """Return the reports of one or more manifests as lines."""
    result: list[Line] = []
    for report in reports:
        result += [line(Span(report.owner, Tone.HEAD)), *note_lines(report)]
        shared = common([(key.key, key.conditions) for key in report.reports])
        for key in report.reports:
            own = shared.own(key.conditions or (key.end,))
            if not is_quiet(key) and (own or key.done or key.smoke or key.problems):
                result += [line(), *_key_lines(key, shared)]
        result += [line(), *found] if (found := common_lines(shared, indent=2)) else []
        result += [line(), *rest_lines(report), line(Span(run_summary(report), Tone.HEAD))]
    return result


def is_quiet(report: KeyReport) -> bool:
    """Tell whether a key has nothing to show: nothing done, nothing wrong, at rest."""
    return not report.done and not report.problems and report.now.condition is Condition.READY


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
    """Return one sentence of counts."""
    ends = [key.now.condition for key in report.reports]
    parts = [f"{count(len(ends), 'key')}"]
    parts += [f"{ends.count(condition)} {condition.value}" for condition in Condition if condition in ends]
    mints = sum(key.mints for key in report.reports)
    if mints:
        parts.append(count(mints, "mint"))
    problems = sum(len(key.problems) for key in report.reports)
    if problems:
        parts.append(count(problems, "problem"))
    return "; ".join(parts) + "."


def _key_lines(key: KeyReport, shared: Common) -> list[Line]:
    found = shared.own(key.conditions or (key.end,))
    also = [end for end in found[1:] if end.condition is not Condition.READY]
    first = condition_spans(found[0]) if found else ()
    result = [line("  ", Span(key.key, Tone.NAME), "  ", *first), *change_lines(key.done)]
    result += [line("    also ", *condition_spans(end)) for end in also]
    result += [line("    do   ", text) for text in remedies(found, key.key)]
    if key.smoke:
        said = [end.code for end in key.conditions or (key.end,)]
        result.append(
            line(
                "    smoke-check  ", Span(smoke_words(key.smoke, said=said, key=key.key), smoke_tone(key.smoke.verdict))
            )
        )
    return result + [line("    ", Span("problem", Tone.BAD), f"  {problem}") for problem in key.problems]
