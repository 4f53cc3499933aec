"""Brakes, ownership and run-wide stops: pure decisions over the plans of all keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Self

from keyturn.core.configuration import Configuration
from keyturn.core.model import UNJUDGED, AdoptSecret, ApiKey, Desired, Verdict
from keyturn.core.permits import EXISTING, TAKE_OVER, Permit
from keyturn.core.reasons import Reason
from keyturn.core.record import Op, Record
from keyturn.core.results import REQUESTED, Change, End, KeyPlan, Options, Planned, Watch, by_urgency

TWO = 2
"""From how many keys on a common fate is the API's or the token's doing, not the keys'."""

OWNERSHIP = 4
"""The exit code of a brake or an ownership rule."""

REMOVALS = 20
"""How many deliveries one run may empty, unless an operator or a policy says otherwise."""

_ROTATIONS = frozenset({Change.ADOPT, Change.CREATE, Change.ROTATE})
_ASKED = frozenset({"trigger", REQUESTED})
"""The codes of rotations that were asked for."""
_FAR = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Part:
    """One round of a run that is done in rounds.

    `verify`: the keys whose deliveries are read and tried, besides those of the options. `watches`: what earlier rounds
    saw of runs elsewhere that have a key: a silent one is followed after its lease, though nobody waits for it.
    `adoptions`: how many keys may get their first secret, or one that was asked for, now, the others in later rounds;
    None: all or none, as heals. `rotations` and `removals`: what earlier rounds of the same run did. It counts: else a
    brake would see a thousand keys a few at a time, and let all of them pass. `rests`: keys that were rotated because
    it was asked for, and until when they are not rotated so again.
    """

    verify: frozenset[str] = frozenset()
    watches: Mapping[str, Watch] = field(default_factory=dict)
    adoptions: int | None = None
    rotations: int = 0
    removals: int = 0
    rests: Mapping[str, datetime] = field(default_factory=dict)


WHOLE_RUN = Part()


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an operator allows one run: deliveries to empty, and changes to API keys that may not be the key's own.

    `part`: which part of a run it is about.
    """

    removals: int = 0
    unproven: int = 0
    part: Part = WHOLE_RUN


NONE_ALLOWED = Allowed()


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run may do: the manifest's `rotations_per_run`, raised and allowed by the command line.

    `removals_per_run` is not the manifest's word: a policy may set it. `adoptions` is that of a `Part`.
    """

    rotations_per_run: int
    allow_rotations: int = 0
    allow_delete: int = 0
    allowed: Allowed = NONE_ALLOWED
    removals_per_run: int = REMOVALS
    adoptions: int | None = None

    @classmethod
    def under(cls, desired: Desired, allow_rotations: int, allow_delete: int, allowed: Allowed) -> Self:
        """Return the limits of a run of this manifest, or of a part, with what is allowed to it, under the policy."""
        permit, rotations, removals, part = desired.permit, desired.rotations_per_run, REMOVALS, allowed.part
        if permit is not None:
            rotations, removals = min(rotations, permit.rotations), min(removals, permit.removals)
        adoptions = None if part.adoptions is None else min(part.adoptions, rotations)
        left = max(0, rotations - part.rotations), max(0, removals - part.removals)
        return cls(left[0], allow_rotations, allow_delete, allowed, left[1], adoptions)

    def after(self, plans: Iterable[KeyPlan]) -> Limits:
        """Return what is left once these plans were carried out."""
        done = list(plans)
        first = [plan for plan in done if self.trickles(plan)]
        left = max(0, self.rotations - sum(_rotates(plan) for plan in done if plan not in first))
        return Limits(
            left,
            allow_delete=max(0, self.allow_delete - sum(plan.deletes for plan in done)),
            allowed=Allowed(
                unproven=max(0, self.allowed.unproven - sum(len(plan.unproven) for plan in done)),
                part=self.allowed.part,
            ),
            removals_per_run=max(0, self.removals - sum(plan.removals for plan in done)),
            adoptions=None if self.adoptions is None else max(0, self.adoptions - len(first)),
        )

    def trickles(self, plan: KeyPlan) -> bool:
        """Tell whether a plan counts among the adoptions, if they are limited: a key's first secret, or one asked for.

        Who asks for rotations, however many, must not make the heals of others wait.
        """
        if self.adoptions is None or not _rotates(plan):
            return False
        return plan.record is None or not plan.record.generation or asked_for(plan.changes)

    @property
    def rotations(self) -> int:
        """The rotations, adoptions and heals that may start."""
        return max(self.rotations_per_run, self.allow_rotations)

    @property
    def removals(self) -> int:
        """The deliveries that may be emptied."""
        return max(self.removals_per_run, self.allowed.removals)


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

    Held back is all or none: an operator decides about the whole. `asked`: the rotations were asked for key by key, so
    none of them is braked. `agreed`: keys whose deletes were agreed to. Retires do not count among the rotations. In a
    part of a run first secrets and secrets that were asked for trickle: what is over their limit is deferred.
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
    removals = sum(plan.removals for plan in plans)
    if removals > limits.removals:
        held |= {plan.key: _too_many_removals(removals, limits) for plan in plans if plan.removals}
    rotations = [] if asked else [plan for plan in plans if plan.key not in held and _rotates(plan)]
    first = _in_turn(plan for plan in rotations if limits.trickles(plan))
    rotations = [plan for plan in rotations if not limits.trickles(plan)]
    unscheduled = [plan for plan in rotations if not plan.scheduled]
    left = limits.rotations
    if len(unscheduled) > limits.rotations:
        held |= {plan.key: _too_many_rotations(len(unscheduled), limits) for plan in unscheduled}
    else:
        left -= len(unscheduled)
    scheduled = sorted((plan for plan in rotations if plan.scheduled), key=lambda plan: plan.due_since or _FAR)
    deferred = {plan.key: _deferred(len(scheduled), left) for plan in scheduled[left:]}
    trickling = {plan.key: _trickled(limits) for plan in first[limits.adoptions :]}
    ends = held | deferred | trickling
    return Braked(
        plans=tuple(_held(plan, ends[plan.key]) if plan.key in ends else plan for plan in plans),
        free=frozenset(plan.key for plan in plans if plan.key not in ends),
        deferred=(*trickling, *(plan.key for plan in plans if plan.key in deferred)),
    )


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


