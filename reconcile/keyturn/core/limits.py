"""PURE: how much one run may change, and what of it is left: by the manifest, the command line and the policy.

A run that is done in rounds shares its limits among them, and among groups of keys.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from keyturn.core.model import Desired
from keyturn.core.record import Record
from keyturn.core.results import REQUESTED, Change, KeyPlan, Planned, Watch

REMOVALS = 20
"""How many deliveries one run may empty, unless an operator or a policy says otherwise."""

_ROTATIONS = frozenset({Change.ADOPT, Change.CREATE, Change.ROTATE})
_ASKED = frozenset({"trigger", REQUESTED})
"""The codes of rotations that were asked for."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What an operator allowed when a plan was made; a saved plan never grants it, it only says what to say again."""

    allow_delete: int = 0
    allow_rotations: int = 0
    take_over: bool = False
    unpark: tuple[str, ...] = ()
    allow_removals: int = 0
    allow_unproven: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One round of a run that is done in rounds.

    `verify`: the keys whose deliveries are read and tried, besides those of the options. `watches`: what earlier rounds
    saw of runs elsewhere that have a key: a silent one is followed after its lease, though nobody waits for it.
    `adoptions`: how many keys may get their first secret, or one that was asked for, now, the others in later rounds;
    None: all or none, as heals. `rotations` and `removals`: what earlier rounds of the same run did, by group. It
    counts: else a brake would see a thousand keys a few at a time, and let all of them pass. `since`: what the
    histories of the keys tell of rotations after that counts too; None: nothing, this process knows all of them.
    `rests`: keys that were rotated because it was asked for, and until when they are not rotated so again.
    """

    verify: frozenset[str] = frozenset()
    watches: Mapping[str, Watch] = field(default_factory=dict)
    adoptions: int | None = None
    rotations: Mapping[str, int] = field(default_factory=dict)
    removals: Mapping[str, int] = field(default_factory=dict)
    since: datetime | None = None
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
        return cls(rotations, allow_rotations, allow_delete, allowed, removals, adoptions)

    def after(self, plans: Iterable[KeyPlan]) -> Limits:
        """Return what is left once these plans were carried out."""
        done, part = list(plans), self.allowed.part
        first = [plan for plan in done if self.trickles(plan)]
        rotations = by_group((plan.key, 1) for plan in done if plan not in first and rotates(plan))
        removals = by_group((plan.key, plan.removals) for plan in done)
        spent = replace(part, rotations=Counter(part.rotations) + rotations, removals=Counter(part.removals) + removals)
        return Limits(
            self.rotations + sum(part.rotations.values()),
            allow_delete=max(0, self.allow_delete - sum(plan.deletes for plan in done)),
            allowed=Allowed(
                unproven=max(0, self.allowed.unproven - sum(len(plan.unproven) for plan in done)), part=spent
            ),
            removals_per_run=self.removals + sum(part.removals.values()),
            adoptions=None if self.adoptions is None else max(0, self.adoptions - len(first)),
        )

    @property
    def by_group(self) -> bool:
        """Whether groups of keys share the limits, as in a part of a run: none alone stops another one."""
        return self.adoptions is not None

    def trickles(self, plan: KeyPlan) -> bool:
        """Tell whether a plan counts among the adoptions, if they are limited: a key's first secret, or one asked for.

        Who asks for rotations, however many, must not make the heals of others wait.
        """
        if self.adoptions is None or not rotates(plan):
            return False
        return plan.record is None or not plan.record.generation or asked_for(plan.changes)

    @property
    def rotations(self) -> int:
        """The rotations, adoptions and heals that may start."""
        return max(self.rotations_per_run - sum(self.allowed.part.rotations.values()), self.allow_rotations, 0)

    @property
    def removals(self) -> int:
        """The deliveries that may be emptied."""
        return max(self.removals_per_run - sum(self.allowed.part.removals.values()), self.allowed.removals, 0)


def group_of(key: str) -> str:
    """Return the group of a key: its id up to the first dot; without dots each key is its own."""
    return key.partition(".")[0]


def rotated_since(record: Record | None, since: datetime) -> int:
    """Count what the history of a key tells of heals and scheduled rotations after a moment."""
    events = record.history if record else ()
    later = [event for event in events if event.at > since and (event.generation or 0) > 1]
    return sum(event.cause is None or event.cause.trigger not in _ASKED for event in later)


def by_group(counts: Iterable[tuple[str, int]]) -> Counter[str]:
    """Return the sums of counts of keys, by group."""
    found: Counter[str] = Counter()
    for key, count in counts:
        found[group_of(key)] += count
    return found


def beside(counts: Mapping[str, int], group: str) -> int:
    """Return the sum of counts by group as far as it concerns one: without the other group that has most.

    What holds a group back by this sum would do so if any single other group were not there.
    """
    most = heapq.nlargest(2, counts, key=counts.__getitem__)
    return sum(counts.values()) - max((counts[one] for one in most if one != group), default=0)


def asked_for(changes: Iterable[Planned]) -> bool:
    """Tell whether a rotation among these changes was asked for: nothing happened that has to be healed."""
    return any(change.change is Change.ROTATE and change.code in _ASKED for change in changes)


def rotates(plan: KeyPlan) -> bool:
    """Whether the plan counts as a rotation: a retire mints too, only to kill an old secret, and does not count."""
    changes = {planned.change for planned in plan.changes}
    return Change.ADOPT in changes or (plan.mints and bool(changes & _ROTATIONS))
