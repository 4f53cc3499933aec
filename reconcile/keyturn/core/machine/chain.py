"""The order in which policies are asked: the entry, the order at rest, and one chain per operation."""

from __future__ import annotations

from dataclasses import dataclass

from keyturn.core.machine import (
    adopt,
    create,
    delete,
    deliver,
    drift,
    in_effect,
    minting,
    move,
    ownership,
    pool,
    rename,
    retire,
    rotate,
    strategy,
)
from keyturn.core.machine.facts import idle
from keyturn.core.machine.gone import GONE
from keyturn.core.machine.handoff import HANDOFF
from keyturn.core.machine.ownership import gated
from keyturn.core.machine.parking import unparked
from keyturn.core.machine.policy import Branch, Chain, Condition, Conditional, Policy, name_of, when
from keyturn.core.machine.rest import CONDITION
from keyturn.core.record import Op
from keyturn.core.state import State
from keyturn.core.steps import Decision


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and the policies that were asked up to the one that took it."""

    decision: Decision
    policies: tuple[Policy, ...]

    @property
    def asked(self) -> tuple[str, ...]:
        """The names of the policies, such as `ownership.lease`; the last one decided."""
        return tuple(map(name_of, self.policies))


def decided(state: State) -> Decision | None:
    """The run ends as its last record write said."""
    return state.run.then


def held(state: State) -> bool:
    """Tell whether an open intent concerns this run: without an entry only a retire does."""
    has_entry = bool(state.desired.name) or state.desired.absent
    return state.record is not None and state.record.intent is not None and (has_entry or retire.concerns(state))


def absent(state: State) -> bool:
    """Tell whether the entry asks for no key."""
    return state.desired.absent


def unmanaged(state: State) -> bool:
    """Tell whether a record has no entry."""
    return not state.desired.name


def unfinished(state: State) -> bool:
    """Tell whether an intent is open."""
    return not idle(state)


def other_work(state: State) -> bool:
    """Tell whether something else comes before a rotation."""
    return retire.ripe(state) or deliver.called_for(state) or strategy.changed(state)


def under(op: Op) -> Condition:
    """Return the condition that an intent of this operation is open."""

    def under(state: State) -> bool:
        intent = state.record.intent if state.record else None
        return intent is not None and intent.op is op

    return under


ENTRY: Chain = (
    decided,
    move.moved_away,
    ownership.team,
    ownership.owner,
    Branch("move", when=move.concerned),
    when(delete.forgetting, delete.unfinished),
    when(delete.forgetting, delete.old_secret),
    Branch("hold", when=held),
    Branch("absent", when=absent),
    Branch("unmanaged", when=unmanaged),
    Branch("adopt", when=adopt.no_record),
    unparked,
    when(unfinished, rotate.request_first),
    *(Branch(op, when=under(op)) for op in Op),
    Branch("rest", when=idle),
)

AT_REST: Chain = (
    ownership.note_team,
    *GONE,
    Branch("drift", when=drift.concerned),
    in_effect.seen_again,
    in_effect.failed,
    when(other_work, rotate.request_first),
    Branch("open-deliver", when=deliver.called_for),
    Branch("open-retire", when=retire.ripe),
    Branch("switch", when=strategy.changed),
    rotate.request,
    Branch("open-rotate", when=rotate.may_start),
    *HANDOFF,
    create.namesake,
    create.open_create,
    rename.name_taken,
    gated(rename.misnamed_key),
    rename.open_rename,
    *CONDITION,
)

CHAINS: dict[str, Chain] = {
    "entry": ENTRY,
    "move": move.MOVE,
    "hold": ownership.HOLD,
    "absent": delete.ABSENT,
    "delete-key": delete.DELETE_KEY,
    "unmanaged": retire.UNMANAGED,
    "adopt": adopt.ADOPT,
    "adopt-nothing": adopt.NOTHING,
    "adopt-existing": adopt.EXISTING,
    # At rest.
    "rest": AT_REST,
    "drift": drift.DRIFT,
    "drift-lost": drift.LOST,
    "drift-compared": drift.COMPARED,
    "open-deliver": deliver.OPEN_DELIVER,
    "open-retire": retire.OPEN_RETIRE,
    "switch": strategy.SWITCH,
    "open-rotate": rotate.OPEN_ROTATE,
    # Under an open intent.
    Op.CREATE: create.CREATE,
    "spare": pool.SPARE,
    "by-api": create.BY_API,
    Op.ROTATE: rotate.ROTATE,
    "standby": minting.STANDBY,
    "live": minting.LIVE,
    "parked": minting.PARKED,
    Op.RETIRE: retire.RETIRE,
    Op.RENAME: rename.RENAME,
    Op.DELIVER: deliver.DELIVER,
    Op.DELETE: delete.DELETE,
    "taken-back": delete.TAKEN_BACK,
}
"""Every chain by the name that a branch gives; a chain of an operation is asked while its intent is open."""


def first(state: State, chain: Chain) -> Explained:
    """Ask the policies of a chain in order; return the first decision, and the policies asked up to it."""
    asked: list[Policy] = []
    decision = _ask(state, chain, asked)
    if decision is None:
        message = f"no policy of the chain decides; the last one asked: {name_of(asked[-1])}"
        raise AssertionError(message)
    return Explained(decision, tuple(asked))


def _ask(state: State, chain: Chain, asked: list[Policy]) -> Decision | None:
    for link in chain:
        if isinstance(link, Branch):
            decision = _ask(state, CHAINS[link.chain], asked) if link.when(state) else None
        elif isinstance(link, Conditional):
            decision = _ask(state, (link.policy,), asked) if link.when(state) else None
        else:
            asked.append(link)
            decision = link(state)
        if decision is not None:
            return decision
    return None
