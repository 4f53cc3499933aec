"""PURE: the walls between the keys of one account: namespaces, prefixes, offered targets, Secrets, and who came first.

The account token can change every API key of its team, so these rules decide what one tenant may do. They are judged
at each look, whatever admission let through.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from keyturn.core.permits import PARTS, Permit, literal
from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.kube.resources import (
    FIELD,
    NAMESPACE,
    NEVER_OFFERED,
    Account,
    AccountResource,
    AdoptDefault,
    ClusterAccountResource,
    KeyResource,
    OfferedTarget,
    Place,
    Pool,
    SecretPlace,
)
from keyturn.targets.kubernetes import writable

Name = tuple[str, str]
"""Namespace and name of an object."""


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """What is known of a Secret that exists: metadata only, never its data."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rules have to know besides the resources.

    `namespaces`: the labels of each namespace. `secrets`: each Secret that `secrets_of` names, None if there is none; a
    Secret that could not be looked at is left out, and nothing is written to it.
    """

    namespaces: Mapping[str, Mapping[str, str]]
    secrets: Mapping[Name, SecretFacts | None]


def name_of(key: KeyResource) -> Name:
    """Return the namespace and name of a resource."""
    return key.metadata.namespace, key.metadata.name


def places(key: KeyResource) -> list[Place]:
    """Return where a key's secret is written, with the default."""
    default = Place(secret=SecretPlace(name=key.metadata.name, key=FIELD))
    return [default] if key.spec.deliver is None else key.spec.deliver


def secrets_of(key: KeyResource) -> frozenset[Name]:
    """Return the Secrets that a key is delivered to."""
    return frozenset((key.metadata.namespace, place.secret.name) for place in places(key) if place.secret)


def api_name(account: Account, key: KeyResource) -> str:
    """Return the name of a key in DigitalOcean."""
    prefix = account.spec.name_prefix or f"{NAMESPACE}-"
    return key.spec.name or f"{_rendered(prefix, key.metadata.namespace)}{key.metadata.name}"


def slots(account: Account, key: KeyResource) -> tuple[str, ...]:
    """Return the names of a key's API keys."""
    name, rotation = api_name(account, key), merged(account, key, "rotation")
    return (f"{name}-a", f"{name}-b") if rotation.get("strategy") == "alternating" else (name,)


def pool_of(account: Account, key: KeyResource) -> Pool | None:
    """Return the pool that a key takes spares from; None if it names API keys by uuid, so that it can name no spare.

    One that is being deleted adopts nothing, and may have a spare that has no other name yet.
    """
    return None if _uuids(key) and not key.metadata.deletion_timestamp else account.spec.pool


def merged(account: Account, key: KeyResource, part: str) -> dict[str, object]:
    """Return a part of a key's entry: the account's defaults below what the key says."""
    default = getattr(account.spec.defaults, part)
    below = default.model_dump() if isinstance(default, AdoptDefault) else default
    return _merged(below or {}, getattr(key.spec, part) or {})


