"""Outcomes of every kind, with a chosen text wherever a stranger can choose one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from keyturn.core.model import Api, ApiKey, Delivery, Event, SlotName, SmokeResult, Strategy, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import Change, End, KeyPlan, KeyReport, KeyStatus, Planned, RunPlan, RunReport

NOW = datetime(2026, 8, 24, 12, 0, tzinfo=UTC)
UUID = "11111111-2222-3333-4444-555555555555"

REASONS = {reason.condition: reason for reason in Reason}
"""A reason of each condition."""


def changes(text: str) -> tuple[Planned, ...]:
    """Return one change of each kind that says `text`."""
    place = Delivery("vault", text, text)
    return tuple(
        Planned(kind, "a-code", text, SlotName.A, UUID, place if kind is Change.DELIVER else None) for kind in Change
    )


def run_plan(text: str = "because") -> RunPlan:
    """Return a plan with a key for each condition, and one at rest."""
    plans = [
        KeyPlan(f"key-{condition}", changes(text), End(REASONS[condition], text, NOW), "basis", True, 1)
        for condition in Condition
    ]
    quiet = KeyPlan("quiet", (), End(Reason.AT_REST), "basis")
    return RunPlan(text, (*plans, quiet), (text,), (text,), text, 4, "0123456789abcdef")


def run_report(text: str = "because") -> RunReport:
    """Return a report with a key for each condition, and one at rest."""
    smoke = SmokeResult(Verdict.MODEL_DENIED, text, Api.CHAT, 0.25)
    reports = [
        KeyReport(f"key-{condition}", changes(text), End(REASONS[condition], text, NOW), (text,), smoke, 1)
        for condition in Condition
    ]
    return RunReport(text, "run", (*reports, KeyReport("quiet", (), End(Reason.AT_REST))), (text,), (text,), text, 1)


def statuses(text: str = "because") -> tuple[KeyStatus, ...]:
    """Return a status for each condition."""
    return tuple(
        KeyStatus(
            key=f"key-{condition}",
            name=text,
            condition=condition,
            why=text,
            strategy=Strategy.ALTERNATING,
            live=SlotName.A,
            uuids=((SlotName.A, UUID),),
            generation=3,
            minted_at=NOW - timedelta(days=12),
            next_rotation_at=NOW + timedelta(days=18),
            retire_at=NOW + timedelta(hours=3),
            requested=True,
            deliveries=((Delivery("vault", text, text), True), (Delivery("aws", text), False)),
            verdict=SmokeResult(Verdict.ACCEPTED, text, Api.CHAT, 0.2),
            problems=(text,),
        )
        for condition in Condition
    )


def unowned(text: str = "because") -> tuple[ApiKey, ...]:
    """Return two keys of the account."""
    return (ApiKey(UUID, text, NOW - timedelta(days=400)), ApiKey(text, text))


def events(text: str = "because") -> tuple[Event, ...]:
    """Return a history."""
    return (Event(NOW, text, text), Event(NOW + timedelta(seconds=5), text))
