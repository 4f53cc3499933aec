"""What a run did to one key, in one sentence: the past tense of a plan, with its proof."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.core.model import GOOD, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import FAILED, Op, Record
from keyturn.core.results import ANOTHER_NAME, HOOK, LEFT_OPEN, REQUESTED, Change, KeyReport, Planned
from keyturn.report.lines import count, moment

PROOFS = {
    "proven": "it is refused now",
    "by-contract": "the API promises that it is dead",
    "alive": "it is still accepted",
    "unprovable": "smoke-checks are switched off, so it was not tried",
}
"""What is known of an old secret's death, by the proof of its event."""

SPOKEN = frozenset({"forgets", "moves", "moved", LEFT_OPEN, HOOK, ANOTHER_NAME})
"""Codes of changes whose own words are told, not only that the record was written."""
PAST = {
    Change.ADOPT: "adopted",
    Change.CREATE: "created",
    Change.ROTATE: "rotated",
    Change.DELIVER: "delivered",
    Change.REMOVE: "removed from a place",
    Change.RETIRE: "retired",
    Change.RENAME: "renamed",
    Change.DELETE: "deleted",
    Change.RELEASE: "released",
    Change.HAND_OFF: "handed off",
    Change.RECORD: "updated",
}
"""What is counted of a run, in the past tense: keys to which it was done."""
CODED = {
    "forgets": "forgotten",
    "moves": "moved",
    "moved": "moved",
    LEFT_OPEN: "finished",
    HOOK: "with a hook run",
    REQUESTED: "noted",
}
"""The same for changes of a record, by their code."""
COUNTED = tuple(dict.fromkeys((*PAST.values(), *CODED.values())))
"""In the order in which they are counted."""
LEFT = ", which an earlier run left open"


def done_text(report: KeyReport) -> str:
    """Return what was done to a key, its proof and how long its old secret works; empty if nothing was done."""
    return "; ".join(_parts(report)) if report.done else ""


def finished(report: KeyReport) -> frozenset[str]:
    """Return what was done to a key, as words of COUNTED, without a rotation or retire that is open or failed."""
    record = report.record
    op = record.intent.op if record and record.intent else None
    begun = {Change.ROTATE} if op in {Op.ROTATE, Op.CREATE} else {Change.RETIRE} if op is Op.RETIRE else set()
    begun |= {Change.ROTATE} if record and _failed(record) else set()
    return frozenset(
        CODED.get(change.code, PAST[change.change]) if change.change is Change.RECORD else PAST[change.change]
        for change in report.done
        if change.change not in begun and not (_notes(change) and _rotates(report))
    )


def waits_for(report: KeyReport) -> str:
    """Return what to do about a rotation that was written down and has to wait; empty if there is none, or more to do.

    Other ends that make it wait have a remedy of their own.
    """
    noted = any(_notes(change) for change in report.done) and not _rotates(report)
    if not noted or report.exit_code or report.end.until is None:
        return ""
    after = f"`keyturn apply {report.key}` after {moment(report.end.until)} starts it"
    return f"{after}; if the secret has leaked, `keyturn rotate {report.key} --compromised` does not wait"


def smoke_proof(report: KeyReport) -> str:
    """Return `accepted by chat in 7 ms` for a good answer of the smoke-check, else an empty text."""
    smoke = report.smoke
    if smoke is None or smoke.verdict not in GOOD or smoke.verdict is Verdict.SKIPPED:
        return ""
    api = f" by {smoke.api.value}" if smoke.api else ""
    seconds = f" in {smoke.seconds * 1000:.0f} ms" if smoke.seconds is not None else ""
    return f"{smoke.verdict.value}{api}{seconds}"


def _parts(report: KeyReport) -> Iterator[str]:
    record = report.record
    by_kind: dict[Change, list[Planned]] = {}
    for change in report.done:
        by_kind.setdefault(change.change, []).append(change)
    for kind, changes in by_kind.items():
        if kind is Change.ROTATE:
            yield _rotated(changes, record)
        elif kind is Change.RETIRE:
            yield _retired(changes, record)
        elif kind is Change.RECORD:
            yield from _recorded(changes, report)
        else:
            yield _words(kind, changes)
    if Change.ROTATE in by_kind or Change.DELIVER in by_kind or Change.ADOPT in by_kind:
        yield from [proof] if (proof := smoke_proof(report)) else []
        if record and record.retire:
            old = f"the old secret, of slot {record.retire.slot.value},"
            # A freeze may move the end: the condition knows it.
            ends = [end.until for end in report.conditions if end.code is Reason.OVERLAP and end.until]
            until = ends[0] if ends else record.retire.at
            late = any(end.code in {Reason.EFFECT_PENDING, Reason.EFFECT_FAILED} for end in report.conditions)
            lives = "stays alive until the new one is in use" if late else f"works until {moment(until)}"
            slot = record.slot(record.retire.slot)
            if slot and slot.minted_at is None and slot.digest is None:
                yield f"slot {record.retire.slot.value} keeps an unused secret, which a later run replaces"
            else:
                yield f"{old} {'dies now' if record.retire.at_once else lives}"


