"""What a run did to one key, in one sentence: the past tense of a plan, with its proof."""

from __future__ import annotations

from collections.abc import Iterator

from keyturn.core.model import GOOD, SlotName, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Record
from keyturn.core.results import Change, KeyReport, Planned
from keyturn.report.lines import count, moment

PROOFS = {
    "proven": "it is refused now",
    "by-contract": "the API promises that it is dead",
    "alive": "it is still accepted",
    "unprovable": "smoke-checks are switched off, so it was not tried",
}
"""What is known of an old secret's death, by the proof of its event."""

SPOKEN = frozenset({"forgets", "moved", "requested"})
"""Codes of record writes that an operator asked for: what was written is told, not only that it was."""


def done_text(report: KeyReport) -> str:
    """Return what was done to a key, its proof and how long its old secret works; empty if nothing was done."""
    return "; ".join(_parts(report)) if report.done else ""


def finished(report: KeyReport) -> frozenset[Change]:
    """Return what was done to a key, without a rotation or a retire that was begun and is still open."""
    record, kinds = report.record, frozenset(change.change for change in report.done)
    op = record.intent.op if record and record.intent else None
    begun = {Change.ROTATE} if op in {Op.ROTATE, Op.CREATE} else {Change.RETIRE} if op is Op.RETIRE else set()
    return kinds - begun


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
        elif spoken := [change.why for change in changes if change.code in SPOKEN]:
            yield from spoken
        else:
            yield _words(kind, changes)
    if Change.ROTATE in by_kind or Change.DELIVER in by_kind or Change.ADOPT in by_kind:
        yield from [proof] if (proof := smoke_proof(report)) else []
        if record and record.retire:
            old = f"the old secret, of slot {record.retire.slot.value},"
            # A freeze may move the end: the condition knows it.
            ends = [end.until for end in report.conditions if end.code is Reason.OVERLAP and end.until]
            until = ends[0] if ends else record.retire.at
            yield f"{old} dies now" if record.retire.at_once else f"{old} works until {moment(until)}"


def _words(kind: Change, changes: list[Planned]) -> str:
    number = len(changes)
    places = count(len({change.delivery for change in changes}), "place")
    slots = " and ".join(dict.fromkeys(change.slot.value for change in changes if change.slot))
    of_slot = f" (slot {slots})" if slots else ""
    return {
        Change.ADOPT: f"adopted{of_slot}",
        Change.CREATE: f"{count(number, 'API key')} created{of_slot}",
        Change.HAND_OFF: "noted which API keys an operator has to make",
        Change.RENAME: f"{count(number, 'API key')} renamed{of_slot}",
        Change.DELIVER: f"delivered to {places}",
        Change.REMOVE: f"removed from {places}",
        Change.DELETE: f"{count(number, 'API key')} deleted{of_slot}",
        Change.RELEASE: "released",
        Change.RECORD: "record updated",
    }.get(kind, f"{kind.value} done")


def _rotated(changes: list[Planned], record: Record | None) -> str:
    leaked = " (compromised)" if any(change.code == "compromised" for change in changes) else ""
    if record is None:
        return f"rotated{leaked}"
    if record.intent and record.intent.op in {Op.ROTATE, Op.CREATE}:
        return f"rotation begun and not finished{leaked}"
    killed = ", which ended the old secret" if record.strategy is Strategy.IN_PLACE and record.generation > 1 else ""
    return f"rotated to generation {record.generation} on slot {_slot(record.live)}{leaked}{killed}"


def _retired(changes: list[Planned], record: Record | None) -> str:
    slots = {change.slot for change in changes if change.slot}
    if record is None or (record.intent and record.intent.op is Op.RETIRE):
        return "began to retire the old secret"
    proofs = [event.proof for event in record.history if event.proof and event.slot in slots]
    proof = PROOFS.get(proofs[-1], "") if proofs else ""
    words = (
        f"old secret of slot {' and '.join(sorted(slot.value for slot in slots))} retired"
        if slots
        else "old secret retired"
    )
    return f"{words}: {proof}" if proof else words


def _slot(slot: SlotName | None) -> str:
    return slot.value if slot else "-"
