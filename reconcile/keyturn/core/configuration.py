"""PURE: what the keys of a manifest have in common: targets, records and timing. A plan shows and binds it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from keyturn.core.model import Desired, RecordsConfig, Timing


@dataclass(frozen=True, slots=True)
class TargetPlace:
    """A target of a plan: `place` as in `TargetConfig`, and `digest`, which also covers the values of variables."""

    name: str
    type: str
    place: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All targets of a manifest, the place of its records, and its timing in seconds."""

    targets: tuple[TargetPlace, ...]
    records: RecordsConfig
    timing: Timing = Timing()

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of all of it."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def configuration(desired: Desired) -> Configuration:
    """Return the configuration of a manifest."""
    targets = (TargetPlace(one.name, one.type, dict(one.place), one.digest) for one in desired.targets)
    return Configuration(tuple(targets), desired.records, desired.timing)


def differences(old: Configuration, new: Configuration) -> Iterator[str]:
    """Yield what differs, one sentence per setting, without the values of variables."""
    before, after = ({target.name: target for target in one.targets} for one in (old, new))
    for name in sorted({*before, *after}):
        if name not in after:
            yield f"the target {name} is gone"
        elif name not in before:
            yield f"the target {name} is new"
        elif before[name] != after[name]:
            was, now = ({"type": one[name].type, **one[name].place} for one in (before, after))
            told = list(_changed(f"the target {name}", was, now))
            yield from told or [f"the target {name}: the value of a variable changed"]
    yield from _changed("the records", dataclasses.asdict(old.records), dataclasses.asdict(new.records))
    yield from _changed("timing", dataclasses.asdict(old.timing), dataclasses.asdict(new.timing))


def _changed(what: str, was: Mapping[str, object], now: Mapping[str, object]) -> Iterator[str]:
    for name in [*was, *(name for name in now if name not in was)]:
        if was.get(name) != now.get(name):
            yield f"{what}: {name} was {was.get(name, 'not set')} and is {now.get(name, 'not set')}"
