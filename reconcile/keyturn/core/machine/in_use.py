"""Wanted deliveries that hold a value of another origin: a field in use stays in use."""

from __future__ import annotations

from keyturn.core.machine.deliveries import foreign, nowhere
from keyturn.core.machine.facts import unjudged, verdict
from keyturn.core.model import Delivery, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.core.state import State
from keyturn.core.steps import Check, Decision, Purpose


def in_use(state: State) -> Decision | None:
    """Stop at a wanted delivery that holds a value of another origin: consent to an API key is none to its field."""
    others = foreign(state)
    return field_in_use(state, others[0]) if others else None


def all_in_use(state: State) -> Decision | None:
    """Stop before a mint whose secret could be delivered nowhere."""
    return in_use(state) if nowhere(state) else None


def try_found(state: State) -> Decision | None:
    """Try what looks like a key: an operator who asked for the adoption may replace a secret that the API accepts."""
    return next((Check(digest, Purpose.ADOPT) for digest in _found(state) if verdict(state, digest) is None), None)


def in_doubt(state: State) -> Decision | None:
    """Stop at a delivery whose value is not known to be a secret of this account."""
    readings = state.observed.readings
    for item in foreign(state):
        digest = readings[item].digest or ""
        if readings[item].unlike or verdict(state, digest) is Verdict.REFUSED:
            return field_in_use(state, item)
        if unjudged(state, digest):
            result = state.observed.verdicts[digest]
            return End(Reason.of(result.verdict.value), f"{item} holds a secret that is {result.facts}")
    return None


def _found(state: State) -> list[str]:
    """Return the digests of what foreign deliveries hold, as far as it looks like a key."""
    readings = (state.observed.readings[item] for item in foreign(state))
    return [reading.digest for reading in readings if reading.digest and not reading.unlike]


def field_in_use(state: State, delivery: Delivery) -> End:
    """Say that a delivery holds a value of another origin: any value, or what looks like a key of unknown records."""
    reading = state.observed.readings[delivery]
    if reading.account_token:
        return End(Reason.FIELD_IN_USE, f"{delivery} already holds a token of the account (dop_v1_…)")
    if reading.unlike:
        return End(Reason.FIELD_IN_USE, f"{delivery} already holds something that keyturn did not write")
    if verdict(state, reading.digest) is Verdict.REFUSED:
        return End(Reason.SECRET_IN_USE, f"{delivery} already holds a secret, which the API refuses")
    why = f"{delivery} already holds what looks like a model access key, and this key's records know nothing of it"
    return End(Reason.SECRET_IN_USE, f"{why}: they may be somewhere else")
