"""The machine: one pure function decides the next step of one key.

`plan` runs it dry, `apply` runs it wet, recovery is running it again. Policies are asked in order; the first that has
something to say decides.
"""

from __future__ import annotations

from collections.abc import Callable

from keyturn.core.machine import adopt, common, drift, holding, mint, rest, retire, rotate, slots, tend
from keyturn.core.record import Op
from keyturn.core.state import State
from keyturn.core.steps import Decision

__all__ = ["next_step"]

_AT_REST: tuple[Callable[[State], Decision | None], ...] = (
    holding.note_team,
    slots.back,
    slots.gone,
    drift.drift,
    drift.deliver,
    retire.open_retire,
    slots.switch,
    rotate.start,
    slots.provide,
    rest.rename,
)


def next_step(state: State) -> Decision:
    """Decide what comes next for one key: a step to perform, or how it ends."""
    if state.run.then:
        return state.run.then
    entry = bool(state.desired.name) or state.desired.absent
    if decision := holding.owned(state):
        return decision
    if (entry or retire.concerns(state)) and (decision := holding.held(state)):
        return decision
    if state.desired.absent:
        return tend.open_delete(state)
    if not entry:
        return retire.unmanaged(state)
    if decision := adopt.begin(state):
        return decision
    if decision := holding.unpark(state):
        return decision
    intent = common.record_of(state).intent
    if intent is not None:
        return _under(intent.op)(state)
    for policy in _AT_REST:
        if decision := policy(state):
            return decision
    return rest.at_rest(state)


def _under(op: Op) -> Callable[[State], Decision]:
    return {
        Op.CREATE: mint.mint,
        Op.ROTATE: mint.mint,
        Op.RETIRE: retire.retiring,
        Op.RENAME: tend.renaming,
        Op.DELIVER: tend.delivering,
        Op.DELETE: tend.dropping,
    }[op]
