"""A plan in words: what apply would do to each key, why, and how it would end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from keyturn.core import reasons
from keyturn.core.configuration import TargetPlace
from keyturn.core.model import RecordsConfig
from keyturn.core.reasons import Condition
from keyturn.core.results import Change, End, Explanation, KeyPlan, Planned, RunPlan, RunReport
from keyturn.report.common import Common, common
from keyturn.report.handoff import handoff_lines
from keyturn.report.lines import Line, Span, Tone, columns, count, line, moment
from keyturn.report.pools import pool_lines
from keyturn.report.remedies import remedies, remedy

SHORT = 8
"""Characters of a uuid that tell one API key from another."""

PAINTS = {
    reasons.Tone.GOOD: Tone.GOOD,
    reasons.Tone.CALM: Tone.PLAIN,
    reasons.Tone.NOTICE: Tone.WARN,
    reasons.Tone.ATTENTION: Tone.WARN,
    reasons.Tone.BAD: Tone.BAD,
}
CONDITION_TONES = {condition: PAINTS[condition.tone] for condition in Condition}
_CHANGE_TONES = {Change.DELETE: Tone.BAD, Change.REMOVE: Tone.BAD, Change.ROTATE: Tone.WARN, Change.RETIRE: Tone.WARN}


def plan_lines(
    plans: Iterable[RunPlan], *, before_apply: bool = False, whole: bool = False, brief: bool = False
) -> list[Line]:
    """Return the plans of one or more manifests as lines.

    `before_apply`: without the API keys to make, since they may be made only once the apply has asked for them.
    `whole`: with whole uuids; else their first eight characters are shown, which tell one API key from another.
    `brief`: one line per key, with the kinds of its changes.
    """
    result: list[Line] = []
    for plan in plans:
        result += [line(Span(plan.owner, Tone.HEAD)), *_head(plan), *note_lines(plan)]
        shared = common([(key.key, key.conditions) for key in plan.plans])
        for key in plan.plans:
            if brief and key.changes:
                kinds = dict.fromkeys(change.change.value for change in key.changes)
                result.append(line("  ", Span(key.key, Tone.NAME), f"  {', '.join(kinds)}"))
            elif not is_quiet(key) and (key.changes or shared.own(key.conditions or (key.end,))):
                result += [line(), line("  ", Span(key.key, Tone.NAME)), *now_lines(key, shared)]
                result += [*change_lines(key.changes, whole=whole), *([_then(key)] if key.changes else [])]
        result += [line(), *found] if (found := common_lines(shared, indent=2)) else []
        result += _foot(plan, hand_off=not before_apply)
    return result


def policy_text(plan: RunPlan) -> str:
    """Return in one line what limits the manifest: the rule of the policy, or nothing."""
    return plan.policy or "none, so nothing limits what this manifest may do (keyturn policy init drafts one)"


def target_text(target: TargetPlace) -> str:
    """Return the type of a target and its settings in one line."""
    return ", ".join([target.type, *(f"{name} {value}" for name, value in target.place.items())])


def records_text(records: RecordsConfig) -> str:
    """Return the place of the records: a target, or the directory beside the manifest, and the prefix."""
    return f"{records.target}, prefix {records.prefix}"


def _head(plan: RunPlan) -> list[Line]:
    """Return one line per target, and one each for the records and the policy."""
    if plan.configuration is None:
        return []
    targets, records = plan.configuration.targets, plan.configuration.records
    rows = [(Span("target"), Span(one.name, Tone.NAME), Span(target_text(one))) for one in targets]
    rows.append((Span("records"), Span(""), Span(records_text(records))))
    rows.append((Span("policy"), Span(""), Span(policy_text(plan), Tone.PLAIN if plan.policy else Tone.WARN)))
    return columns(rows, indent=2)


def is_quiet(plan: KeyPlan) -> bool:
    """Tell whether a key has nothing to show: no change, at rest."""
    return not plan.changes and plan.now.condition is Condition.READY


def change_lines(changes: Iterable[Planned], indent: int = 4, *, whole: bool = False) -> list[Line]:
    """Return one line per change: what, where, why and its code; `whole`: with whole uuids."""
    rows = [
        (
            Span(change.change.value, _CHANGE_TONES.get(change.change, Tone.PLAIN)),
            Span(where(change, whole=whole)),
            Span(f"{change.why} [{change.code}]" if change.code else change.why),
        )
        for change in changes
    ]
    return columns(rows, indent=indent) if rows else []


def where(change: Planned, *, whole: bool = True) -> str:
    """Return what a change is done to: a delivery, or a slot with its uuid, or the first characters of that."""
    if change.delivery:
        return str(change.delivery)
    uuid = change.uuid if whole else change.uuid[:SHORT]
    return " ".join(part for part in (f"slot {change.slot.value}" if change.slot else "", uuid) if part)


def now_lines(plan: KeyPlan, shared: Common) -> list[Line]:
    """Return the conditions of a key as it is: all of them if nothing is planned, else what is wrong with it."""
    found = shared.own(plan.conditions or (plan.end,))
    told = [end for end in found if end.exit_code] if plan.changes else found
    do = [] if plan.changes else remedies(told, plan.key)
    return [
        *(line("    now  ", *condition_spans(end)) for end in told),
        *(line("    do   ", text) for text in do),
    ]


def common_lines(shared: Common, indent: int = 0) -> list[Line]:
    """Return what several keys have in common, each cause once."""
    result: list[Line] = []
    for keys, end, do in shared:
        result.append(line(" " * indent, Span(keys, Tone.NAME), "  ", *condition_spans(end)))
        result += [line(" " * indent, Span(keys, Tone.NAME), "  do ", do)] if do else []
    return result


def end_line(end: End) -> Line:
    """Return how a key would end."""
    return line("    then ", *condition_spans(end))


def _then(plan: KeyPlan) -> Line:
    """Return how a key would end, in short if that is what it is now."""
    same = any((end.code, end.why) == (plan.end.code, plan.end.why) for end in plan.conditions if end.exit_code)
    return end_line(replace(plan.end, why="as now", since=None, until=None) if same else plan.end)


def condition_spans(end: End) -> tuple[Span, ...]:
    """Return a condition: since when, until when, why, and its code."""
    since = f" since {moment(end.since)}" if end.since else ""
    until = f" until {moment(end.until)}" if end.until else ""
    why = f": {end.why}" if end.why else ""
    return (Span(end.code.word, CONDITION_TONES[end.condition]), Span(f"{since}{until}{why} [{end.code}]"))


def explanation_lines(key: str, decisions: Sequence[Explanation], end: End) -> list[Line]:
    """Return each decision with the policies that were asked; the last of them decided.

    If an error stopped the plan before the first decision, its `end` says why.
    """
    result = [line(Span(key, Tone.NAME)), *([] if decisions else [end_line(end)])]
    for number, one in enumerate(decisions, 1):
        result.append(line(f"  {number}. ", Span(one.kind, Tone.HEAD), f"  {one.sentence}  [{one.by}]"))
        result.append(line(Span(f"     asked: {' → '.join(one.asked)}", Tone.DIM)))
    return result


def plan_summary(plan: RunPlan) -> str:
    """Return one sentence of counts."""
    changes = [change for key in plan.plans for change in key.changes]
    if not changes:
        ends = [key.now.condition for key in plan.plans]
        blind = sum(ends.count(one) for one in (Condition.UNKNOWN, Condition.LOGIN_REFUSED))
        others = [f"{ends.count(one)} {one}" for one in Condition if one is not Condition.READY and one in ends]
        known = len(ends) - blind
        calm = not any(one.exit_code for one in ends)
        nothing = "Nothing to do for" if calm else "No change to"
        first = [f"{nothing} {count(known, 'key')}"] if known or not blind else []
        first += [f"{'not' if first else 'Not'} known what to do for {count(blind, 'key')}"] if blind else []
        return "; ".join([*first, *others]) + "."
    touched = sum(1 for key in plan.plans if key.changes)
    mints = sum(1 for key in plan.plans if key.mints)
    deletes = sum(key.deletes for key in plan.plans)
    parts = [f"{count(len(changes), 'change')} to {count(touched, 'key')} of {len(plan.plans)}"]
    if mints:
        parts.append(f"new secrets for {count(mints, 'key')}")
    if deletes:
        parts.append("deletes " + count(deletes, "API key"))
    return "; ".join(parts) + "."


def note_lines(run: RunPlan | RunReport) -> list[Line]:
    """Return what the whole run has to say, such as what it cannot know."""
    return [line(Span("note ", Tone.WARN), note) for note in run.notes]


def rest_lines(run: RunPlan | RunReport, *, hand_off: bool = True) -> list[Line]:
    """Return what concerns the whole run: what was left, why it stopped, what an operator has to make."""
    result: list[Line] = []
    if run.deferred:
        result.append(line(f"Left for a later run, over rotations_per_run: {', '.join(run.deferred)}."))
    if run.unmanaged:
        result.append(line(f"No longer in the manifest, left alone: {', '.join(run.unmanaged)}."))
    result += pool_lines(run.pools)
    if run.stopped:
        result.append(line(Span("The whole run stops: ", Tone.BAD), run.stopped))
    if run.stop:
        result.append(line("  do ", remedy(run.stop, "KEY")))
    keys = run.plans if isinstance(run, RunPlan) else run.reports
    return result + handoff_lines(key.wanted for key in keys if hand_off)


def foot(rest: list[Line], summary: str) -> list[Line]:
    """Return the end of a plan or a report: an empty line, what concerns the whole run, and the summary."""
    return [*([] if rest and not rest[0] else [line()]), *rest, line(Span(summary, Tone.HEAD))]


def _foot(plan: RunPlan, *, hand_off: bool) -> list[Line]:
    return foot(rest_lines(plan, hand_off=hand_off), plan_summary(plan))
