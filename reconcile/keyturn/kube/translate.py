"""PURE: from the resources of one account to one desired state, by the rules of the manifest.

A resource that cannot be part of it is refused with a reason, and never stops the others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keyturn.core.errors import ManifestError
from keyturn.core.model import Desired, DesiredKey
from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.core.sanitize import plain
from keyturn.kube.resources import ROTATE, Account, ClusterAccountResource, KeyResource
from keyturn.kube.tenants import (
    Name,
    Surroundings,
    Walls,
    api_name,
    contested,
    merged,
    name_of,
    places,
    pool_of,
    unsafe,
)
from keyturn.manifest import fingerprint, load_data
from keyturn.targets.kubernetes_login import IN_CLUSTER

RECORDS = "keyturn.records"
OFFERED = "account."
"""Before the name of a target that the account offers. No namespace has a dot in its name."""

LONGEST_REASON = 256
"""Characters of a reason to rotate that the history keeps."""
_LONGEST_ID = 64
_CAMEL, _SNAKE = re.compile(r"(?<=[a-z])([A-Z])"), re.compile(r"_([a-z])")

Mistakes = dict[tuple[object, ...], End]
"""What was found wrong with keys, by their versions and that of their account."""


@dataclass(frozen=True, slots=True)
class Translated:
    """What the resources of an account come to.

    `desired` is None if the account itself cannot be used; `problem` says why. `ids`: the id in the desired state of
    each resource that is part of it. `refused`: why the others are not. `suspended` are left alone for now, `retained`
    are being deleted and leave everything as it is.
    """

    desired: Desired | None
    problem: End | None = None
    ids: Mapping[Name, str] = field(default_factory=dict)
    refused: Mapping[Name, End] = field(default_factory=dict)
    suspended: frozenset[Name] = frozenset()
    retained: frozenset[Name] = frozenset()


def translate(
    account: Account,
    keys: Sequence[KeyResource],
    around: Surroundings,
    home: str,
    environment: Mapping[str, str],
    address: str = IN_CLUSTER,
    mistakes: Mistakes | None = None,
) -> Translated:
    """Return the desired state of an account and its keys. `home` is the namespace of the operator, and of the records.

    `keys` are those whose `accountRef` names the account. `environment` is the operator's: it says which places the
    targets of the account may name. `address` is that of the API server. `mistakes` are those of earlier calls, and
    become those of this one: what is wrong and has not changed is not tried again.
    """
    deleted = frozenset(name_of(key) for key in keys if key.metadata.deletion_timestamp)
    retained = frozenset(name_of(key) for key in keys if key.spec.deletion_policy == "Retain") & deleted
    leaving = [key for key in keys if name_of(key) in deleted - retained]
    manifest = _Manifest(account, home, environment, address, frozenset(key.metadata.namespace for key in leaving))
    if problem := unsafe(account):
        return Translated(None, problem)
    try:
        bare = manifest.load(())
    except ManifestError as error:
        return Translated(None, _wrong(error))
    homes = {target.name.removeprefix(OFFERED): target.home for target in bare.targets}
    walls = Walls(account, around)
    refused = {name_of(key): why for key in keys if name_of(key) not in deleted and (why := walls.refusal(key))}
    refused |= contested(account, keys, deleted | refused.keys(), homes)
    suspended = frozenset(name_of(key) for key in keys if key.spec.suspend) - deleted
    apart = deleted | suspended
    good = [key for key in keys if name_of(key) not in apart | refused.keys()]
    try:
        desired, wrong = manifest.without_mistakes(good, mistakes if mistakes is not None else {})
    except ManifestError as error:
        return Translated(None, _wrong(error))
    refused |= wrong
    good = [key for key in good if name_of(key) not in wrong]
    bound = tuple(_bound(one, key, walls) for one, key in zip(desired.keys, good, strict=True))
    gone = tuple(_leaving(key, api_name(account, key), desired, walls) for key in leaving)
    worked = [*good, *leaving]
    agreed = frozenset(id_of(key) for key in worked if key.spec.deletion_policy == "Delete")
    return Translated(
        replace(desired, keys=(*bound, *gone), agreed=agreed),
        ids={name_of(key): id_of(key) for key in worked},
        refused={name: why for name, why in refused.items() if name not in apart},
        suspended=suspended,
        retained=retained,
    )


def id_of(key: KeyResource) -> str:
    """Return the id of a resource's record, which no other resource has: NAMESPACE.NAME, or a hash without dots."""
    shown = f"{key.metadata.namespace}.{key.metadata.name}"
    return shown if len(shown) <= _LONGEST_ID else hashlib.sha256(shown.encode()).hexdigest()[:40]


def owner_of(account: Account) -> str:
    """Return the owner of an account's records."""
    return "/".join(filter(None, (account.metadata.namespace, account.metadata.name)))


