"""PURE: the outcome of each step that a plan takes for granted. Reads are not assumed but made: see `planning`."""

from __future__ import annotations

from keyturn.core.effect import Effect, EffectState
from keyturn.core.model import SmokeResult, Verdict
from keyturn.core.state import Failed, Likeness, Reading, State
from keyturn.core.steps import (
    Check,
    Create,
    Deliver,
    Purpose,
    Regenerate,
    Remove,
    Step,
    TellApart,
    WriteRecord,
    WriteSource,
)
from keyturn.core.transition import Checked, Delivered, Done, Looked, Made, Outcome, Removed, Written


def assume(state: State, step: Step) -> Outcome:
    """Return the outcome that a plan takes for granted."""
    match step:
        case WriteRecord() | WriteSource():
            return Written(state.version, state.clock)
        case Create():
            # As the API has answered since May 2026; apply tries it all the same, and uses it if it works.
            return Failed("the API no longer creates keys", retired=True)
        case Regenerate():
            return Made(f"minted-{state.run.mints}")
        case Check(purpose=Purpose.OLD | Purpose.PASTED):
            # What was pasted is judged by apply. Until then the plan shows the larger change: a new secret.
            return Checked(SmokeResult(Verdict.REFUSED), assumed=True)
        case Check():
            return Checked(SmokeResult(Verdict.ACCEPTED), assumed=True)
        case Deliver(digest=digest):
            before = state.observed.readings
            return Delivered(assumed={item: _held(before[item], digest) for item in step.deliveries})
        case Remove():
            return Removed(assumed=True)
        case TellApart(old, new):
            return Looked(likeness={(old, new): Likeness(same=False, assumed=True)})
        case _:
            return Done()


def _held(before: Reading, digest: str) -> Reading:
    """Return what a place holds after a write; what sets something off is not in use before that has worked."""
    after = before.consequence
    effect = Effect(EffectState.PENDING, after) if after else Effect()
    return Reading(digest, marked=before.marked, effect=effect, consequence=after)
