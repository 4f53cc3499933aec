"""What the runner keeps of one key's planning: its plan, and what the plan was made from, read only once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from keyturn.core.model import SILENT, DesiredKey, Verdict, WireAnswer, WireKind
from keyturn.core.record import Record
from keyturn.core.results import End, KeyPlan, Options
from keyturn.core.secret import Secret
from keyturn.core.world import StoredRecord, World

PlanKey = Callable[[World, DesiredKey, Options], KeyPlan]


@dataclass(frozen=True, slots=True)
class Sight:
    """One key as planning saw it; `verdict` is that of its delivered secrets, None where none was tried."""

    plan: KeyPlan
    record: Record | None = None
    verdict: Verdict | None = None


def look(plan_key: PlanKey, world: World, desired: DesiredKey, options: Options) -> Sight:
    """Plan one key and keep what it was planned from; an error becomes the plan's end, except RunStopped."""
    watched = _Watched(world)
    plan = plan_key(cast("World", watched), desired, options)
    return Sight(plan, watched.record, watched.verdict)


def failed(key: str, end: End) -> Sight:
    """Return the sight of a key that could not be planned."""
    return Sight(KeyPlan(key, (), end, basis=f"failed {end.code}"))


class _Watched:
    """A world that remembers the record it gave, and whether the API accepted any secret that was tried."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.record: Record | None = None
        self.verdict: Verdict | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._world, name)

    def read_record(self, key: str) -> StoredRecord:
        stored = self._world.read_record(key)
        self.record = stored.record
        return stored

    def models(self, secret: Secret) -> WireAnswer:
        answer = self._world.models(secret)
        if answer.kind is WireKind.UNAUTHORIZED:
            self.verdict = self.verdict or Verdict.REFUSED
        elif answer.kind not in SILENT:
            self.verdict = Verdict.ACCEPTED
        return answer

    def prepayment_blocked(self) -> bool | None:
        blocked = self._world.prepayment_blocked()
        if blocked and self.verdict is Verdict.REFUSED:
            self.verdict = Verdict.BALANCE
        return blocked
