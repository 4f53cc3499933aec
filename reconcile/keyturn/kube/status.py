"""PURE: the status of the resources, from what a look came to; written only if it differs from what is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel

from keyturn.core.model import Delivery, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyReport, KeyStatus, by_urgency
from keyturn.core.results import PoolState as SpareState
from keyturn.kube.conditions import READY, VERIFIED, Moment, kept, pool_low, rfc3339, standing, verified
from keyturn.kube.resources import (
    Account,
    AccountState,
    ApiKeyState,
    Condition,
    DeliveryState,
    Handoff,
    KeyResource,
    KeyState,
    PoolState,
)
from keyturn.kube.translate import OFFERED
from keyturn.report.handoff import PANEL


def key_state(
    key: KeyResource, shown: KeyStatus, now: datetime, *, model: str = "", report: KeyReport | None = None
) -> KeyState:
    """Return the status of a key after a look. `model`: that of its smoke-check. `report`: of the apply, if it ran."""
    at, before = Moment(now, key.metadata.generation), key.status
    ends = by_urgency([*(report.conditions if report else ()), *shown.every])
    made = next((end.make for end in ends if end.make and end.since), ())
    return KeyState(
        observed_generation=at.generation,
        live=shown.live or "",
        key_generation=shown.generation,
        api_keys=[ApiKeyState(slot=slot, name=_api_name(shown, slot), uuid=uuid) for slot, uuid in shown.uuids],
        next_rotation_time=_next(shown, before, now),
        retire_time=rfc3339(shown.retire_at) if shown.retire_at else "",
        deliveries=[
            DeliveryState(place=_place(delivery), state="Held" if held else "OutOfDate")
            for delivery, held in shown.deliveries
        ],
        handoff=Handoff(names=list(made), url=PANEL) if made else None,
        conditions=kept(
            before.conditions,
            [*standing(ends, at, live=shown.live is not None), _verified(shown, report, before, model, at)],
        ),
    )


def refused_state(key: KeyResource, why: End, now: datetime) -> KeyState:
    """Return the status of a key that is refused: what was known of it stays, and it is said that it does not go on."""
    at = Moment(now, key.metadata.generation)
    others = [one for one in key.status.conditions if one.type == VERIFIED]
    fresh = [*standing((why,), at, live=bool(key.status.live)), *others]
    return _with(key.status, at, kept(key.status.conditions, fresh))


def suspended_state(key: KeyResource, now: datetime) -> KeyState:
    """Return the status of a key that is left alone: what it was before."""
    at = Moment(now, key.metadata.generation)
    known = list(key.status.conditions)
    if not any(one.type == READY for one in known):
        known.append(at.condition(READY, "Unknown", "Suspended", "spec.suspend is true: nothing is done"))
    return _with(key.status, at, known)


def account_state(
    account: Account, ends: Sequence[End], keys: int, now: datetime, spares: SpareState | None = None
) -> AccountState:
    """Return the status of an account. `ends`: what stops it, or holds keys back. `spares`: those of its pool."""
    at, before = Moment(now, account.metadata.generation), account.status
    found = by_urgency(ends) or (End(Reason.AT_REST),)
    fresh = [*standing(found, at, live=True), *([pool_low(spares, at)] if spares else [])]
    return AccountState(
        observed_generation=at.generation,
        keys=keys,
        pool=PoolState(free=spares.left) if spares else None,
        conditions=kept(before.conditions, fresh),
    )


def patch(before: BaseModel, after: BaseModel) -> dict[str, object] | None:
    """Return the merge patch that makes one status of the other; None if they are the same: then nothing is written."""
    old, new = (state.model_dump(by_alias=True, exclude_defaults=True) for state in (before, after))
    changed = {name: new.get(name) for name in (*old, *new) if old.get(name) != new.get(name)}
    return {"status": changed} if changed else None


def _with(before: KeyState, at: Moment, conditions: list[Condition]) -> KeyState:
    return before.model_copy(update={"observed_generation": at.generation, "conditions": conditions})


def _verified(shown: KeyStatus, report: KeyReport | None, before: KeyState, model: str, at: Moment) -> Condition:
    """Return `Verified`; it stays as it was if the same secret was not tried again."""
    result = shown.verdict or (report.smoke if report else None)
    known = next((one for one in before.conditions if one.type == VERIFIED), None)
    if result is None and known and before.key_generation == shown.generation:
        return known
    return verified(result, model, at)


def _next(shown: KeyStatus, before: KeyState, now: datetime) -> str:
    """Return when the next rotation starts. That of a due one is always now: the moment that is there stays."""
    if shown.next_rotation_at is None:
        return ""
    known = before.next_rotation_time
    due = shown.next_rotation_at <= now
    return known if due and known and known <= rfc3339(now) else rfc3339(shown.next_rotation_at)


def _api_name(shown: KeyStatus, slot: SlotName) -> str:
    return f"{shown.name}-{slot}" if shown.strategy is Strategy.ALTERNATING else shown.name


def _place(delivery: Delivery) -> str:
    """Return a delivery as people know it: `secret/NAME#KEY`, or `vault/PATH#FIELD` for a target of the account."""
    offered = delivery.target.startswith(OFFERED)
    target = delivery.target.removeprefix(OFFERED) if offered else "secret"
    return f"{target}/{delivery.path}#{delivery.field}" if delivery.field else f"{target}/{delivery.path}"
