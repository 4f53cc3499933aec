"""What a preview shows: the plan on the resource's own row, and which outputs an up will change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pulumi.output import UNKNOWN

from keyturn_provider import inputs, messages, state
from keyturn_provider.inputs import Props

if TYPE_CHECKING:
    from keyturn.core.results import KeyPlan

FACTS = ("uuid", "slots", "generation", "rotated_at", "next_rotation_at", "retire_at", "digest", "deliveries")


def explain(olds: Props, news: Props) -> KeyPlan | None:
    """Say what an up will do to a key, and what will stop it. Return the plan, None if there can be none yet.

    A plan that fails is a warning: what is missing here, such as a token, the up may have.
    """
    from keyturn.core.errors import KeyturnError
    from keyturn_provider import keys, remedies

    if inputs.unknown(news):
        messages.say("what will happen is known when its inputs are", lasting=True)
        return None
    try:
        plan = keys.plan(olds, news)
    except (KeyturnError, messages.KeyturnFailed) as error:
        messages.warn(f"no plan could be made: {messages.paragraph(error)}")
        return None
    first = () if plan.wanted.since else plan.wanted.make
    for change in plan.changes:
        if not first or change.change != "hand-off":
            messages.say(change.why, lasting=True)
    if first:
        messages.say(messages.may_need(first), lasting=True)
    elif plan.end.exit_code:
        told = plan.end.why if plan.end.make else remedies.told(plan.end)
        messages.warn(" ".join(part for part in (f"{told.rstrip('.')}.", messages.hand_off(plan.end.make)) if part))
    return plan


def outputs(olds: Props, news: Props, plan: KeyPlan | None) -> dict[str, object]:
    """PURE: return the outputs that an up will have, unknown where only the up can tell. `olds` are empty at a create.

    A change of `smoke` alone leaves all that other resources depend on as it is.
    """
    shown = {**inputs.given(news, (*inputs.KEY, "owner")), "health": state.HEALTHY}
    found: dict[str, object] = {name: olds.get(name) if olds else UNKNOWN for name in FACTS}
    stale = set(FACTS if plan is None else _stale(plan, news))
    found |= dict.fromkeys(stale - {"deliveries"}, UNKNOWN)
    if "deliveries" in stale or not olds:
        found["deliveries"] = _unversioned(news.get("deliver"))
    if news.get("expose_secret") is True:
        found[state.SECRET] = UNKNOWN if "digest" in stale else olds.get(state.SECRET, UNKNOWN)
    return {**shown, **found}


def _stale(plan: KeyPlan, news: Props) -> set[str]:
    """Return the facts that the changes of a plan make old."""
    kinds = {str(change.change) for change in plan.changes}
    stale = {"next_rotation_at", "retire_at"} if kinds else set()
    if plan.mints or kinds & {"rotate", "create", "adopt"}:
        stale |= set(FACTS)
    if kinds & {"deliver", "remove"}:
        stale.add("deliveries")
    if kinds & {"rename", "retire", "delete"}:
        stale.add("slots")
    return stale if news.get("rotation") is None else stale | {"next_rotation_at", "retire_at"}


def _unversioned(deliver: object) -> object:
    """Return the deliveries of an up, whose versions are not known yet."""
    if not isinstance(deliver, list):
        return UNKNOWN
    return [{**item, "version": UNKNOWN} if isinstance(item, Mapping) else item for item in deliver]
