"""The machine: one pure function decides the next step of one key.

`plan` runs it dry, `apply` runs it wet, recovery is running it again. The policies of a chain are asked in order; the
first that has something to say decides. `chain.py` shows the order.
"""

from __future__ import annotations

from dataclasses import replace

from keyturn.core.machine.chain import CHAINS, Explained, first
from keyturn.core.state import State
from keyturn.core.steps import Decision, WriteRecord

__all__ = ["Explained", "explain", "next_step"]


def next_step(state: State) -> Decision:
    """Decide what comes next for one key: a step to perform, or how it ends."""
    decision = explain(state).decision
    if isinstance(decision, WriteRecord):
        # Whatever a policy writes, no secret that was ever delivered becomes a stranger.
        return replace(decision, record=decision.record.remembering(state.record))
    return decision


def explain(state: State) -> Explained:
    """Decide the same, and tell which policies were asked."""
    return first(state, CHAINS["entry"])
