"""Reads manifests: from YAML to the desired state, or to all mistakes at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from keyturn.core.errors import ManifestError, Mistake, PolicyError
from keyturn.core.model import (
    Adopt,
    AdoptSecret,
    Api,
    Delivery,
    Desired,
    DesiredKey,
    Freeze,
    Origin,
    Pool,
    RecordsConfig,
    Rotation,
    SlotName,
    Smoke,
    Strategy,
    TargetConfig,
    Timing,
    Window,
)
from keyturn.manifest.checks import check, check_once
from keyturn.manifest.digests import fingerprint
from keyturn.manifest.distrust import read_untrusted
from keyturn.manifest.explain import validate
from keyturn.manifest.mistakes import Mistakes, Path, Place, error_of, first_of, suggest
from keyturn.manifest.notify import hook_of, permit_all, read_receivers, unpermitted
from keyturn.manifest.reading import LOCAL, Reading
from keyturn.manifest.schema import AdoptEntry, Defaults, KeyEntry, Kinds, Manifest
from keyturn.manifest.sources import Source, expand, unreadable
from keyturn.manifest.targets import check_deliveries, read_targets
from keyturn.manifest.tree import LIMIT_BYTES, LIMIT_NODES, Entry, Fields, Node, from_plain, scalars
from keyturn.targets import registry
from keyturn.targets.base import Target

if TYPE_CHECKING:
    from keyturn.manifest.policy import Policy


@dataclass(frozen=True, eq=False)
class _Installed(Mapping[str, type[Target]]):
    """The installed kinds of target, for a manifest in directory `base`. Each is imported when it is looked up."""

    base: FilePath = FilePath()

    def __getitem__(self, kind: str) -> type[Target]:
        if kind not in registry.kinds():
            raise KeyError(kind)
        return registry.find(kind, self.base)

    def __iter__(self) -> Iterator[str]:
        return iter(registry.kinds())

    def __len__(self) -> int:
        return len(registry.kinds())


INSTALLED: Kinds = _Installed()
HERE = FilePath()


def load(path: FilePath, environment: Mapping[str, str], *, kinds: Kinds = INSTALLED) -> Desired:
    """Return the desired state of the manifest in file `path`.

    `environment` holds `${KEYTURN_…}` and the origins of credentials.

    Raises:
        ManifestError: all mistakes of the file, or that it cannot be read.
    """
    return _finish([_read_file(path, environment, kinds)])[0]


def load_all(
    sources: FilePath | Sequence[Source],
    environment: Mapping[str, str],
    *,
    kinds: Kinds = INSTALLED,
    policy: Policy | None = None,
) -> tuple[Desired, ...]:
    """Return the desired state of each manifest in these files and directories, in their order.

    Raises:
        InputError: a manifest is named twice.
        ManifestError: all mistakes of all files, including names that may occur only once across files.
        PolicyError: all that the policy does not allow.
    """
    readings, mistakes = _read_files(sources, environment, kinds)
    return _finish(readings, mistakes, policy)


@dataclass(frozen=True, slots=True)
class Checked:
    """Manifests without a mistake, and the settings that the environment lacks to open their targets."""

    manifests: tuple[Desired, ...]
    unsure: tuple[Mistake, ...]


def check_all(
    sources: FilePath | Sequence[Source],
    environment: Mapping[str, str],
    *,
    kinds: Kinds = INSTALLED,
    policy: Policy | None = None,
) -> Checked:
    """Read manifests like `load_all`, but do not count a setting that `environment` lacks as a mistake.

    Raises:
        InputError: a manifest is named twice.
        ManifestError: all mistakes of all files, except those that another environment would fix.
        PolicyError: all that the policy does not allow, without the targets whose settings the environment lacks.
    """
    readings, mistakes = _read_files(sources, environment, kinds, offline=True)
    manifests = _finish(readings, mistakes, policy)
    return Checked(manifests, tuple(sorted(one for each in readings for one in each.mistakes.unsure.values())))


def load_text(
    source: str | bytes,
    file_name: str,
    environment: Mapping[str, str],
    *,
    kinds: Kinds = INSTALLED,
    base: FilePath = HERE,
) -> Desired:
    """Return the desired state of the manifest in `source`, as if it were the file `file_name` in directory `base`.

    Raises ManifestError like `load`.
    """
    mistakes = Mistakes(file_name)
    return _finish([_read(_tree(source, mistakes), mistakes, environment, kinds, base)])[0]


def load_data(
    data: Mapping[str, object],
    name: str,
    environment: Mapping[str, str],
    *,
    kinds: Kinds = INSTALLED,
    base: FilePath = HERE,
) -> Desired:
    """Return the desired state of a manifest given as plain data, by the same rules. Its mistakes have no line.

    Its relative paths are relative to the directory `base`.

    Raises:
        ManifestError: all mistakes.
    """
    tree = from_plain(data)
    assert isinstance(tree, Fields)  # noqa: S101  (a mapping makes Fields)
    return _finish([_read(tree, Mistakes(name), environment, kinds, base)])[0]


def _read_files(
    sources: FilePath | Sequence[Source], environment: Mapping[str, str], kinds: Kinds, *, offline: bool = False
) -> tuple[list[Reading], list[Mistake]]:
    """Read all manifests. Of several, also return the mistakes of those that cannot be read at all."""
    files = expand(sources)
    if len(files) == 1:
        return [_read_source(files[0], environment, kinds, offline=offline)], []
    readings: list[Reading] = []
    mistakes: list[Mistake] = []
    for file in files:
        try:
            readings.append(_read_source(file, environment, kinds, offline=offline))
        except ManifestError as error:
            mistakes.extend(error.mistakes)
    return readings, mistakes


def _read_source(source: Source, environment: Mapping[str, str], kinds: Kinds, *, offline: bool = False) -> Reading:
    if isinstance(source, FilePath):
        return _read_file(source, environment, kinds, offline=offline)
    mistakes = Mistakes(source.name, offline=offline)
    there = _Installed(source.base) if kinds is INSTALLED else kinds
    return _read(_tree(source.content, mistakes), mistakes, environment, there, source.base)


def _tree(source: str | bytes, mistakes: Mistakes) -> Fields:
    """Return the tree of a file. The library for YAML is imported only now: plain data does not need it."""
    from keyturn.manifest.yaml_text import parse

    return parse(source, mistakes)


def _read_file(path: FilePath, environment: Mapping[str, str], kinds: Kinds, *, offline: bool = False) -> Reading:
    try:
        with path.open("rb") as file:
            source = file.read(LIMIT_BYTES + 1)
    except FileNotFoundError:
        text = "there is no such file; `keyturn init` creates a starter"
        raise ManifestError([Mistake(str(path), 0, 0, "", text)]) from None
    except IsADirectoryError:
        text = "this is a directory; use one of its manifests"
        raise ManifestError([Mistake(str(path), 0, 0, "", text)]) from None
    except OSError as error:
        raise unreadable(path, error) from None
    mistakes = Mistakes(str(path), offline=offline)
    there = _Installed(path.parent) if kinds is INSTALLED else kinds
    return _read(_tree(source, mistakes), mistakes, environment, there, path.parent)


def _finish(
    readings: Sequence[Reading],
    mistakes: Sequence[Mistake] = (),
    policy: Policy | None = None,
) -> tuple[Desired, ...]:
    check_once(readings)
    found = [*mistakes, *(mistake for reading in readings for mistake in reading.mistakes.found.values())]
    if found:
        raise error_of(found, sum(len(reading.mistakes.others) for reading in readings))
    manifests = tuple(_desired(reading) for reading in readings)
    return _permitted(readings, manifests, policy) if policy else manifests


def _permitted(readings: Sequence[Reading], manifests: Sequence[Desired], policy: Policy) -> tuple[Desired, ...]:
    """Return the manifests with what the policy allows them. Raises PolicyError."""
    from keyturn.manifest import violations

    found: list[Mistake] = []
    for reading, desired in zip(readings, manifests, strict=True):
        unsure = {str(path[1]) for path in reading.mistakes.settled if path[:1] == ("targets",)}
        around = violations.Surroundings(reading.kinds, reading.base, reading.mistakes.file, reading.place, unsure)
        found += violations.check(policy, desired, around)
    if found:
        raise PolicyError(first_of(found, "violations"))
    return tuple(permit_all(violations.permitted(policy, desired)) for desired in manifests)


def _read(tree: Fields, mistakes: Mistakes, environment: Mapping[str, str], kinds: Kinds, base: FilePath) -> Reading:
    root = _with_defaults(read_untrusted(tree, environment, mistakes), mistakes)
    fallback = {"apiVersion": "keyturn/v1", "name": "-", "keys": {}}
    place = Place(min(root.place.line, 1), min(root.place.column, 1))
    model, bad = validate(Manifest, root, (), mistakes, place=place, fallback=fallback)
    if model is None or mistakes.full:
        raise mistakes.stop()
    reading = Reading(model, root, bad, mistakes, kinds, base)
    read_targets(reading, environment)
    _read_records(reading)
    read_receivers(reading, environment)
    check(reading)
    check_deliveries(reading, environment)
    return reading


def _with_defaults(root: Fields, mistakes: Mistakes) -> Fields:
    """Return the tree with `defaults` and `pool` merged into each key. Each value keeps its position.

    Raises ManifestError if that makes too many values.
    """
    keys = root.entries.get("keys")
    defaults = root.entries.get("defaults")
    if keys is None or not isinstance(keys.value, Fields):
        return root
    known = {name: entry for name, entry in root.entries.items() if name == "pool"}
    place = keys.value.place
    if defaults is not None and isinstance(defaults.value, Fields):
        known |= {name: entry for name, entry in defaults.value.entries.items() if name in Defaults.model_fields}
        place = defaults.value.place
    if not known:
        return root
    shared = Fields(known, place)
    if sum(1 for _ in scalars(shared)) * len(keys.value.entries) > LIMIT_NODES:
        mistakes.add(place, ("defaults",), "too many values (defaults count for each key)")
        raise mistakes.stop()
    merged = {
        key: Entry(key, entry.place, _merge(shared, entry.value) if isinstance(entry.value, Fields) else entry.value)
        for key, entry in keys.value.entries.items()
    }
    return Fields({**root.entries, "keys": Entry("keys", keys.place, Fields(merged, keys.value.place))}, root.place)


def _merge(below: Node, above: Node) -> Node:
    if not (isinstance(below, Fields) and isinstance(above, Fields)):
        return above
    entries = dict(below.entries)
    for name, entry in above.entries.items():
        under = below.entries.get(name)
        entries[name] = Entry(name, entry.place, _merge(under.value, entry.value)) if under else entry
    return Fields(entries, above.place)


def _read_records(reading: Reading) -> None:
    written = reading.model.records
    if written is None:
        _default_records(reading)
        return
    reading.records = RecordsConfig(written.target, written.prefix)
    path: Path = ("records", "target")
    if written.target == LOCAL:
        return
    target = reading.targets.get(written.target)
    if target is not None and not _holds_records(reading, target):
        text = f"a target of type {target.type} cannot compare and set, so it cannot hold records; `local` can"
        reading.mistake(path, text)
    elif reading.misses("targets", written.target):
        known = [LOCAL, *sorted(reading.model.targets)]
        reading.mistake(path, f"there is no such target; {suggest(written.target, known)}")


def _default_records(reading: Reading) -> None:
    for target in reading.targets.values():
        if _holds_records(reading, target) and reading.capabilities[target.name].shared:
            reading.records = RecordsConfig(target.name)
            return
    if reading.good(("targets",)) and reading.good(("records",)) and len(reading.targets) == len(reading.model.targets):
        text = "no target can hold records for all machines; add `records: {target: local}` to keep them on this one"
        reading.mistake(("targets",), text)


def _holds_records(reading: Reading, target: TargetConfig) -> bool:
    capabilities = reading.capabilities[target.name]
    return capabilities.compare_and_set and capabilities.documents


def _desired(reading: Reading) -> Desired:
    model = reading.model
    assert reading.records is not None  # noqa: S101  (its absence is a mistake)
    desired = Desired(
        owner=model.name,
        targets=tuple(reading.targets.values()),
        records=reading.records,
        keys=(),
        rotations_per_run=model.limits.rotations_per_run,
        timing=Timing(**{name: value.total_seconds() for name, value in model.timing}),
        freezes=tuple(Freeze(one.since, one.until, one.reason) for one in model.freeze),
        receivers=reading.receivers,
        unpermitted=unpermitted(reading),
        unset=tuple(reading.unset),
    )
    homes = {name: target.homes for name, target in reading.targets.items()}
    kinds = {name: target.type for name, target in reading.targets.items()}
    keys = (_desired_key(key, entry, desired, (homes, kinds), reading.commands) for key, entry in model.keys.items())
    return dataclasses.replace(desired, keys=tuple(keys))


def _desired_key(
    key: str,
    entry: KeyEntry,
    manifest: Desired,
    stores: tuple[Mapping[str, tuple[str, ...]], Mapping[str, str]],
    commands: Collection[str],
) -> DesiredKey:
    rotation, smoke, window = entry.rotation, entry.smoke, entry.rotation.window
    desired = DesiredKey(
        id=key,
        owner=manifest.owner,
        name=entry.name or key,
        absent=entry.state == "absent",
        adopt=_adopt(entry.adopt),
        moved_from=entry.moved.origin if entry.moved else "",
        deliveries=tuple(Delivery(place.target, place.path, place.field) for place in entry.deliver),
        rotation=Rotation(
            strategy=Strategy(rotation.strategy or "in-place"),
            every=rotation.every,
            overlap=rotation.overlap,
            window=Window(window.cron, window.duration, window.timezone) if window else None,
            freezes=manifest.freezes,
        ),
        smoke=Smoke(smoke.model, Api(smoke.api), tuple(smoke.expect_models), Origin(smoke.origin)),
        clean_targets=entry.clean_targets,
        pool=Pool(entry.pool.prefix, entry.pool.low) if entry.pool else None,
        timing=manifest.timing,
        homes=stores[0],
        kinds=stores[1],
        record_target=manifest.records.target,
        hook=hook_of(entry.after_delivery, commands),
    )
    return dataclasses.replace(desired, fingerprint=fingerprint(desired))


def _adopt(entry: AdoptEntry | None) -> Adopt | None:
    if entry is None:
        return None
    return Adopt(AdoptSecret(entry.secret), entry.a, entry.b, SlotName(entry.live) if entry.live else None)
