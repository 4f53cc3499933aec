"""Targets whose values cannot be read: they show a marker, and those of one come into use later, by a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from keyturn.core.model import Delivery

PLAIN, DELAYED = "s", "d"
"""The target whose values are in use at once, and the one that rolls them out."""
MARKED = frozenset({PLAIN, DELAYED})
ROLLOUT = 9000.0
"""Seconds that a rollout takes: longer than an overlap, shorter than the time between the last runs of a history."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A value on its way to its consumers; `version` is that of the write which set it off."""

    deadline: float
    delivery: Delivery
    value: str
    version: int


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What consumers use of each delayed delivery, and what is on its way to them. `broken`: every new one fails."""

    used: Mapping[Delivery, str] = field(default_factory=dict)
    under_way: tuple[Rollout, ...] = ()
    broken: bool = False

    def begin(self, rollout: Rollout) -> Rollouts:
        """Return them with one more, unless that one fails."""
        return self if self.broken else replace(self, under_way=(*self.under_way, rollout))

    def end(self, rollout: Rollout) -> Rollouts:
        """Return them when this one is over."""
        left = tuple(one for one in self.under_way if one is not rollout)
        return replace(self, used={**self.used, rollout.delivery: rollout.value}, under_way=left)
