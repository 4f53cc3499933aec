"""PURE: an app of App Platform, its deployments by the clock, and the variables that its components run with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

ENDS: Final = ("ACTIVE", "ERROR", "CANCELED")
"""How a deployment can end by itself."""
STEPS: Final = (("PENDING_BUILD", 0.1), ("BUILDING", 0.5), ("PENDING_DEPLOY", 0.6), ("DEPLOYING", 1.0))
"""The phases before the end, each with the part of the whole time at which it is over."""
COMPONENTS: Final = ("services", "workers", "jobs", "static_sites", "functions")
"""Kinds of components that have variables."""
SECRET: Final = "SECRET"
AT_RUN_TIME: Final = frozenset({"", "UNSET", "RUN_TIME", "RUN_AND_BUILD_TIME"})

Spec = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a spec: it takes `seconds` from `created_at` (Unix seconds), and ends as one of ENDS."""

    id: str
    spec: Spec = field(repr=False)
    created_at: float
    seconds: float = 0.0
    end: str = "ACTIVE"

    @property
    def ends_at(self) -> float:
        """When it ends, unless a later one supersedes it."""
        return self.created_at + self.seconds

    def step(self, now: float) -> tuple[str, float]:
        """Return the phase and since when, as if there were no other deployment."""
        since = self.created_at
        for phase, part in STEPS:
            until = self.created_at + part * self.seconds
            if now < until:
                return phase, since
            since = until
        return self.end, self.ends_at


@dataclass(frozen=True, slots=True)
class App:
    """An app. In its spec, each secret variable is an EV string. Deployments are in the order of their creation."""

    id: str
    spec: Spec = field(repr=False)
    created_at: float
    updated_at: float
    team: str
    deployments: tuple[Deployment, ...] = ()

    @property
    def name(self) -> str:
        """The name in the spec."""
        return str(self.spec["name"])

    def phases(self, now: float) -> Iterator[tuple[Deployment, str, float]]:
        """Yield each deployment with its phase and since when, oldest first.

        A deployment that is not over when the next one is created is superseded, and so is an active one when a later
        one is active.
        """
        active = self.active(now)
        for one, later in pairwise((*self.deployments, None)):
            assert one is not None  # noqa: S101 - only the last of a pair can be None
            phase, since = one.step(now)
            if later is not None and later.created_at < one.ends_at:
                yield one, "SUPERSEDED", later.created_at
            elif phase == "ACTIVE" and active is not one and active is not None:
                yield one, "SUPERSEDED", active.ends_at
            else:
                yield one, phase, since

    def active(self, now: float) -> Deployment | None:
        """Return the deployment that the app runs with; None before the first one is active."""
        found = None
        for one, later in pairwise((*self.deployments, None)):
            if one is not None and one.step(now)[0] == "ACTIVE" and (later is None or later.created_at >= one.ends_at):
                found = one
        return found


def variables(spec: Spec, component: str, opened: Mapping[str, str]) -> dict[str, str]:
    """Return what a component gets as its environment: the app's variables, then its own over them.

    `opened` has the plain text of each EV string. Raises ValueError if there is no such component.
    """
    found = [item for item in components(spec) if item.get("name") == component]
    if component and not found:
        raise ValueError(f"no such component: {component}")
    merged: dict[str, str] = {}
    for part in (spec, *found):
        for one in envs(part):
            if str(one.get("scope", "")) in AT_RUN_TIME:
                value = str(one.get("value", ""))
                merged[str(one["key"])] = opened.get(value, value) if one.get("type") == SECRET else value
    return merged


def components(spec: Spec) -> Iterator[dict[str, object]]:
    """Yield the components of a spec that have variables."""
    for kind in COMPONENTS:
        yield from objects(spec.get(kind))


def envs(part: Mapping[str, object]) -> Iterator[dict[str, object]]:
    """Yield the variables of a spec or of a component."""
    return objects(part.get("envs"))


def objects(value: object) -> Iterator[dict[str, object]]:
    """Yield the objects in a list; nothing if it is no list."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
