"""Why a plan is what it is: for every decision of the dry run the policies asked, and the one that decided."""

from __future__ import annotations

from keyturn.core.machine import explain
from keyturn.core.model import DesiredKey
from keyturn.core.results import End, Explanation, KeyPlan, Options
from keyturn.core.state import State
from keyturn.core.steps import (
    Check,
    Decision,
    Deliver,
    Look,
    LookAround,
    LookBack,
    LookClaim,
    LookSource,
    Preflight,
    Relist,
    TellApart,
    Wait,
    WriteRecord,
)
from keyturn.core.world import World
from keyturn.engine.planning import plan_key


def explain_key(world: World, desired: DesiredKey, options: Options) -> tuple[KeyPlan, tuple[Explanation, ...]]:
    """Plan one key, and explain every decision in its order; the last one is the end. Nothing is written.

    Nothing is explained if an error stopped the plan before its first decision: then the end of the plan says why.
    """
    decisions: list[Explanation] = []

    def trace(state: State) -> None:
        explained = explain(state)
        kind = type(explained.decision).__name__
        decisions.append(Explanation(kind, sentence(explained.decision), explained.asked))

    return plan_key(world, desired, options, trace).plan, tuple(decisions)


def sentence(decision: Decision) -> str:
    """Say what a decision is about; a read has no sentence of its own in the plan."""
    match decision:
        case End(why=why) | Wait(why=why):
            return why
        case Look(deliveries) | Preflight(deliveries):
            verb = "reads" if isinstance(decision, Look) else "tries whether it can write"
            return f"{verb} {', '.join(map(str, deliveries)) or 'no delivery'}"
        case LookBack(held):
            return f"reads earlier versions of {', '.join(str(item) for item, _ in held) or 'no delivery'}"
        case TellApart(old, new):
            return f"finds out whether {old} is another name of {new}"
        case LookAround():
            return "reads the records of the other keys"
        case LookClaim(uuid):
            return f"reads the claim on the API key {uuid}"
        case LookSource(key):
            return f"reads the record of {key!r}"
        case Relist():
            return "lists the API keys again"
        case Check(purpose=purpose):
            return f"smoke-checks a secret ({purpose})"
        case WriteRecord(kind=kind, shown=None):
            return f"writes the record ({kind})"
        case Deliver(shown=shown):
            return "; ".join(item.why for item in shown) or "tries to deliver: no delivery can be read"
        case _:
            return decision.shown.why if decision.shown else ""
