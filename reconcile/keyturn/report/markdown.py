"""Plans and reports as GitHub-flavoured markdown: every name that is not ours is in a code span."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from keyturn.core.model import GOOD
from keyturn.core.results import End, KeyPlan, KeyReport, Planned, RunPlan, RunReport
from keyturn.core.sanitize import code_span
from keyturn.report import plan as plan_words
from keyturn.report import run as run_words
from keyturn.report.done import done_text, waits_for
from keyturn.report.handoff import CLICKS, FIRST, PANEL
from keyturn.report.lines import count, moment, safe
from keyturn.report.pools import pool_text
from keyturn.report.remedies import remedies, remedy

LONGEST = 2000
"""Characters of one cell."""

LIMIT = 60_000
"""Characters of rows; GitHub refuses a comment of more than 65,536."""


def code(text: str) -> str:
    """Return a code span fit for a table cell; nothing for nothing."""
    return code_span(safe(text, LONGEST), LONGEST) if text else ""


def plan_markdown(plans: Iterable[RunPlan]) -> str:
    """Return the plans as headed tables."""
    parts: list[str] = []
    for plan in plans:
        rows = [row for key in plan.plans if not plan_words.is_quiet(key) for row in _plan_rows(key)]
        parts += [
            f"### keyturn plan: {code(plan.owner)}",
            *_heads(plan),
            plan_words.plan_summary(plan),
            *_head(plan),
            *_table(("key", "change", "where", "why"), rows),
            *_notes(plan),
        ]
        if plan.digest:
            parts.append(f"digest {code(plan.digest)}")
    return "\n\n".join(parts) + "\n"


def run_markdown(reports: Iterable[RunReport]) -> str:
    """Return the reports as headed tables."""
    parts: list[str] = []
    for report in reports:
        rows = [row for key in report.reports for row in _run_rows(key)]
        parts += [
            f"### keyturn: {code(report.owner)}",
            *_heads(report),
            run_words.run_summary(report),
            *_table(("key", "what", "details"), rows),
            *_notes(report),
        ]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[str]) -> list[str]:
    if not rows:
        return []
    kept: list[str] = []
    room = LIMIT
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            break
        kept.append(row)
    head = [_cells(heads), _cells(["---"] * len(heads))]
    more = [f"… and {count(len(rows) - len(kept), 'row')} more."] if len(kept) < len(rows) else []
    return ["\n".join([*head, *kept]), *more]


def _head(plan: RunPlan) -> list[str]:
    """Return a table of the targets, the records and the policy, so that a reviewer sees where secrets would go."""
    configuration = plan.configuration
    if configuration is None:
        return []
    rows = [_cells(("target", code(one.name), code(plan_words.target_text(one)))) for one in configuration.targets]
    rows.append(_cells(("records", "", code(plan_words.records_text(configuration.records)))))
    rows.append(_cells(("policy", "", code(plan_words.policy_text(plan)))))
    return _table(("", "name", "place"), rows)


def _cells(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _change_row(key: str, change: Planned) -> str:
    return _cells((code(key), change.change.value, code(plan_words.where(change)), code(change.why)))


def _plan_rows(plan: KeyPlan) -> list[str]:
    found = plan.conditions or (plan.end,)
    now = [end for end in found if end.exit_code] if plan.changes else found
    changes = [_change_row(plan.key, change) for change in plan.changes]
    then = [_end_row(plan.key, f"→ {plan.end.code.word}", plan.end)] if changes else []
    then += [_cells((code(plan.key), "do", "", code(text))) for text in ([] if changes else remedies(now, plan.key))]
    return [*(_end_row(plan.key, f"now {end.code.word}", end) for end in now), *changes, *then]


def _end_row(key: str, what: str, end: End) -> str:
    moments = [f"{word} {moment(at)}" for word, at in (("since", end.since), ("until", end.until)) if at]
    return _cells((code(key), what, " ".join(moments), code(end.why)))


def _run_rows(report: KeyReport) -> list[str]:
    """Return what was done to a key, what is wrong with it, and what to do about it."""
    found = report.conditions or (report.end,)
    key, done = code(report.key), done_text(report)
    rows = [_cells((key, "done", done))] if done else []
    rows += [_cells((key, f"**{end.condition.value}**", _since(end))) for end in found if end.exit_code]
    rows += [_cells((key, "do", code(text))) for text in (*remedies(found, report.key), waits_for(report)) if text]
    if report.smoke and report.smoke.verdict not in GOOD:
        words = run_words.smoke_words(report.smoke, said=[end.code for end in found], key=report.key)
        rows.append(_cells((key, "smoke-check", code(words))))
    return rows + [_cells((key, "**problem**", code(problem))) for problem in report.problems]


def _since(end: End) -> str:
    """Return why a condition is so, and since when."""
    return " ".join(part for part in (code(end.why), f"since {moment(end.since)}" if end.since else "") if part)


def _heads(run: RunPlan | RunReport) -> list[str]:
    """Return what the whole run has to say before its keys."""
    return [f"**Note:** {code(note)}" for note in run.notes]


def _notes(run: RunPlan | RunReport) -> list[str]:
    notes: list[str] = []
    if run.deferred:
        notes.append(f"Left for a later run, over `rotations_per_run`: {', '.join(map(code, run.deferred))}.")
    if run.unmanaged:
        notes.append(f"No longer in the manifest, left alone: {', '.join(map(code, run.unmanaged))}.")
    notes += [f"**Note:** {code(note)}" for note in map(pool_text, run.pools)]
    if run.stopped:
        notes.append(f"**The whole run stops:** {code(run.stopped)}")
    if run.stop:
        notes.append(f"**Do:** {code(remedy(run.stop, 'KEY'))}")
    ends = [key.wanted for key in (run.plans if isinstance(run, RunPlan) else run.reports)]
    if names := list(dict.fromkeys(name for end in ends for name in end.make)):
        made = "\n".join(f"- {code(name)}" for name in names)
        notes += [f"Make in the [control panel]({PANEL}) ({CLICKS}):", made]
        if not all(end.since for end in ends if end.make):
            notes.append(FIRST)
    return notes
