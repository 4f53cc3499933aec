"""Policies that many chains share: what has to be read, waited for or given up before the next policy is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil

from keyturn.core.machine.deliveries import LOGIN
from keyturn.core.machine.facts import found, record_of
from keyturn.core.machine.parking import give_up
from keyturn.core.machine.policy import Policy, named
from keyturn.core.model import Delivery
from keyturn.core.reasons import Reason
from keyturn.core.record import Op
from keyturn.core.state import State
from keyturn.core.steps import Decision, Look, Relist, Wait

OWNERSHIP = 4
"""The exit code of an error about whose something is."""


def failed(reason: Reason) -> Policy:
    """End if an effect failed. A definite no closes the intent, but only one that this pass wrote.

    The intent of a delete stays open: part of it may have happened, and its nonce may be the only trace of a create. So
    does one that takes a spare: it has to be renamed before its secret is made.
    """

    def failed(state: State) -> Decision | None:
        attempt, intent = state.run.attempt, record_of(state).intent
        if attempt.trouble is None:
            return None
        whole = intent is not None and ((intent.op is Op.DELETE and intent.slot is None) or intent.spare != "")
        close = attempt.trouble.definite and not attempt.found and intent is not None and not whole
        told = {LOGIN: Reason.LOGIN_REFUSED, OWNERSHIP: Reason.STOPPED}.get(attempt.trouble.exit_code, reason)
        return give_up(state, told, attempt.trouble.why, close=close)

    return named(failed, f"failed({reason.value})")


def landed(state: State) -> Decision | None:
    """Wait until nothing that was sent can still take effect."""
    left, run = state.run.unsettled_until - state.clock.uptime, state.run
    if left <= 0:
        return None
    answer = f" ({run.unclear})" if run.unclear and run.attempt.minted is None else ""
    why = f"waits {ceil(left)} s: a request had no clear answer{answer}, and may still take effect until then"
    return Wait(left, why)


def settled(state: State) -> Decision | None:
    """If the intent was found, wait until nothing that was sent under it can still take effect (rule 2)."""
    return landed(state) if found(state) else None


def relisted(state: State) -> Decision | None:
    """List the API keys again: one list proves nothing."""
    return None if state.observed.relisted else Relist()


def seen(deliveries: Callable[[State], Iterable[Delivery]]) -> Policy:
    """Read the deliveries that have not been read yet."""

    def seen(state: State) -> Decision | None:
        unread = tuple(item for item in deliveries(state) if item not in state.observed.readings)
        return Look(unread) if unread else None

    return named(seen, f"seen({deliveries.__name__})")