@dataclass(frozen=True, slots=True)
class _Manifest:
    """The account as a manifest, with more or fewer keys. `namespaces` are those of keys that are being deleted."""

    account: Account
    home: str
    environment: Mapping[str, str]
    address: str
    namespaces: frozenset[str] = frozenset()

    def load(self, keys: Sequence[KeyResource]) -> Desired:
        """Return the desired state. Raises ManifestError with all mistakes."""
        spec = self.account.spec
        entries = {id_of(key): self._entry(key) for key in keys}
        writers: dict[str, dict[str, str]] = {name: {} for name in self.namespaces}
        for key in keys:
            writers.setdefault(key.metadata.namespace, {}).update(_writers(key))
        targets: dict[str, object] = {
            name: {**self._secrets(name), "writers": writers[name]} for name in sorted(writers)
        }
        targets[RECORDS] = self._secrets(self.home)
        for target in self.account.spec.targets if isinstance(self.account, ClusterAccountResource) else ():
            targets[f"{OFFERED}{target.name}"] = {**target.settings, "type": target.type}
        data: dict[str, object] = {
            "apiVersion": "keyturn/v1",
            "name": owner_of(self.account),
            "targets": targets,
            "records": {"target": RECORDS},
            "limits": {"rotations_per_run": spec.limits.rotations_per_round},
            "keys": entries,
        }
        return load_data(data, self.account.metadata.name, self.environment)

    def _secrets(self, namespace: str) -> dict[str, str]:
        """Return the settings of the target for the Secrets of a namespace."""
        elsewhere = {"address": self.address} if self.address != IN_CLUSTER else {}
        return {"type": "kubernetes", "namespace": namespace, **elsewhere}

    def without_mistakes(self, keys: Sequence[KeyResource], known: Mistakes) -> tuple[Desired, dict[Name, End]]:
        """Return the desired state without the keys that are wrong, and what is wrong with them.

        Raises ManifestError if the others do not fit together: then nothing is done.
        """
        versions = {name_of(key): self._version(key) for key in keys}
        wrong = {name: known[version] for name, version in versions.items() if version in known}
        untried = [key for key in keys if name_of(key) not in wrong]
        try:
            desired = self.load(untried)
        except ManifestError:
            wrong |= self.mistakes(untried)
            desired = self.load([key for key in untried if name_of(key) not in wrong])
        known.clear()
        known |= {versions[name]: why for name, why in wrong.items()}
        return desired, wrong

    def _version(self, key: KeyResource) -> tuple[object, ...]:
        """Return what changes when a mistake of a key may be gone: its spec, or that of the account."""
        both = [(one.metadata.uid, one.metadata.generation) for one in (key, self.account)]
        return (*both, name_of(key))

    def mistakes(self, keys: Sequence[KeyResource]) -> dict[Name, End]:
        """Return what is wrong with keys of which at least one is wrong. They are found by halves."""
        if len(keys) == 1:
            (key,) = keys
            try:
                self.load(keys)
            except ManifestError as error:
                return {name_of(key): _wrong(error, f"keys.{id_of(key)}")}
            return {}
        found: dict[Name, End] = {}
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            try:
                self.load(half)
            except ManifestError:
                found |= self.mistakes(half)
        return found

    def _entry(self, key: KeyResource) -> dict[str, object]:
        entry: dict[str, object] = {"name": api_name(self.account, key), "deliver": [*map(dict, _deliveries(key))]}
        for part in ("adopt", "rotation", "smoke"):
            found = _snake(merged(self.account, key, part))
            found.pop("trigger", None)
            if found:
                entry[part] = found
        if pool := pool_of(self.account, key):
            entry["pool"] = pool.model_dump()
        return entry


def _writers(key: KeyResource) -> Iterable[tuple[str, str]]:
    """Return for each place in a Secret whom its owner has to allow. No two keys have the same place."""
    return ((f"{one.secret.name}#{one.secret.key}", key.metadata.name) for one in places(key) if one.secret)


def _deliveries(key: KeyResource) -> Iterable[dict[str, str]]:
    for place in places(key):
        if place.secret:
            yield {"target": key.metadata.namespace, "path": place.secret.name, "field": place.secret.key}
        elif place.target:
            there = {"target": f"{OFFERED}{place.target.name}", "path": place.target.path}
            yield {**there, "field": place.target.field} if place.target.field else there


def _bound(desired: DesiredKey, key: KeyResource, walls: Walls) -> DesiredKey:
    """Return the key with its trigger, and with the names of API keys that it may change."""
    permitted = replace(desired, permit=walls.permit(key))
    text = key.metadata.annotations.get(ROTATE) or str((key.spec.rotation or {}).get("trigger", ""))
    if not text:
        return permitted
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    triggered = replace(permitted, trigger=digest, trigger_reason=plain(text, LONGEST_REASON))
    return replace(triggered, fingerprint=fingerprint(triggered))


def _leaving(key: KeyResource, name: str, desired: Desired, walls: Walls) -> DesiredKey:
    """Return a key that is being deleted with its API keys. What its spec wants counts no more, right or wrong.

    Its record says which API keys it has and where their secrets are; the claims and the prefix say whether they go.
    """
    return DesiredKey(
        id=id_of(key),
        owner=desired.owner,
        name=name,
        absent=True,
        lenient=True,
        timing=desired.timing,
        homes={target.name: target.homes for target in desired.targets},
        kinds={target.name: target.type for target in desired.targets},
        record_target=desired.records.target,
        permit=walls.permit(key),
    )


def _snake(values: Mapping[str, object]) -> dict[str, object]:
    """Return fields by the names of the manifest: `expectModels` is `expect_models` there."""
    return {
        _CAMEL.sub(lambda found: f"_{found[1].lower()}", name): _snake(value) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _wrong(error: ManifestError, below: str = f"targets.{OFFERED}") -> End:
    """Return the mistakes as one reason, with their paths in the resource, which is `below` in the manifest."""
    above = "spec." if below.startswith("keys.") else "spec.targets."
    told = []
    for mistake in error.mistakes:
        path = mistake.path.replace(f"{below.rstrip('.')}.", above, 1) if mistake.path != below else above.rstrip(".")
        told.append(f"{_SNAKE.sub(lambda found: found[1].upper(), path)}: {mistake.text}")
    return End(Reason.MISCONFIGURED, "; ".join(told))
