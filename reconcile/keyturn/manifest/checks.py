"""PURE: checks across fields: combinations that do not fit together, and names that may occur only once."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from keyturn.core.model import LONGEST_FREEZE, Freeze
from keyturn.core.schedule import thawed
from keyturn.manifest.durations import show_duration
from keyturn.manifest.mistakes import Path, suggest
from keyturn.manifest.reading import LOCAL, Reading
from keyturn.manifest.schema import DeliverEntry, KeyEntry


def check(reading: Reading) -> None:
    """Note all combinations in one manifest that do not fit together."""
    _check_timing(reading)
    _check_freezes(reading)
    for key, entry in reading.present():
        if reading.mistakes.full:
            return
        path: Path = ("keys", key)
        _check_rotation(reading, path, entry)
        _check_smoke(reading, path, entry)
        _check_adopt(reading, path, entry)
        _check_deliveries(reading, key, entry)
    _check_pools(reading)
    _check_moves(reading)


def _check_moves(reading: Reading) -> None:
    """Note each id that a key had before and that still has an entry, or from which two keys were moved."""
    first: dict[str, str] = {}
    for key, entry in reading.model.keys.items():
        old = entry.moved.origin if entry.moved else ""
        path: Path = ("keys", key, "moved", "from")
        if old in reading.model.keys:
            reading.mistake(path, f"the id {old!r} still has an entry; remove it, or remove `moved`")
        elif old and first.setdefault(old, key) != key:
            reading.mistake(path, f"the key {first[old]!r} was moved from {old!r} too; only one has its record")


def _check_freezes(reading: Reading) -> None:
    """Note each freeze that ends before it begins, or that is so long that its year must be wrong."""
    freezes = tuple(Freeze(one.since, one.until, one.reason) for one in reading.model.freeze)
    for number, freeze in enumerate(freezes) if reading.good(("freeze",)) else ():
        path: Path = ("freeze", number, "until")
        if freeze.until <= freeze.since:
            reading.mistake(path, "must be later than `from`")
        elif freeze.until - freeze.since > LONGEST_FREEZE:
            reading.mistake(path, "must be at most 366 days after `from`; check the year")
        elif thawed(freezes, freeze.since) - freeze.since > LONGEST_FREEZE:
            reading.mistake(path, "with the freezes that follow without a gap, it lasts more than 366 days")


def _check_pools(reading: Reading) -> None:
    """Note each API name that starts with the prefix of a pool: the key would count as a spare."""
    pools = {entry.pool.prefix for _, entry in reading.present() if entry.pool}
    for key, entry in reading.present() if pools else ():
        starts = {name[:length] for name in _api_names(reading, key, entry) for length in range(1, len(name) + 1)}
        for prefix in sorted(starts & pools):
            text = f"starts with the prefix of the pool {prefix!r}, so it would count as a spare; choose another name"
            reading.mistake(("keys", key, "name"), text)


def check_once(readings: Sequence[Reading]) -> None:
    """Note each uuid, API name, delivery, key id or owner that occurs twice, in one file or across files."""
    first: dict[tuple[str, ...], _Taken] = {}
    for taken in (taken for reading in readings for taken in _all_taken(reading)):
        known = first.setdefault((taken.what, *taken.identity), taken)
        if known is not taken:
            taken.reading.mistake(taken.path, f"{taken.what} {_conflict(known, taken)}")
    _check_whole_values(readings)


class _Taken(NamedTuple):
    """A value that only one key may have."""

    what: str
    identity: tuple[str, ...]
    reading: Reading
    path: Path
    key: str = ""


def _conflict(known: _Taken, taken: _Taken) -> str:
    file = "" if known.reading is taken.reading else f"{known.reading.mistakes.file}:"
    line = known.reading.place(known.path).line
    of = f" by key {known.key}" if known.key else ""
    return f"is already used{of} at {file or 'line '}{line}; it can belong to only one"


def _all_taken(reading: Reading) -> Iterator[_Taken]:
    if reading.good(("name",)):
        yield _Taken("this owner name", (reading.model.name,), reading, ("name",))
    records = reading.records
    for key in reading.model.keys:
        if records is not None and records.target in reading.targets:
            place = reading.targets[records.target].home
            yield _Taken("this key id in the same records", (place, records.prefix, key), reading, ("keys", key), key)
    for key, entry in reading.present():
        path: Path = ("keys", key)
        for name in _api_names(reading, key, entry):
            yield _Taken(f"the API name {name}", (), reading, (*path, "name"), key)
        for slot, uuid in (("a", entry.adopt.a), ("b", entry.adopt.b)) if entry.adopt else ():
            if uuid:
                yield _Taken("this uuid", (uuid,), reading, (*path, "adopt", slot), key)
        for where, delivery in reading.deliveries(key, entry):
            if delivery.target in reading.targets:
                yield _Taken("this delivery", (*_spot(reading, delivery), delivery.field), reading, where, key)


def _spot(reading: Reading, delivery: DeliverEntry) -> tuple[str, str]:
    """Return the store and the path of a delivery; of a file its real place, whatever the folder of its target."""
    target = reading.targets[delivery.target]
    if target.type != "dotenv":
        return target.home, delivery.path
    root = dict(target.place).get("root", "")
    return target.type, posixpath.normpath(posixpath.join(root, delivery.path))


def _api_names(reading: Reading, key: str, entry: KeyEntry) -> tuple[str, ...]:
    if not reading.good(("keys", key, "name")):
        return ()
    name = entry.name or key
    return (name, f"{name}-a", f"{name}-b") if entry.rotation.strategy == "alternating" else (name,)


def _check_whole_values(readings: Sequence[Reading]) -> None:
    fields: defaultdict[tuple[str, str], list[tuple[Reading, Path, str]]] = defaultdict(list)
    for reading in readings:
        for key, entry in reading.present():
            for path, delivery in reading.deliveries(key, entry):
                if delivery.target in reading.targets:
                    fields[_spot(reading, delivery)].append((reading, path, delivery.field))
    for deliveries in fields.values():
        if len(deliveries) > 1 and any(field for _, _, field in deliveries):
            for reading, path, field in deliveries:
                if not field:
                    text = "uses the whole value of a path in which another delivery uses a field; set a field"
                    reading.mistake(path, text)


def _check_timing(reading: Reading) -> None:
    timing = reading.model.timing
    if not reading.good(("timing",)):
        return
    if timing.settle < timing.request:
        reading.mistake(
            ("timing", "settle"),
            f"settle ({show_duration(timing.settle)}) must be at least request ({show_duration(timing.request)})",
        )
    needed = timing.request + timing.settle
    if timing.lease < needed:
        reading.mistake(
            ("timing", "lease"),
            f"lease ({show_duration(timing.lease)}) must be at least request + settle ({show_duration(needed)})",
        )


def _check_rotation(reading: Reading, path: Path, entry: KeyEntry) -> None:
    rotation = entry.rotation
    path = (*path, "rotation")
    if rotation.every is None or not reading.good(path):
        return
    if rotation.strategy is None:
        text = "strategy is required with `every`: in-place (an outage until consumers reload) or alternating"
        reading.mistake((*path, "every"), text)
    if rotation.strategy == "alternating" and rotation.overlap >= rotation.every:
        written = reading.node((*path, "overlap")) is not None
        default = "" if written else ", the default"
        reading.mistake(
            (*path, "overlap") if written else (*path, "every"),
            f"overlap ({show_duration(rotation.overlap)}{default}) must be shorter than every "
            f"({show_duration(rotation.every)})",
        )


def _check_smoke(reading: Reading, path: Path, entry: KeyEntry) -> None:
    path = (*path, "smoke")
    if reading.good(path) and not entry.smoke.model and entry.smoke.origin != "skip":
        reading.mistake((*path, "model"), "is required unless `from: skip`; use a model that the key may use")


def _check_adopt(reading: Reading, path: Path, entry: KeyEntry) -> None:
    adopt = entry.adopt
    if adopt is None or not reading.good((*path, "rotation", "strategy")):
        return
    path = (*path, "adopt")
    if entry.rotation.strategy != "alternating":
        if adopt.b:
            reading.mistake((*path, "b"), "in-place has only slot a; remove b or use alternating")
        if adopt.live == "b":
            reading.mistake((*path, "live"), "in-place has only slot a; remove live or use alternating")
    elif adopt.secret == "existing" and adopt.a and adopt.b and adopt.live is None:
        text = "is required with two keys and `secret: existing`: the API does not show which secret is in use (a or b)"
        reading.mistake((*path, "live"), text)


def _check_deliveries(reading: Reading, key: str, entry: KeyEntry) -> None:
    path: Path = ("keys", key, "deliver")
    if not entry.deliver and reading.good(path):
        reading.mistake(path, "at least one delivery is required, unless `state: absent`")
    records = reading.records
    for where, delivery in reading.deliveries(key, entry):
        if reading.mistakes.full:
            return
        if delivery.target not in reading.model.targets:
            if reading.misses("targets", delivery.target):
                known = sorted(reading.model.targets)
                reading.mistake((*where, "target"), f"there is no such target; {suggest(delivery.target, known)}")
            continue
        target = reading.targets.get(delivery.target)
        if target is None:
            continue
        capabilities = reading.capabilities[target.name]
        if not capabilities.deliveries:
            reading.mistake((*where, "target"), f"a target of type {target.type} cannot hold secrets")
        elif not delivery.field and not capabilities.whole_value:
            reading.mistake(where, f"field is required: a target of type {target.type} has no whole value")
        if records is None or records.target == LOCAL or records.target not in reading.targets:
            continue
        inside = f"{delivery.path}/".startswith(f"{records.prefix}/")
        if inside and target.home == reading.targets[records.target].home:
            reading.mistake(
                (*where, "path"), f"is below the prefix of the records ({records.prefix}); use another path"
            )