def _notes(change: Planned) -> bool:
    """Tell whether a change only writes down a rotation that was asked for."""
    return change.change is Change.RECORD and change.code == REQUESTED


def _rotates(report: KeyReport) -> bool:
    return any(change.change is Change.ROTATE for change in report.done)


def _recorded(changes: list[Planned], report: KeyReport) -> Iterator[str]:
    """Yield what was written into a record, if an operator asked for it or an earlier run left it; else that it was."""
    end = report.end
    told = [change for change in changes if not (_notes(change) and _rotates(report))]
    for change in told:
        if change.code in SPOKEN:
            yield change.why
        elif _notes(change):
            ends = end.code is Reason.OVERLAP and end.until
            why = f"it starts when the overlap ends, {moment(end.until)}" if ends and end.until else end.why
            yield "rotation noted, not begun" + (f": {why}" if not end.exit_code else "")
    if told and not any(change.code in SPOKEN or _notes(change) for change in told):
        yield "record updated"


def _words(kind: Change, changes: list[Planned]) -> str:
    number = len(changes)
    places = count(len({change.delivery for change in changes}), "place")
    slots = _slots(changes)
    of_slot = f" ({slots})" if slots else ""
    return {
        Change.ADOPT: f"adopted{of_slot}",
        Change.CREATE: f"{count(number, 'API key')} created{of_slot}",
        Change.HAND_OFF: "noted which API keys an operator has to make",
        Change.RENAME: f"{count(number, 'API key')} renamed{of_slot}",
        Change.DELIVER: f"delivered to {places}",
        Change.REMOVE: f"removed from {places}",
        Change.DELETE: f"{count(number, 'API key')} deleted{of_slot}",
        Change.RELEASE: "released",
    }.get(kind, f"{kind.value} done")


def _rotated(changes: list[Planned], record: Record | None) -> str:
    leaked = " (compromised)" if any(change.code == "compromised" for change in changes) else ""
    if record is None:
        return f"rotated{leaked}"
    if record.intent and record.intent.op in {Op.ROTATE, Op.CREATE}:
        return f"rotation begun and not finished{leaked}"
    if _failed(record):
        return f"rotation failed{leaked}, generation {record.generation} stays live"
    if all(change.code == LEFT_OPEN for change in changes):
        return f"finished the rotation to generation {record.generation} on slot {_slot(record.live)}{leaked}{LEFT}"
    killed = ", which ended the old secret" if record.strategy is Strategy.IN_PLACE and record.generation > 1 else ""
    return f"rotated to generation {record.generation} on slot {_slot(record.live)}{leaked}{killed}"


def _failed(record: Record) -> bool:
    """Tell whether the last mint came to no new generation: its secret was no good, and the live one stays."""
    last = next((one for one in reversed(record.history) if one.generation or one.what.startswith(FAILED)), None)
    return last is not None and not last.generation


def _retired(changes: list[Planned], record: Record | None) -> str:
    slots, named = {change.slot for change in changes if change.slot}, _slots(changes)
    if record is None or (record.intent and record.intent.op is Op.RETIRE):
        return "began to retire the old secret"
    proofs = [event.proof for event in record.history if event.proof and event.slot in slots]
    proof = PROOFS.get(proofs[-1], "") if proofs else ""
    words = f"old secret of {named} retired" if named else "old secret retired"
    return f"{words}: {proof}" if proof else words


def _slots(changes: list[Planned]) -> str:
    """Return `slot a` or `slots a and b`; empty if the changes name none."""
    names = sorted({change.slot.value for change in changes if change.slot})
    return f"slot{'s' if len(names) > 1 else ''} {' and '.join(names)}" if names else ""


def _slot(slot: SlotName | None) -> str:
    return slot.value if slot else "-"
