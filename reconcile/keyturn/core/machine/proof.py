"""What smoke-checks have to prove: of a new secret before or after its delivery, and of the secret that it replaced."""

from __future__ import annotations

from keyturn.core.machine.deliveries import holds
from keyturn.core.machine.facts import compromised, intent_of, protects, record_of, verdict
from keyturn.core.machine.parking import give_up
from keyturn.core.machine.policy import Chain, when
from keyturn.core.machine.source import known_in_hand, known_secret
from keyturn.core.machine.spread import carried
from keyturn.core.model import DENIED, GOOD, UNKNOWN, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.sanitize import plain
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, LookBack, Purpose


def planned(state: State) -> bool:
    """Tell whether there is time for every proof: a compromised secret has to die soon."""
    return not compromised(state)


def try_live(state: State) -> Decision | None:
    """Learn what the live secret may do, to compare the new one with it."""
    live = record_of(state).live_digest
    if live and live in state.observed.in_hand and verdict(state, live) is None:
        return Check(live, Purpose.LIVE)
    return None


def try_new(state: State) -> Decision | None:
    """Try the new secret strictly, before anyone gets it."""
    return Check(carried(state), Purpose.BEFORE_DELIVERY) if verdict(state, carried(state)) is None else None


def refused(state: State) -> Decision | None:
    """Give up if the API refuses the new secret."""
    result = state.observed.verdicts[carried(state)]
    if result.verdict is not Verdict.REFUSED:
        return None
    return _give_up(state, Reason.NEW_SECRET_REFUSED, f"the API refuses the new secret: {result.detail}")


def unproven(state: State) -> Decision | None:
    """Give up if nothing is known of the new secret, or if only the live one is accepted.

    A refusal that a blocked balance explains says nothing of the key, unless the list of models accepted it.
    """
    result = state.observed.verdicts[carried(state)]
    blocked = result.verdict is Verdict.BALANCE
    unknown = result.verdict in UNKNOWN or (blocked and not result.models)
    if not unknown and not (blocked and verdict(state, record_of(state).live_digest) in GOOD):
        return None
    return _give_up(state, Reason.of(result.verdict.value), f"the new secret was not proven: {result.facts}")


def denied(state: State) -> Decision | None:
    """Give up if the new secret may not use the model, unless the live one may not either."""
    result = state.observed.verdicts[carried(state)]
    if result.verdict not in DENIED or verdict(state, record_of(state).live_digest) is result.verdict:
        return None
    return _give_up(state, Reason.of(result.verdict.value), f"the new secret was not delivered: {result.facts}")


def other_models(state: State) -> Decision | None:
    """Give up if the new secret may not use a model that the live one may use."""
    missing = lacking(state)
    if not missing:
        return None
    why = f"the new secret may not use what the live one may: {missing}; give its API key the same models"
    return _give_up(state, Reason.MODELS_DIFFER, why)


def lacking(state: State) -> str:
    """Name models that the live secret may use and the new one may not; empty if there is none, or nobody knows."""
    verdicts, new = state.observed.verdicts, carried(state)
    live = verdicts.get(record_of(state).live_digest or "")
    names = sorted(set(live.models) - set(verdicts[new].models)) if live and verdicts[new].models else []
    return ", ".join(map(plain, names[:3]))


def _give_up(state: State, reason: Reason, why: str) -> Decision:
    """Close the intent only while no delivery holds the secret: else it is the source, or has to be put right."""
    return give_up(state, reason, why, close=not holds(state, carried(state)))


PROOF: Chain = (
    when(planned, try_live),
    try_new,
    refused,
    when(planned, unproven),
    when(planned, denied),
    when(planned, other_models),
)
"""Before anyone gets it: the new secret must be accepted, for what the live one is accepted."""


def try_delivered(state: State) -> Decision | None:
    """Try the new live secret once everyone has it."""
    return Check(carried(state), Purpose.FRESH) if verdict(state, carried(state)) is None else None


def try_replaced(state: State) -> Decision | None:
    """With `in-place`: try whether the old secret, accepted before, is refused now."""
    record = record_of(state)
    old = record.live_digest if intent_of(state).slot is record.live else None
    known = old is not None and old in state.observed.in_hand and verdict(state, old) is Verdict.ACCEPTED
    return Check(old, Purpose.OLD) if old and known and not state.run.attempt.proof else None


def second_opinion(state: State) -> Decision | None:
    """If a delivery holds the refused secret, the live one must be accepted, or the API may be failing."""
    known = known_secret(state)
    if known is None or not known_in_hand(state) or not protects(state) or not holds(state, known):
        return None
    record = record_of(state)
    live = record.live_digest
    if live and live not in state.observed.in_hand and live not in state.run.looked_back:
        slot = record.slot(record.live)
        return LookBack(tuple((item.delivery, item.version) for item in slot.held_in) if slot else (), live)
    if live and live in state.observed.in_hand and verdict(state, live) is None:
        return Check(live, Purpose.LIVE)
    if verdict(state, live) is Verdict.ACCEPTED or state.options.verify:
        return None
    why = "the API refuses the delivered secret, and no other one is known to be accepted"
    return give_up(state, Reason.REFUSED, why)
