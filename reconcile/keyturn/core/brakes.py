"""Brakes, ownership and run-wide stops: pure decisions over the plans of all keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import itemgetter

from keyturn.core.configuration import Configuration
from keyturn.core.limits import Limits, asked_for, beside, by_group, group_of, rotated_since, rotates
from keyturn.core.model import UNJUDGED, AdoptSecret, ApiKey, Verdict
from keyturn.core.permits import EXISTING, TAKE_OVER, Permit
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Record
from keyturn.core.results import End, KeyPlan, Options, by_urgency

TWO = 2
"""From how many keys on a common fate is the API's or the token's doing, not the keys'."""

OWNERSHIP = 4
"""The exit code of a brake or an ownership rule."""

_FAR = datetime.max.replace(tzinfo=UTC)


def beyond(permit: Permit | None, options: Options, limits: Limits) -> tuple[str, ...]:
    """Return what an operator asked of this run that the policy does not allow: one sentence each."""
    if permit is None:
        return ()
    existing = options.adopt is not None and options.adopt.secret is AdoptSecret.EXISTING
    wanted = (
        (
            options.take_over and TAKE_OVER not in permit.allow,
            "to take over keys, fields or records of others",
            "allow",
        ),
        (existing and EXISTING not in permit.allow, "to adopt an API key with its present secret", "allow"),
        (
            limits.allow_rotations > permit.rotations,
            f"{limits.allow_rotations} rotations, adoptions and heals in one run, only {permit.rotations}",
            "limits.rotations",
        ),
        (
            limits.allow_delete > permit.deletes,
            f"{limits.allow_delete} deletes of API keys in one run, only {permit.deletes}",
            "limits.deletes",
        ),
        (
            limits.allowed.removals > permit.removals,
            f"{limits.allowed.removals} removals of deliveries in one run, only {permit.removals}",
            "limits.removals",
        ),
    )
    return tuple(f"the policy does not allow {what} ({permit.where[part]})" for bad, what, part in wanted if bad)


@dataclass(frozen=True, slots=True)
class Braked:
    """The plans after the brakes: a key held back or deferred ends with the reason, and is not in `free`.

    `deferred`: first those that trickle, in the order of their turns.
    """

    plans: tuple[KeyPlan, ...]
    free: frozenset[str]
    deferred: tuple[str, ...]


def brake(plans: Sequence[KeyPlan], limits: Limits, *, asked: bool = False, agreed: Collection[str] = ()) -> Braked:
    """Hold back what is over its limit, and defer scheduled rotations over what is left.

    Limits are of deletes, of removals, of changes to API keys that may not be the key's own, of adoptions and heals.

    Held back is all or none: an operator decides about the whole. In a part of a run that is so for each group of keys:
    one goes on if it is within its share of the limit, or if it would go on without a single other group. `asked`: the
    rotations were asked for key by key, so none of them is braked. `agreed`: keys whose deletes were agreed to. Retires
    do not count among the rotations. In a part of a run first secrets and secrets that were asked for trickle: what is
    over their limit is deferred.
    """
    rests = limits.allowed.part.rests
    held = {plan.key: _rests(rests[plan.key]) for plan in plans if plan.key in rests and asked_for(plan.changes)}
    deleting = [plan for plan in plans if plan.deletes and plan.key not in agreed]
    deletes = sum(plan.deletes for plan in deleting)
    if deletes > limits.allow_delete:
        held |= {plan.key: _too_many_deletes(deletes, limits) for plan in deleting}
    doubts = [doubt for plan in plans for doubt in plan.unproven]
    if len(doubts) > limits.allowed.unproven:
        held |= {plan.key: _unproven(plan.unproven[0], len(doubts), limits) for plan in plans if plan.unproven}
    part = limits.allowed.part
    emptying = [plan for plan in plans if plan.removals]
    over = _over([(plan, plan.removals) for plan in emptying], limits.removals_per_run, part.removals, limits)
    removals = sum(plan.removals for plan in over)
    if removals > limits.allowed.removals:
        held |= {plan.key: _too_many_removals(removals, limits) for plan in over}
    rotations = [] if asked else [plan for plan in plans if plan.key not in held and rotates(plan)]
    first = _in_turn(plan for plan in rotations if limits.trickles(plan))
    rotations = [plan for plan in rotations if not limits.trickles(plan)]
    unscheduled = [plan for plan in rotations if not plan.scheduled]
    spent = Counter(part.rotations) + _known(plans, part.since)
    over = _over([(plan, 1) for plan in unscheduled], limits.rotations_per_run, spent, limits)
    if len(over) > limits.allow_rotations:
        held |= {plan.key: _too_many_rotations(len(over), limits) for plan in over}
    late = _late(rotations, [plan for plan in unscheduled if plan.key not in held], limits)
    scheduled = sum(plan.scheduled for plan in rotations)
    deferred = {plan.key: _deferred(scheduled, scheduled - len(late)) for plan in late}
    trickling = {plan.key: _trickled(limits) for plan in first[limits.adoptions :]}
    ends = held | deferred | trickling
    return Braked(
        plans=tuple(_held(plan, ends[plan.key]) if plan.key in ends else plan for plan in plans),
        free=frozenset(plan.key for plan in plans if plan.key not in ends),
        deferred=(*trickling, *(plan.key for plan in plans if plan.key in deferred)),
    )


