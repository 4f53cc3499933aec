"""Ready-made keys from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from keyturn.sandbox.state import TEAM


@dataclass(frozen=True, slots=True)
class ReadyKey:
    """A key as an operator creates it in the control panel. A `count` above 1 creates `name-1`, `name-2` and so on."""

    name: str
    models: tuple[str, ...] | None = None
    vpc: bool = False
    count: int = 1
    team: str = TEAM

    def names(self) -> tuple[str, ...]:
        """Yield the name of each key."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{n}" for n in range(1, self.count + 1))


def ready_key(options: object) -> ReadyKey:
    """Read `{name, models, vpc, count, team}`. Raises ValueError. Missing or null `models` means all."""
    if not isinstance(options, Mapping) or set(options) - {field.name for field in fields(ReadyKey)}:
        raise ValueError("expected an object with name and optionally models, vpc, count, team")
    name, models = options.get("name"), options.get("models")
    vpc, count, team = options.get("vpc", False), options.get("count", 1), options.get("team", TEAM)
    if not isinstance(name, str) or not name.strip():
        raise ValueError("name: expected text")
    if models is not None and (not isinstance(models, list) or not all(isinstance(model, str) for model in models)):
        raise ValueError("models: expected a list of model ids")
    if not isinstance(vpc, bool):
        raise ValueError("vpc: expected true or false")  # every wrong field is a ValueError here
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ValueError("count: expected a whole number above 0")
    if not isinstance(team, str) or not team.strip():
        raise ValueError("team: expected text")
    return ReadyKey(name, None if models is None else tuple(models), vpc, count, team)


def load_keys(path: Path) -> tuple[ReadyKey, ...]:
    """Read a JSON or YAML list of keys. Raises OSError, or ValueError with the item."""
    try:
        items: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ValueError(f"{path}: neither JSON nor YAML") from None
    if not isinstance(items, Sequence) or isinstance(items, str):
        raise ValueError(f"{path}: expected a list of keys")  # as above
    keys = []
    for number, item in enumerate(items, 1):
        try:
            keys.append(ready_key(item))
        except ValueError as wrong:
            raise ValueError(f"{path}: item {number}: {wrong}") from None
    return tuple(keys)
