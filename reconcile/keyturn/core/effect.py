"""Whether consumers use a value that was delivered: some targets hand it on later, such as with a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EffectState(StrEnum):
    """How far a delivered value is on its way to its consumers."""

    ACTIVE = "active"
    """They use it."""
    PENDING = "pending"
    """They use the value before it; the target is at work, and nobody has to do anything."""
    FAILED = "failed"
    """They use the value before it, and that stays so until someone repairs what failed."""


@dataclass(frozen=True, slots=True)
class Effect:
    """How far a value is; `detail` says it in words without any secret, such as `deployment 3f2a is BUILDING`."""

    state: EffectState = EffectState.ACTIVE
    detail: str = ""

    @property
    def active(self) -> bool:
        """Whether consumers use the value."""
        return self.state is EffectState.ACTIVE
