"""Which secret the open `create` or `rotate` can deliver: the source of all its deliveries."""

from __future__ import annotations

from keyturn.core.machine.facts import found, intent_of, protects, verdict
from keyturn.core.model import Verdict
from keyturn.core.state import State

MAX_MINTS = 3
"""How many mints of one run may be without a clear answer, or replace a refused secret."""


def known_secret(state: State) -> str | None:
    """Return the digest of the secret that was minted last under the open intent, as far as this run knows."""
    return state.run.attempt.minted or intent_of(state).digest


def known_in_hand(state: State) -> bool:
    """Tell whether this run has that secret itself, from its mint or from a delivery."""
    return known_secret(state) in state.observed.in_hand


def ready_secret(state: State) -> str | None:
    """Return the digest of the secret to deliver, None if there is none: then another one is minted.

    It is the one that was minted last, or else the one that the intent names; in hand, and not found dead.
    """
    for digest in (known_secret(state), intent_of(state).digest):
        if digest is not None and digest in state.observed.in_hand and not superseded(state, digest):
            return digest
    return None


def superseded(state: State, digest: str) -> bool:
    """Tell whether a secret that another pass minted, or that a late mint may have killed, was found dead."""
    if verdict(state, digest) is not Verdict.REFUSED or state.run.mints >= MAX_MINTS:
        return False
    return state.run.attempt.minted is None or (found(state) and not protects(state))


def ready(state: State) -> bool:
    """Tell whether the secret that was minted last can be delivered."""
    known = known_secret(state)
    return known is not None and known_in_hand(state) and not superseded(state, known)


def standby_ready(state: State) -> bool:
    """Tell whether a standby's secret can be delivered once it is proven."""
    return ready(state) and protects(state)


def live_ready(state: State) -> bool:
    """Tell whether a live secret can be delivered: at once, since the old one is dead."""
    return ready(state) and not protects(state)


def noted_ready(state: State) -> bool:
    """Tell whether the intent names a secret that can be delivered although the one minted last was found dead."""
    return ready_secret(state) is not None
