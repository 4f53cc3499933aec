"""Ready-made keys from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class ReadyKey:
    """A key as a person makes it in the control panel; `count` above 1 makes `name-1`, `name-2` and so on."""

    name: str
    models: tuple[str, ...] | None = None
    vpc: bool = False
    count: int = 1

    def names(self) -> tuple[str, ...]:
        """Give the name of each key."""
        return (self.name,) if self.count == 1 else tuple(f"{self.name}-{n}" for n in range(1, self.count + 1))


def ready_key(options: object) -> ReadyKey:
    """Read `{name, models, vpc, count}`; ValueError says what is wrong. `models` left out or null means all."""
    if not isinstance(options, Mapping) or set(options) - {field.name for field in fields(ReadyKey)}:
        message = "expected an object with name and, as you like, models, vpc, count"
        raise ValueError(message)
    name, models = options.get("name"), options.get("models")
    vpc, count = options.get("vpc", False), options.get("count", 1)
    if not isinstance(name, str) or not name.strip():
        message = "name: expected text"
        raise ValueError(message)
    if models is not None and (not isinstance(models, list) or not all(isinstance(model, str) for model in models)):
        message = "models: expected a list of model ids"
        raise ValueError(message)
    if not isinstance(vpc, bool):
        message = "vpc: expected true or false"
        raise ValueError(message)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        message = "count: expected a whole number above 0"
        raise ValueError(message)
    return ReadyKey(name, None if models is None else tuple(models), vpc, count)


def load_keys(path: Path) -> tuple[ReadyKey, ...]:
    """Read a JSON or YAML list of keys; OSError, or ValueError that names the item."""
    try:
        items: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        message = f"{path}: neither JSON nor YAML"
        raise ValueError(message) from None
    if not isinstance(items, Sequence) or isinstance(items, str):
        message = f"{path}: expected a list of keys"
        raise ValueError(message)
    keys = []
    for number, item in enumerate(items, 1):
        try:
            keys.append(ready_key(item))
        except ValueError as wrong:
            message = f"{path}: item {number}: {wrong}"
            raise ValueError(message) from None
    return tuple(keys)
