"""What only one resource of a program may have. Imports nothing of keyturn.

The engine has each resource checked by itself, so the rules of a manifest never see two of them. What they say is
compared as it is written.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pulumi_keyturn import inputs
from pulumi_keyturn.inputs import Props


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a resource claims: a part of something, or the whole where `part` is empty; and the words for it."""

    what: tuple[str, ...]
    input: str
    thing: str
    part: str = ""


class Once:
    """Who has what; thread-safe."""

    def __init__(self) -> None:
        """Start with nothing declared."""
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, ...], dict[str, str]] = {}
        self._keys: set[str] = set()

    def declare(self, props: Props) -> list[str]:
        """Take note of a resource's inputs, `key` among them; return what another one of this run has already.

        The same resource may come again: the engine checks twice what it replaces.
        """
        who = inputs.owner(props)
        found = []
        with self._lock:
            self._keys.add(str(props["key"]))
            for claim in _claims(props):
                parts = self._taken.setdefault(claim.what, {})
                others = (parts[part] for part in parts if "" in {part, claim.part} or part == claim.part)
                other = next((owner for owner in others if owner != who), None)
                if other:
                    both = f"two resources of this program have {claim.thing}, the other is {other}"
                    found.append(f"{claim.input}: {both}; give one of them another")
                else:
                    parts[claim.part] = who
        return found

    def has(self, key: str) -> bool:
        """Tell whether a resource of this run's program has this key: whoever deletes it means another resource."""
        with self._lock:
            return key in self._keys


def _claims(props: Props) -> Iterator[_Claim]:
    """Return what a resource claims, without what is unknown yet or makes no sense: that is told elsewhere."""
    key, adopt, rotation = props["key"], _mapping(props.get("adopt")), _mapping(props.get("rotation"))
    if isinstance(key, str):
        yield _Claim(("key", key), "key", f"the key {key!r}")
    name = props.get("name") or key
    for slot in ("", "-a", "-b") if rotation.get("strategy") == "alternating" else ("",):
        if isinstance(name, str):
            yield _Claim(("name", name + slot), "name", f"the API key {name + slot!r}")
    for slot in "ab":
        if isinstance(uuid := adopt.get(slot), str) and uuid:
            yield _Claim(("uuid", uuid), f"adopt.{slot}", f"the API key {uuid}")
    targets, places = _mapping(props.get("targets")), props.get("deliver")
    for index, item in enumerate(places if isinstance(places, list) else []):
        place = _mapping(item)
        settings = {name: value for name, value in _mapping(targets.get(place.get("target"))).items() if name != "auth"}
        path, field = place.get("path"), place.get("field") or ""
        if settings and isinstance(path, str) and isinstance(field, str) and not inputs.unknown(settings):
            thing = f"the delivery {place['target']}:{path}" + (f"#{field}" if field else "")
            where = json.dumps(settings, sort_keys=True)
            yield _Claim(("delivery", where, path), f"deliver[{index}]", thing, field)


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}
