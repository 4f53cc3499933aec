"""The API's rate limit as a fault: calls that are answered with 429, and for how long the next one has to wait."""

from __future__ import annotations

from keyturn.core.model import Timing
from tests.simulation.faults import LIMITS, Class, Fault, Kind
from tests.simulation.universe import Universe

IN_A_ROW = 3
"""How many calls are answered with 429 where it is more than one."""
_API = (Class.LIST, Class.MINT, Class.CHANGE)


class Limit:
    """What one run meets of it."""

    def __init__(self, universe: Universe, timing: Timing) -> None:
        """Start without one."""
        self._universe = universe
        self._timing = timing
        self._left = 0
        self._many = False
        self._free_at = 0.0

    def refuses(self, kind: Class, fault: Fault | None) -> bool:
        """Tell whether the API answers this call with 429."""
        if kind not in _API:
            return False
        if fault and fault.kind in LIMITS:
            self._many = fault.kind is Kind.LIMITS
            self._left = IN_A_ROW if self._many else 1
        if not self._left:
            return False
        self._left -= 1
        self._free_at = self._universe.now + (self._timing.lease * 1.5 if self._many else self._timing.request / 2)
        return True

    def wait(self) -> float:
        """Return how long the next call has to wait, as the last 429 said."""
        return max(0.0, self._free_at - self._universe.now)
