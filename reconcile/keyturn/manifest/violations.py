"""PURE: what in a manifest the operator's policy does not allow, each with its place in both files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path as FilePath

from keyturn.core.errors import Mistake
from keyturn.core.model import (
    LONGEST_FREEZE,
    AdoptSecret,
    Desired,
    DesiredKey,
    Origin,
    Receiver,
    Strategy,
    TargetConfig,
)
from keyturn.core.permits import EXISTING, NO_CLEANING, SKIP, admits, delivers
from keyturn.core.schedule import thawed
from keyturn.manifest.durations import show_duration
from keyturn.manifest.mistakes import Mistakes, Path, Place
from keyturn.manifest.policy import Policy, Rule
from keyturn.manifest.schema import Kinds
from keyturn.targets.places import place_of

Violation = tuple[Path, str, str]
"""Where in the manifest, what is not allowed, and where the policy says so."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a check has to know besides the desired state.

    `base` is the manifest's directory. `at` returns the position of a path in `file`. `unsure`: targets that cannot be
    compared, because the environment lacks a variable of their settings.
    """

    kinds: Kinds
    base: FilePath
    file: str = ""
    at: Callable[[Path], Place] = lambda _: Place()
    unsure: Collection[str] = ()


def check(policy: Policy, desired: Desired, around: Surroundings) -> tuple[Mistake, ...]:
    """Return each violation of the policy, sorted by place. The desired state itself is valid."""
    mistakes = Mistakes(around.file)
    for path, text, rule in _violations(policy, desired, around):
        mistakes.add(around.at(path), path, f"{text} (policy: {rule})")
    return tuple(sorted(mistakes.found.values()))


def permitted(policy: Policy, desired: Desired) -> Desired:
    """Return the desired state with what the policy allows its runs. The policy names its owner."""
    rule = policy.rule(desired.owner)
    permit = rule.permit if rule else None
    most = rule.model.timing.freeze if rule else LONGEST_FREEZE
    freezes = tuple(replace(one, most=min(one.most, most)) for one in desired.freezes)
    keys = (replace(key, permit=permit, rotation=replace(key.rotation, freezes=freezes)) for key in desired.keys)
    return replace(desired, permit=permit, freezes=freezes, keys=tuple(keys))


def _violations(policy: Policy, desired: Desired, around: Surroundings) -> Iterator[Violation]:
    rule = policy.rule(desired.owner)
    if rule is None:
        yield ("name",), f"the policy names no owner {desired.owner!r}", policy.at("owners")
        return
    yield from _records(rule, desired)
    for target in desired.targets:
        if target.name not in around.unsure:
            yield from _target(rule, target, around)
    limit = rule.model.limits.rotations
    if desired.rotations_per_run > limit:
        path: Path = ("limits", "rotations_per_run")
        yield path, f"the policy allows at most {limit}", rule.at("limits", "rotations")
    yield from _times(rule, desired)
    for key in desired.keys:
        yield from _key(rule, key)
    for path, program in programs(desired):
        if program not in rule.model.commands:
            yield path, f"the policy does not allow the program {program}", rule.at("commands")
    for index, receiver in enumerate(desired.receivers):
        if not admits(rule.model.notify, told := address(receiver)):
            yield ("notify", index), f"the policy allows no receiver {told!r}", rule.at("notify")


def address(receiver: Receiver) -> str:
    """Return what a policy calls a receiver: its URL if the manifest has one, which decides where notices go."""
    return receiver.url or receiver.name


def programs(desired: Desired) -> Iterator[tuple[Path, str]]:
    """Yield each program that a hook or a receiver would run, and where the manifest names it."""
    for index, receiver in enumerate(desired.receivers):
        if receiver.command:
            yield ("notify", index, "command"), receiver.command[0]
    for key in desired.keys:
        if key.hook:
            yield ("keys", key.id, "after_delivery", "command"), key.hook.command[0]


def _records(rule: Rule, desired: Desired) -> Iterator[Violation]:
    # That a target of this name is the same place is checked with the targets.
    records, asked = rule.model.records, desired.records
    if asked.target != records.target:
        text = f"the policy keeps the records in {records.target!r}, not in {asked.target!r}"
        yield ("records", "target"), text, rule.at("records", "target")
    if asked.prefix != records.prefix:
        text = f"the policy keeps the records below {records.prefix!r}, not below {asked.prefix!r}"
        yield ("records", "prefix"), text, rule.at("records", "prefix")


def _times(rule: Rule, desired: Desired) -> Iterator[Violation]:
    for name in ("settle", "lease", "request"):
        least: timedelta = getattr(rule.model.timing, name)
        if getattr(desired.timing, name) < least.total_seconds():
            yield ("timing", name), f"the policy allows no less than {show_duration(least)}", rule.at("timing", name)
    for index, freeze in enumerate(desired.freezes):
        if thawed(desired.freezes, freeze.since) - freeze.since > rule.model.timing.freeze:
            text = f"the policy allows no freeze of more than {show_duration(rule.model.timing.freeze)}"
            yield ("freeze", index), text, rule.at("timing", "freeze")


def _target(rule: Rule, target: TargetConfig, around: Surroundings) -> Iterator[Violation]:
    path: Path = ("targets", target.name)
    if target.name not in rule.model.targets:
        yield path, "the policy names no target of this name", rule.at("targets")
        return
    where = ("targets", target.name)
    kind = rule.model.targets[target.name].type
    allowed = rule.place(target.name, around.kinds, around.base) if kind == target.type else None
    if allowed is None:
        yield (*path, "type"), f"the policy wants the type {kind!r}", rule.at(*where, "type")
        return
    wanted = dict(allowed)
    found = dict(place_of(around.kinds[kind].settings_model.model_validate(dict(target.settings)), around.base))
    for setting in sorted(wanted.keys() | found.keys()):
        if wanted.get(setting) != found.get(setting):
            parts = setting.split(".")
            yield (*path, *parts), "is not what the policy names for this target", rule.at(*where, *parts)


def _key(rule: Rule, key: DesiredKey) -> Iterator[Violation]:
    path: Path = ("keys", key.id)
    for name in api_names(key):
        if not admits(rule.model.names, name):
            yield (*path, "name"), f"the API key name {name!r} matches no pattern of the policy", rule.at("names")
    if key.pool and not admits(rule.model.names, f"{key.pool.prefix}*"):
        text = f"no pattern of the policy admits every name that starts with {key.pool.prefix!r}"
        yield (*path, "pool", "prefix"), text, rule.at("names")
    for index, delivery in enumerate(key.deliveries):
        if not delivers(rule.model.deliver, f"{delivery.target}:{delivery.path}", delivery.field):
            text = f"the delivery {delivery} matches no pattern of the policy"
            yield (*path, "deliver", index), text, rule.at("deliver")
    if key.rotation.strategy is Strategy.ALTERNATING and key.rotation.overlap < rule.model.timing.overlap:
        text = f"the policy allows no less than {show_duration(rule.model.timing.overlap)}"
        yield (*path, "rotation", "overlap"), text, rule.at("timing", "overlap")
    every, least = key.rotation.every, rule.model.timing.every
    if every and least and every < least:
        text = f"the policy allows no less than {show_duration(least)}"
        yield (*path, "rotation", "every"), text, rule.at("timing", "every")
    for word, where in needed(key):
        if word not in rule.model.allow:
            yield (*path, *where), f"the policy does not allow {word!r}", rule.at("allow")


def api_names(key: DesiredKey) -> tuple[str, ...]:
    """Return the names of the API keys of an entry."""
    alternating = key.rotation.strategy is Strategy.ALTERNATING
    return (f"{key.name}-a", f"{key.name}-b") if alternating else (key.name,)


def needed(key: DesiredKey) -> Iterator[tuple[str, Path]]:
    """Yield what of `allow` the entry needs, and which field needs it."""
    if key.adopt and key.adopt.secret is AdoptSecret.EXISTING:
        yield EXISTING, ("adopt", "secret")
    if key.smoke.origin is Origin.SKIP:
        yield SKIP, ("smoke", "from")
    if not key.clean_targets:
        yield NO_CLEANING, ("clean_targets",)