def _merged(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Merge field by field, as the manifest does; lists replace."""
    found = dict(below)
    for name, value in above.items():
        under = found.get(name)
        found[name] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return found


def unsafe(account: Account) -> End | None:
    """Return why an account would open a wall; the definition refuses it too. None if it would not."""
    for target in account.spec.targets if isinstance(account, ClusterAccountResource) else ():
        if target.type in NEVER_OFFERED:
            return End(Reason.MISCONFIGURED, f"spec.targets.{target.name}: an account offers no {target.type}")
        if not target.path_prefix.endswith("/"):
            return End(Reason.MISCONFIGURED, f"spec.targets.{target.name}.pathPrefix: must end with /")
    return None


class Walls:
    """The rules for the keys of one account."""

    def __init__(self, account: Account, around: Surroundings) -> None:
        """Work out the prefix of each namespace that may use the account."""
        self._account, self._around = account, around
        template = account.spec.name_prefix
        names = filter(self._admits, around.namespaces)
        self._prefixes = {name: _rendered(template, name) for name in names}
        distinct = sorted(set(self._prefixes.values()))
        # Sorted, those that begin with a prefix follow it without a gap.
        self._inner: dict[str, tuple[str, ...]] = {}
        for number, prefix in enumerate(distinct):
            inner = []
            for other in distinct[number + 1 :]:
                if not other.startswith(prefix):
                    break
                inner.append(other)
            self._inner[prefix] = tuple(inner)

    def refusal(self, key: KeyResource) -> End | None:
        """Return why a key is refused whatever the other keys are; None if it is not."""
        namespace = key.metadata.namespace
        if namespace not in self._around.namespaces:
            # Its watch is a little behind that of the keys, and marks them when it hears of the namespace.
            return End(Reason.TO_DO, f"the namespace {namespace} is not known yet; the key was not looked at")
        if namespace not in self._prefixes:
            return End(Reason.OUTSIDE_POLICY, f"the account does not allow the namespace {namespace}")
        found = next(self._name(key), None) or next(self._places(key), None)
        return found or next(self._secrets(key), None)

    def permit(self, key: KeyResource) -> Permit | None:
        """Return which API keys a run may change for a key, by their present names; None if any."""
        prefix = _rendered(self._account.spec.name_prefix, key.metadata.namespace)
        if not prefix:
            return None
        pool = pool_of(self._account, key)
        names = [f"{literal(start)}**" for start in (prefix, *([pool.prefix] if pool else []))]
        rotations = self._account.spec.limits.rotations_per_round
        where = dict.fromkeys(PARTS, f"namePrefix of the account {self._account.metadata.name}")
        return Permit(tuple(names), rotations, deletes=0, removals=0, where=where)

    def _admits(self, namespace: str) -> bool:
        if isinstance(self._account, AccountResource):
            return namespace == self._account.metadata.namespace
        return self._account.spec.allowed_namespaces.selects(self._around.namespaces[namespace])

    def _name(self, key: KeyResource) -> Iterator[End]:
        prefix = self._prefixes[key.metadata.namespace]
        for name in slots(self._account, key):
            if not name.startswith(prefix):
                yield End(Reason.OUTSIDE_POLICY, f"the name {name!r} does not begin with {prefix!r}")
            # What begins with the longer prefix of another namespace belongs to that one.
            if any(name.startswith(inner) for inner in self._inner[prefix]):
                yield End(Reason.OUTSIDE_POLICY, f"the name {name!r} begins with the prefix of another namespace")
        pool = self._account.spec.pool
        if pool and prefix and (prefix.startswith(pool.prefix) or pool.prefix.startswith(prefix)):
            why = f"the prefix {prefix!r} of the namespace and the prefix {pool.prefix!r} of the pool overlap"
            yield End(Reason.OUTSIDE_POLICY, f"{why}: spares would be anyone's; the account needs another prefix")
        if self._inner[prefix] and _uuids(key):
            why = f"an API key may not be adopted by uuid: the prefix of another namespace begins with {prefix!r}"
            yield End(Reason.OUTSIDE_POLICY, why)

    def _places(self, key: KeyResource) -> Iterator[End]:
        offered = self._offered()
        for place in places(key):
            if (place.secret is None) == (place.target is None):
                yield End(Reason.MISCONFIGURED, "exactly one of secret and target is required in `deliver`")
            if place.target is None:
                continue
            target = offered.get(place.target.name)
            if target is None:
                yield End(Reason.OUTSIDE_POLICY, f"the account offers no target {place.target.name!r}")
            elif not place.target.path.startswith(below := _rendered(target.path_prefix, key.metadata.namespace)):
                why = f"a path in the target {target.name} has to begin with {below!r}"
                yield End(Reason.OUTSIDE_POLICY, why)

    def _offered(self) -> dict[str, OfferedTarget]:
        there = self._account.spec.targets if isinstance(self._account, ClusterAccountResource) else ()
        return {target.name: target for target in there}

    def _secrets(self, key: KeyResource) -> Iterator[End]:
        for namespace, name in sorted(secrets_of(key)):
            if (namespace, name) not in self._around.secrets:
                yield End(Reason.UNREADABLE, f"the Secret {name} could not be looked at")
            elif (found := self._around.secrets[namespace, name]) and not writable(
                found.labels, found.annotations, key.metadata.name
            ):
                yield End(Reason.FIELD_IN_USE, f"the Secret {name} exists, and keyturn did not make it")


def contested(
    account: Account, keys: Iterable[KeyResource], refused: Collection[Name], homes: Mapping[str, str]
) -> dict[Name, End]:
    """Return each key that wants an API key, a uuid or a place that belongs to another one.

    What a key has, by its status, it keeps, even if it is one of the `refused`. Of the rest the oldest resource takes
    what it wants, if nothing of it belongs to another one. `homes`: the store of each target of the account.
    """
    order = sorted(keys, key=lambda key: (key.metadata.creation_timestamp, name_of(key)))
    holder: dict[tuple[str, ...], Name] = {}
    whole: dict[tuple[str, ...], bool] = {}
    for key in order:
        for thing in _held(key):
            holder.setdefault(thing, name_of(key))
    found: dict[Name, End] = {}
    for key in order:
        if name_of(key) in refused:
            continue
        wanted = tuple(_wanted(account, key, homes))
        lost = next((thing for thing in wanted if holder.get(thing, name_of(key)) != name_of(key)), None)
        # A path has either one value or fields.
        mixed = next((thing for thing in wanted if whole.get(thing[:-1], not thing[-1]) != (not thing[-1])), None)
        if lost is not None:
            found[name_of(key)] = End(Reason.CLAIMED, f"{_shown(lost)} belongs to {_other(holder[lost], key)}")
        elif mixed is not None:
            found[name_of(key)] = End(Reason.CLAIMED, f"the path of {_shown(mixed)} belongs to another ModelAccessKey")
        else:
            holder |= dict.fromkeys(wanted, name_of(key))
            whole |= {thing[:-1]: not thing[-1] for thing in wanted}
    return found


_NAME, _UUID, _PLACE = "the API key name", "the API key", "the delivery"


def _held(key: KeyResource) -> Iterator[tuple[str, ...]]:
    for one in key.status.api_keys:
        yield _NAME, one.name
        yield _UUID, one.uuid.lower()


def _wanted(account: Account, key: KeyResource, homes: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Yield what a key wants for itself; the last part is never empty, but for the whole value of a path."""
    yield from ((_NAME, name) for name in {api_name(account, key), *slots(account, key)})
    yield from ((_UUID, uuid) for uuid in _uuids(key))
    for place in places(key):
        if place.secret:
            yield _PLACE, key.metadata.namespace, place.secret.name, place.secret.key
        elif place.target:
            yield _PLACE, homes.get(place.target.name, ""), place.target.path, place.target.field


def _shown(thing: tuple[str, ...]) -> str:
    if thing[0] != _PLACE:
        return " ".join(thing)
    _, _, path, field = thing
    return f"{_PLACE} {path}#{field}" if field else f"{_PLACE} {path}"


def _other(name: Name, key: KeyResource) -> str:
    """Return how a resource is called to another one; those of other namespaces have no name there."""
    return f"the ModelAccessKey {name[1]}" if name[0] == key.metadata.namespace else "another ModelAccessKey"


def _uuids(key: KeyResource) -> tuple[str, ...]:
    found = key.spec.adopt or {}
    return tuple(str(found[slot]).lower() for slot in ("a", "b") if found.get(slot))


def _rendered(prefix: str, namespace: str) -> str:
    return prefix.replace(NAMESPACE, namespace)
