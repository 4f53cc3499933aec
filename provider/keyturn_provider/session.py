"""State of the process that runs a stack's dynamic resources: configuration, worlds, declarations, the breaker.

The engine starts a new process per preview, up, refresh and destroy. Up to four calls run in it concurrently. keyturn
is imported only when needed: for a stack at rest, inputs are only compared.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn_provider import inputs, messages, state
from keyturn_provider.inputs import Props

if TYPE_CHECKING:
    from keyturn.core.model import ApiKey, Desired, Verdict
    from keyturn.core.record import Record
    from keyturn.core.results import End
    from keyturn.core.secret import Secret
    from keyturn.live.live_world import LiveWorld

LOGIN = frozenset({"VAULT_TOKEN", "VAULT_ROLE_ID", "VAULT_SECRET_ID"})
"""The credentials of one login: those of the environment are left out if a provider has any of its own."""

CREDENTIALS = frozenset({"DIGITALOCEAN_TOKEN", "OP_CONNECT_TOKEN", "OP_SERVICE_ACCOUNT_TOKEN", *LOGIN})

EXEMPT = "KEYTURN_ONE_BY_ONE"
"""A variable with key ids, separated by commas. The operator confirms that these keys really are gone or refused."""

_CONFIRMATION = (
    f"If the keys really are gone or refused, list them in the environment: {EXEMPT}=KEY,KEY. "
    "Each is then judged by itself."
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """A claim of a resource on a thing, or on a part of it if `part` is set, with its name for messages."""

    what: tuple[str, ...]
    input: str
    thing: str
    part: str = ""


class Uniqueness:
    """Things that only one resource of a program may have. Thread-safe.

    The engine checks each resource alone, so the manifest's rules never see two of them. Inputs are compared as
    written.
    """

    def __init__(self) -> None:
        """Start with nothing declared."""
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, ...], dict[str, str]] = {}
        self._keys: set[str] = set()

    def declare(self, props: Props) -> list[str]:
        """Note a resource's inputs, including `key`. Return the conflicts with other resources of this run.

        The same resource may be declared again: the engine checks a replaced resource twice.
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
                    both = f"two resources of this program have {claim.thing}; the other one is {other}"
                    found.append(f"{claim.input}: {both}; change one of them")
                else:
                    parts[claim.part] = who
        return found

    def has(self, key: str) -> bool:
        """Tell whether a resource of this program has this key. A delete of it then refers to another resource."""
        with self._lock:
            return key in self._keys


def _claims(props: Props) -> Iterator[_Claim]:
    """Yield the claims of a resource, without unknown and invalid inputs, which other checks report."""
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


def family(owner: str) -> str:
    """Return the common prefix of the owners of a stack's keys. Any other owner is its own family."""
    return "/".join(owner.split("/")[:2]) + "/" if owner.startswith("pulumi:") else owner


