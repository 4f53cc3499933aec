"""What a chain is made of: policies, and branches into other chains.

A policy is a function of the state: it decides, or returns None, and the next one is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keyturn.core.state import State
from keyturn.core.steps import Decision

Policy = Callable[[State], Decision | None]
Condition = Callable[[State], bool]


@dataclass(frozen=True, slots=True)
class Branch:
    """The named chain is asked if the condition holds; if it decides nothing, the next link is asked."""

    chain: str
    when: Condition


@dataclass(frozen=True, slots=True)
class Conditional:
    """The policy is asked if the condition holds."""

    policy: Policy
    when: Condition


Link = Policy | Conditional | Branch
Chain = tuple[Link, ...]


def named(policy: Policy, name: str) -> Policy:
    """Give a policy that a factory made the name under which `explain` shows it."""
    policy.__name__ = name
    return policy


def name_of(policy: Policy) -> str:
    """Return `file.function`, such as `rotate.request`."""
    return f"{policy.__module__.rpartition('.')[2]}.{policy.__name__}"


def when(condition: Condition, policy: Policy) -> Conditional:
    """Ask the policy only if the condition holds."""
    return Conditional(policy, condition)