def _known(plans: Iterable[KeyPlan], since: datetime | None) -> Counter[str]:
    """Count by group what the records tell, where this process does not know it."""
    return by_group((plan.key, rotated_since(plan.record, since)) for plan in plans if since)


def _over(wanted: Sequence[tuple[KeyPlan, int]], limit: int, spent: Mapping[str, int], limits: Limits) -> list[KeyPlan]:
    """Return what is over a limit, with what is `spent` by each group: nothing, or all of each group over its share."""
    counts = Counter(spent) + by_group((plan.key, count) for plan, count in wanted)
    if counts.total() <= limit:
        return []
    if not limits.by_group:
        return [plan for plan, _ in wanted]
    share = limit // max(1, len(counts) - 1)
    over = {group for group, count in counts.items() if count > share and beside(counts, group) > limit}
    return [plan for plan, _ in wanted if group_of(plan.key) in over]


def _late(rotations: Iterable[KeyPlan], before: Collection[KeyPlan], limits: Limits) -> list[KeyPlan]:
    """Return the scheduled rotations that find no room in the limit, the longest due first; `before`: what starts."""
    spent = Counter(limits.allowed.part.rotations) + by_group((plan.key, 1) for plan in before)
    started, late = len(before), []
    for plan in sorted((plan for plan in rotations if plan.scheduled), key=lambda plan: plan.due_since or _FAR):
        group = group_of(plan.key)
        used = beside(spent, group) if limits.by_group else spent.total()
        if used < limits.rotations_per_run or started < limits.allow_rotations:
            spent[group] += 1
            started += 1
        else:
            late.append(plan)
    return late


def _held(plan: KeyPlan, end: End) -> KeyPlan:
    return replace(plan, end=end, conditions=by_urgency((end, *plan.conditions)))


def halted(plans: Iterable[KeyPlan], stop: End | None) -> tuple[KeyPlan, ...]:
    """Return the plans of a run; if it stops, each key that would be changed says so."""
    if stop is None:
        return tuple(plans)
    end = End(Reason.RUN_STOPPED, stop.why)
    return tuple(_held(plan, end) if plan.changes else plan for plan in plans)


def mine(record: Record | None, owner: str) -> bool:
    """Tell whether a record is this owner's and its key was not deleted."""
    return record is not None and record.owner == owner and record.deleted_at is None


def other_team(account: str, records: Mapping[str, Record]) -> End | None:
    """Return why the run stops because the token is another team's; None if it is not, or if nobody knows."""
    others = sorted(key for key, record in records.items() if account and record.account not in {"", account})
    if not others:
        return None
    theirs = records[others[0]].account
    why = f"the token belongs to the team {account}, but {_names(others)} to the team {theirs}; nothing was done"
    return End(Reason.ANOTHER_TEAM, why)


def vouched(unsure: Mapping[str, Record], others: Iterable[Record], listed: Iterable[ApiKey]) -> frozenset[str]:
    """Return those of the `unsure` keys (none of their API keys is listed) whose team the list shows by other keys."""
    shown = {key.uuid for key in listed if key.deleted_at is None}
    # A record that does not tell its team can only vouch for such.
    teams = {record.account for record in others if record.uuids & shown}
    return frozenset(key for key, record in unsure.items() if record.account in teams)


def another_account(unsure: Sequence[str]) -> End | None:
    """Return why the run stops if it cannot be told whose the token is, None if no key is unsure."""
    if not unsure:
        return None
    why = (
        f"the API shows no API key of {_names(sorted(unsure))}: either they were deleted, or the token is another "
        "team's, and nothing tells which; nothing was done"
    )
    return End(Reason.ANOTHER_ACCOUNT, why)


def strange(account: str, records: Mapping[str, Record], listed: Iterable[ApiKey]) -> End | None:
    """Return why a key without API keys is not begun: its owner's other keys are another team's, or may be."""
    if other := other_team(account, records):
        return other
    known = {uuid for record in records.values() for uuid in record.uuids}
    shown = {key.uuid for key in listed if key.deleted_at is None}
    if not known or known & shown or any(account and record.account == account for record in records.values()):
        return None
    return another_account(sorted(key for key, record in records.items() if record.uuids))