class Breaker:
    """Stops the run if all keys of a stack have the same problem. Thread-safe. A stopped run stays stopped.

    In that case the cause is the token or the API, not the keys. The rules are those of a manifest's run
    (`keyturn.core.brakes`). The engine works on one resource at a time, so the other keys are found by their records.
    """

    def __init__(self, world: LiveWorld, owners: str) -> None:
        """Take the family of owners. Nothing is read yet."""
        self._world = world
        self._owners = owners
        self._lock = threading.Lock()
        self._seen: dict[str, Record] | None = None
        self._stopped = ""

    def check_listed(self, key: str, record: Record | None) -> None:
        """Raise RunStopped if the token belongs or may belong to another team, or if all keys, two or more, are gone.

        Costs nothing if the live API key of this record is listed. If it returns, the token is known to belong to the
        record's team, or the operator has confirmed it.
        """
        from keyturn.core import brakes
        from keyturn.core.errors import RunStopped

        known = {key: record} if record and not record.deleted_at else {}
        if other := brakes.other_team(self._world.account(), known):
            raise RunStopped(_told(other))
        if _exempt(key):
            return
        with self._lock:
            listed = self._world.list_keys()
            live = {slot.uuid for item in known.values() if (slot := item.slot(item.live))}
            if live & _uuids(listed):
                return
            if not self._stopped:
                before = self._seen
                self._seen = {**(self._records(key) if before is None else before), **known}
                if self._stop_reason(self._seen, listed):
                    if before is not None:  # the earlier records may be out of date
                        self._seen = {**self._records(key), **known}
                    self._stopped = self._stop_reason(self._seen, self._world.list_keys(fresh=True))
            self._stop()

    def check_accepted(self, record: Record) -> None:
        """Raise RunStopped if the API refuses this key's secret and accepts no other key's secret.

        One answer per key is enough: an unnecessary stop costs less than an unnecessary mint.
        """
        from keyturn.core import brakes
        from keyturn.core.model import Verdict

        if _exempt(record.key) or self._verdict(record) is not Verdict.REFUSED:
            return
        with self._lock:
            verdicts: dict[str, Verdict | None] = {record.key: Verdict.REFUSED}
            others = () if self._stopped else self._records(record.key).values()
            for other in others:
                if Verdict.ACCEPTED not in verdicts.values():
                    verdicts[other.key] = self._verdict(other)
            self._stopped = self._stopped or _told(brakes.all_refused(verdicts))
            self._stop()

    def _stop_reason(self, records: Mapping[str, Record], listed: Collection[ApiKey]) -> str:
        """Return why the run stops. Empty if it continues.

        Raises RunStopped if the token is known to belong to another team: the operator cannot override that.
        """
        from keyturn.core import brakes
        from keyturn.core.errors import RunStopped

        account, shown = self._world.account(), _uuids(listed)
        if other := brakes.other_team(account, records):
            raise RunStopped(_told(other))
        if gone := brakes.all_gone(brakes.live_uuids(records), listed):
            return _told(gone)
        unsure = {
            key: record
            for key, record in records.items()
            if record.uuids and not record.uuids & shown and not (account and record.account == account)
        }
        vouched = brakes.vouched(unsure, records.values(), listed)
        doubted = [key for key in unsure if key not in vouched and not _exempt(key)]
        return _told(brakes.another_account(doubted))

    def _stop(self) -> None:
        from keyturn.core.errors import RunStopped

        if self._stopped:
            raise RunStopped(self._stopped, remedy=_CONFIRMATION)

    def _records(self, besides: str) -> dict[str, Record]:
        """Return the readable records of the stack's other keys."""
        from keyturn.core.errors import KeyturnError

        found = {}
        for key in self._world.list_records():
            with suppress(KeyturnError):
                record = self._world.read_record(key).record if key != besides else None
                if record and record.owner.startswith(self._owners) and not record.deleted_at:
                    found[key] = record
        return found

    def _verdict(self, record: Record) -> Verdict | None:
        from keyturn.core.model import SILENT, Verdict, WireKind
        from keyturn.engine import smoke

        secret = self._live_secret(record)
        kind = self._world.models(secret).kind if secret else WireKind.UNREACHABLE
        if kind is WireKind.UNAUTHORIZED:
            return None if smoke.maybe_blocked(self._world) else Verdict.REFUSED
        return None if kind in SILENT else Verdict.ACCEPTED

    def _live_secret(self, record: Record) -> Secret | None:
        from keyturn.core.errors import KeyturnError

        for item in record.deliveries:
            with suppress(KeyturnError):
                secret = self._world.read_delivery(item.delivery).secret
                if state.is_live(record, secret):
                    return secret
        return None


def _told(end: End | None) -> str:
    from keyturn_provider import remedies

    return remedies.told(end) if end else ""


def _uuids(listed: Collection[ApiKey]) -> set[str]:
    return {item.uuid for item in listed if not item.deleted_at}


def _exempt(key: str) -> bool:
    return key in (name.strip() for name in os.environ.get(EXEMPT, "").split(","))


cancelled = threading.Event()
"""Set when the engine asks all calls to end early. A run ends where its record can tell the next one what is open."""

uniqueness = Uniqueness()
"""The declarations of this run's program."""

_lock = threading.Lock()
_config: dict[str, str] = {}
_own: dict[str, str] = {}
_worlds: dict[tuple[float, str], LiveWorld] = {}
_breakers: dict[tuple[int, str], Breaker] = {}


def configure(get: Callable[[str], object], *, own: bool = False) -> None:
    """Take the stack's configuration. On refresh and destroy it is that of the last up.

    With `own` it is that of a provider which a program declares: its credentials stand before the environment's, so
    that two such providers can have two accounts.
    """
    found = {name: str(value) for name, key in inputs.CONFIGURED.items() if (value := get(key))}
    with _lock:
        _config.update(found)
        _own.update({name: found[name] for name in CREDENTIALS & found.keys() if own})


def environment() -> Mapping[str, str]:
    """Return the environment, completed from the configuration. It contains credentials."""
    with _lock:
        left_out = LOGIN if LOGIN & _own.keys() else frozenset()
        variables = {name: value for name, value in os.environ.items() if value and name not in left_out}
        return {**_config, **variables, **_own}


def world(desired: Desired) -> LiveWorld:
    """Return the world of these targets, records and timing.

    All worlds of the process share one rate budget and one key list; those with the same request deadline also share
    their clients. Raises CredentialError and InputError.
    """
    from pathlib import Path

    from keyturn.live.live_world import open_world

    place = (desired.timing.request, repr((desired.targets, desired.records, desired.timing)))
    if (known := _worlds.get(place)) is not None:
        return known
    variables = environment()
    with _lock:
        if place not in _worlds:
            alike = (world for (seconds, _), world in _worlds.items() if seconds == place[0])
            beside = next(alike, next(iter(_worlds.values()), None))
            _worlds[place] = open_world(
                desired, variables, Path.cwd(), beside=beside, hear=lambda line: messages.say(f"keyturn {line.text}")
            )
        return _worlds[place]


def breaker(world: LiveWorld, owner: str) -> Breaker:
    """Return the breaker of a stack's keys, by the owner of one of their records."""
    with _lock:
        return _breakers.setdefault((id(world), family(owner)), Breaker(world, family(owner)))