def all_gone(live: Mapping[str, str], listed: Iterable[ApiKey]) -> End | None:
    """Return why the run stops because two or more keys are all gone from a complete list, else None."""
    there = {key.uuid for key in listed if key.deleted_at is None}
    if len(live) < TWO or any(uuid in there for uuid in live.values()):
        return None
    why = f"the API shows none of the {len(live)} live keys of this run ({_names(sorted(live))}); nothing was done"
    return End(Reason.ALL_GONE, why)


def all_refused(verdicts: Iterable[Verdict | None]) -> End | None:
    """Return why the run stops because every key that was checked, two or more, is refused; else None."""
    checked = [verdict for verdict in verdicts if verdict not in {None, Verdict.SKIPPED, *UNJUDGED}]
    if len(checked) < TWO or any(verdict is not Verdict.REFUSED for verdict in checked):
        return None
    why = f"the inference API refuses every key that was checked ({len(checked)}); no more secrets are minted"
    return End(Reason.ALL_REFUSED, why)


def digest(owner: str, configuration: Configuration, plans: Iterable[KeyPlan]) -> str:
    """Return the SHA-256 (hex) of what a saved plan is checked by: owner, configuration, and the basis of each key."""
    keys = (f"{plan.key} {plan.basis}" for plan in sorted(plans, key=lambda plan: plan.key))
    text = "\n".join([owner, configuration.digest, *keys])
    return hashlib.sha256(text.encode()).hexdigest()


def asked_for(changes: Iterable[Planned]) -> bool:
    """Tell whether a rotation among these changes was asked for: nothing happened that has to be healed."""
    return any(change.change is Change.ROTATE and change.code in _ASKED for change in changes)


def _in_turn(plans: Iterable[KeyPlan]) -> list[KeyPlan]:
    """Return one plan of each group of keys, then the second ones, and so on: a group with many makes nobody wait.

    A group is of the keys whose ids begin alike, up to the first dot; without dots each key is its own.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[int, KeyPlan]] = []
    for plan in plans:
        group = plan.key.partition(".")[0]
        turns.append((seen[group], plan))
        seen[group] += 1
    return [plan for _, plan in sorted(turns, key=itemgetter(0))]


def _rotates(plan: KeyPlan) -> bool:
    """Whether the plan counts as a rotation: a retire mints too, only to kill an old secret, and does not count."""
    changes = {planned.change for planned in plan.changes}
    return Change.ADOPT in changes or (plan.mints and bool(changes & _ROTATIONS))


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
    allowed = limits.rotations
    why = f"{count} keys would be adopted or healed, and {allowed} may be in one run, so none of them starts"
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