def live_uuids(records: Mapping[str, Record]) -> dict[str, str]:
    """Return the uuid of each key's live slot, without keys that are deleted or being deleted."""
    return {
        key: slot.uuid
        for key, record in records.items()
        if (slot := record.slot(record.live))
        and record.deleted_at is None
        and not (record.intent and record.intent.op is Op.DELETE)
    }


def all_gone(live: Mapping[str, str], listed: Iterable[ApiKey], group: str | None = None) -> End | None:
    """Return why the run stops because two or more keys are all gone from a complete list, else None.

    `group`: why its keys are not begun, see `_fate`.
    """
    there = {key.uuid for key in listed if key.deleted_at is None}
    if _fate(live, group) < TWO or any(uuid in there for uuid in live.values()):
        return None
    why = f"the API shows none of the {len(live)} live keys of this run ({_names(sorted(live))}); nothing was done"
    return End(Reason.ALL_GONE, why)


def all_refused(verdicts: Mapping[str, Verdict | None], group: str | None = None) -> End | None:
    """Return why the run stops because every key that was checked, two or more, is refused; else None.

    `group`: why its keys are not begun, see `_fate`.
    """
    unknown = {None, Verdict.SKIPPED, *UNJUDGED}
    checked = {key: verdict for key, verdict in verdicts.items() if verdict not in unknown}
    if any(verdict is not Verdict.REFUSED for verdict in checked.values()) or _fate(checked, group) < TWO:
        return None
    why = f"the inference API refuses every key that was checked ({len(checked)}); no more secrets are minted"
    return End(Reason.ALL_REFUSED, why)


def _fate(keys: Collection[str], group: str | None) -> int:
    """Count the keys that have a fate in common; for a group, without the other one that has most of them.

    So what happens to the keys of one group alone stops no other group.
    """
    return len(keys) if group is None else beside(by_group((key, 1) for key in keys), group)


def digest(owner: str, configuration: Configuration, plans: Iterable[KeyPlan]) -> str:
    """Return the SHA-256 (hex) of what a saved plan is checked by: owner, configuration, and the basis of each key."""
    keys = (f"{plan.key} {plan.basis}" for plan in sorted(plans, key=lambda plan: plan.key))
    text = "\n".join([owner, configuration.digest, *keys])
    return hashlib.sha256(text.encode()).hexdigest()


def _in_turn(plans: Iterable[KeyPlan]) -> list[KeyPlan]:
    """Return one plan of each group of keys, then the second ones, and so on: a group with many makes nobody wait.

    See `group_of`.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[int, KeyPlan]] = []
    for plan in plans:
        group = group_of(plan.key)
        turns.append((seen[group], plan))
        seen[group] += 1
    return [plan for _, plan in sorted(turns, key=itemgetter(0))]


def _too_many_deletes(count: int, limits: Limits) -> End:
    allowed = limits.allow_delete
    noun = "key" if count == 1 else "keys"
    return End(Reason.TOO_MANY_DELETES, f"{count} API {noun} would be deleted, and {allowed} may be", number=count)


def _too_many_removals(count: int, limits: Limits) -> End:
    why = f"{count} deliveries would lose their secret, and {limits.removals} may in one run"
    return End(Reason.TOO_MANY_REMOVALS, why, number=count)


def _unproven(doubt: str, count: int, limits: Limits) -> End:
    allowed = limits.allowed.unproven
    more = "" if count == 1 else f"; {count} API keys of this run are in doubt, and {allowed} may be changed"
    return End(Reason.UNPROVEN, f"{doubt}; it would be changed{more}", number=count)


def _too_many_rotations(count: int, limits: Limits) -> End:
    over = f"and {limits.rotations} may be in one run"
    if limits.adoptions is not None:
        over = f"more than their namespaces' share of the {limits.rotations_per_run} of one run"
    why = f"{count} keys would be adopted or healed, {over}, so none of them starts"
    return End(Reason.TOO_MANY_ROTATIONS, why, number=count)


def _deferred(count: int, left: int) -> End:
    why = f"{count} scheduled rotations are due and {left} may start in this run; this one is left for a later run."
    return End(Reason.DEFERRED, why)


def _trickled(limits: Limits) -> End:
    why = f"{limits.adoptions} keys may get a first secret, or one that was asked for, at a time; this one comes later."
    return End(Reason.DEFERRED, why)


def _rests(until: datetime) -> End:
    return End(Reason.DEFERRED, "it was rotated a short time ago; the next rotation that was asked for waits", until)


def _names(keys: Sequence[str], most: int = 5) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
