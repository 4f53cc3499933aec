"""PURE: what was found of a key or an account as conditions of Kubernetes.

`Ready` and `Stalled` mean what kstatus takes them for, so that Flux and others wait for the right thing. A rotation by
schedule changes neither: the old secret works until every place has the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from keyturn.core.model import SmokeResult, Verdict
from keyturn.core.reasons import Condition as Found
from keyturn.core.reasons import Remedy
from keyturn.core.results import End, PoolState
from keyturn.core.sanitize import plain
from keyturn.kube.remedies import REMEDIES, by_itself
from keyturn.kube.resources import Condition
from keyturn.report.handoff import PANEL

READY, STALLED, VERIFIED, POOL_LOW = "Ready", "Stalled", "Verified", "PoolLow"
PERSON = "WaitingForPerson"
"""The reason of `Stalled` if someone has to do something in the control panel or in the resource."""

HARMLESS = frozenset({Found.READY, Found.DUE, Found.OVERLAP, Found.WAITING, Found.BUSY})
"""Found of a key whose consumers have a secret that works."""
STUCK = frozenset({Found.ACTION_NEEDED, Found.HELD, Found.MISCONFIGURED, Found.PARKED, Found.LOGIN_REFUSED})
"""Found of a key that goes on only after someone has done something."""
LONGEST = 1000
"""Characters of a message; the definition allows some more."""

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Moment:
    """When conditions are written, and for which generation of the resource."""

    now: datetime
    generation: int

    def condition(self, kind: str, status: Truth, reason: str, message: str) -> Condition:
        """Return a condition as of this moment."""
        shown = plain(message, LONGEST)
        at = rfc3339(self.now)
        return Condition(
            type=kind,
            status=status,
            reason=reason,
            message=shown,
            observed_generation=self.generation,
            last_transition_time=at,
        )


def rfc3339(moment: datetime) -> str:
    """Return a moment as Kubernetes writes it."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def pascal(code: str) -> str:
    """Return a code of the catalogue as a reason: `at-rest` is `AtRest`."""
    return "".join(part.capitalize() for part in code.split("-"))


def standing(ends: Sequence[End], at: Moment, *, live: bool) -> tuple[Condition, Condition]:
    """Return `Ready` and `Stalled`. `ends`: everything that was found, the most urgent first; never empty.

    `live`: a secret has been delivered. Until then a key of which nothing bad was found is neither ready nor not.
    """
    first = ends[0]
    good: Truth = "True" if live else "Unknown"
    ready: Truth = good if first.condition in HARMLESS else "False"
    stuck = next((end for end in ends if end.condition in STUCK), None)
    return (
        at.condition(READY, ready, pascal(first.code), sentence(first)),
        at.condition(STALLED, "True", _stalled(stuck.condition), sentence(stuck))
        if stuck
        else at.condition(STALLED, "False", pascal(first.code), ""),
    )


def sentence(end: End) -> str:
    """Return what was found, and what to do about it."""
    why = by_itself(end.why) or f"{end.code.meaning[0].lower()}{end.code.meaning[1:].rstrip('.')}"
    if end.remedy is Remedy.MAKE_KEYS and end.make:
        names = ", ".join(end.make)
        order = f"make model access keys in the control panel with exactly these names: {names}; at {PANEL}"
        return order if all(name in why for name in end.make) else f"{why}; {order}"
    remedy = REMEDIES[end.remedy].format(number=end.number or 1) if end.exit_code else ""
    return f"{why}; {remedy}" if remedy else why


def verified(result: SmokeResult | None, model: str, at: Moment) -> Condition:
    """Return `Verified`: whether the API accepted the delivered secret when it was last tried."""
    if result is None:
        return at.condition(VERIFIED, "Unknown", "NotTried", "the live secret was not tried yet")
    match result.verdict:
        case Verdict.ACCEPTED:
            return at.condition(VERIFIED, "True", "Accepted", f"a completion of {model} was accepted")
        case Verdict.REFUSED:
            return at.condition(VERIFIED, "False", "Refused", "the API refuses the live secret")
        case verdict:
            return at.condition(VERIFIED, "Unknown", pascal(verdict.value), result.facts)


def pool_low(pool: PoolState, at: Moment) -> Condition:
    """Return `PoolLow`: whether someone has to make spares."""
    spares = "1 spare is" if pool.left == 1 else f"{pool.left} spares are"
    counted = f"{spares} left of {pool.prefix!r}; low is {pool.low}"
    if not pool.few:
        return at.condition(POOL_LOW, "False", "Enough", counted)
    waiting = f", and {pool.wanted} keys wait for one" if pool.wanted else ""
    do = f"make some in the control panel, with names that begin with {pool.prefix!r}: {PANEL}"
    return at.condition(POOL_LOW, "True", "FewSpares", f"{counted}{waiting}; {do}")


def kept(old: Iterable[Condition], new: Iterable[Condition]) -> list[Condition]:
    """Return the new conditions; one whose status has not changed keeps its moment."""
    before = {condition.type: condition for condition in old}
    return [
        condition.model_copy(update={"last_transition_time": known.last_transition_time})
        if (known := before.get(condition.type)) and known.status == condition.status
        else condition
        for condition in new
    ]


def _stalled(found: Found) -> str:
    return PERSON if found is Found.ACTION_NEEDED else pascal(found)
