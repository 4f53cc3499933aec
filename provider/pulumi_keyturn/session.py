"""What the one process of a stack's dynamic resources shares: configuration, worlds, what was declared, the breaker.

The engine starts a new one for each preview, up, refresh and destroy; up to four calls run in it at once. keyturn is
imported only if there is work: a stack at rest is only compared.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pulumi_keyturn import inputs, messages, state
from pulumi_keyturn.inputs import Props

if TYPE_CHECKING:
    from keyturn.core.model import ApiKey, Desired, Verdict
    from keyturn.core.record import Record
    from keyturn.core.secret import Secret
    from keyturn.live.live_world import LiveWorld

CONFIGURED = {
    "DIGITALOCEAN_TOKEN": "keyturn:digitaloceanToken",
    "VAULT_TOKEN": "keyturn:vaultToken",
    "VAULT_ROLE_ID": "keyturn:vaultRoleId",
    "VAULT_SECRET_ID": "keyturn:vaultSecretId",
    "OP_CONNECT_TOKEN": "keyturn:opConnectToken",
    "KEYTURN_RECORDS": "keyturn:records",
}
"""The variables that the stack's configuration may give if the environment does not.

Only the environment says where a credential may go: configuration comes with the program.
"""

EXEMPT = "KEYTURN_ONE_BY_ONE"
"""A variable that names keys, separated by commas: the operator says that it is really they that are gone."""

_BY_THEMSELVES = (
    f"If it is true of the keys after all, name them in the environment: {EXEMPT}=KEY,KEY has each judged by itself."
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a resource claims: a part of something, or the whole if `part` is empty; and how it is called."""

    what: tuple[str, ...]
    input: str
    thing: str
    part: str = ""


class Uniqueness:
    """What only one resource of a program may have; thread-safe.

    The engine has each resource checked by itself, so the rules of a manifest never see two of them. Inputs are
    compared as they are written.
    """

    def __init__(self) -> None:
        """Start with nothing declared."""
        self._lock = threading.Lock()
        self._taken: dict[tuple[str, ...], dict[str, str]] = {}
        self._keys: set[str] = set()

    def declare(self, props: Props) -> list[str]:
        """Note a resource's inputs, `key` among them; return what another one of this run has already.

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
    """Return what a resource claims, without what is unknown yet or makes no sense: other checks say that."""
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
    """Return how the owners of all keys of a stack begin; any other owner is its own family."""
    return "/".join(owner.split("/")[:2]) + "/" if owner.startswith("pulumi:") else owner


class Breaker:
    """Stops the run if what happens to one key happens to all keys of its stack; thread-safe, and stays stopped.

    Then it is the token or the API, not the keys. The rules are those of a manifest's run (`keyturn.core.brakes`). The
    engine works on one resource at a time, so the other keys are found by their records.
    """

    def __init__(self, world: LiveWorld, owners: str) -> None:
        """Take the family of owners; nothing is read yet."""
        self._world = world
        self._owners = owners
        self._lock = threading.Lock()
        self._seen: dict[str, Record] | None = None
        self._stopped = ""

    def check_listed(self, key: str, record: Record | None) -> None:
        """Raise RunStopped if the token is another team's, or may be, or if two or more keys are all gone.

        Costs nothing if the live API key of this record is listed. After it the token is known to be of the record's
        own team, or the operator says so.
        """
        from keyturn.core import brakes
        from keyturn.core.errors import RunStopped

        known = {key: record} if record and not record.deleted_at else {}
        if other := brakes.other_team(self._world.account(), known):
            raise RunStopped(other)
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
                if self._doubt(self._seen, listed):
                    if before is not None:  # what was read earlier may be out of date
                        self._seen = {**self._records(key), **known}
                    self._stopped = self._doubt(self._seen, self._world.list_keys(fresh=True))
            self._stop()

    def check_accepted(self, record: Record) -> None:
        """Raise RunStopped if the API refuses this key's secret and accepts no other key's.

        One answer per key is enough: to stop for nothing costs less than to mint for nothing.
        """
        from keyturn.core import brakes
        from keyturn.core.model import Verdict

        if _exempt(record.key) or self._verdict(record) is not Verdict.REFUSED:
            return
        with self._lock:
            verdicts: list[Verdict | None] = [Verdict.REFUSED]
            others = () if self._stopped else self._records(record.key).values()
            for other in others:
                if Verdict.ACCEPTED not in verdicts:
                    verdicts.append(self._verdict(other))
            self._stopped = self._stopped or brakes.all_refused(verdicts)
            self._stop()

    def _doubt(self, records: Mapping[str, Record], listed: Collection[ApiKey]) -> str:
        """Return why the run stops, empty if it goes on.

        Raises RunStopped if the token is known to be another team's: the operator has nothing to add to that.
        """
        from keyturn.core import brakes
        from keyturn.core.errors import RunStopped

        account, shown = self._world.account(), _uuids(listed)
        if other := brakes.other_team(account, records):
            raise RunStopped(other)
        if gone := brakes.all_gone(brakes.live_uuids(records), listed):
            return gone
        unsure = {
            key: record
            for key, record in records.items()
            if record.uuids and not record.uuids & shown and not (account and record.account == account)
        }
        vouched = brakes.vouched(unsure, records.values(), listed)
        return brakes.another_account([key for key in unsure if key not in vouched and not _exempt(key)])

    def _stop(self) -> None:
        from keyturn.core.errors import RunStopped

        if self._stopped:
            raise RunStopped(self._stopped, remedy=_BY_THEMSELVES)

    def _records(self, besides: str) -> dict[str, Record]:
        """Return the records of the stack's other keys; one that cannot be read tells nothing."""
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


def _uuids(listed: Collection[ApiKey]) -> set[str]:
    return {item.uuid for item in listed if not item.deleted_at}


def _exempt(key: str) -> bool:
    return key in (name.strip() for name in os.environ.get(EXEMPT, "").split(","))


uniqueness = Uniqueness()
"""What the resources of this run's program have declared."""

_lock = threading.Lock()
_config: dict[str, str] = {}
_worlds: dict[tuple[float, str], LiveWorld] = {}
_breakers: dict[tuple[int, str], Breaker] = {}


def configure(get: Callable[[str], object]) -> None:
    """Take the stack's configuration: on refresh and destroy it is that of the last up."""
    found = {name: get(key) for name, key in CONFIGURED.items()}
    with _lock:
        _config.update({name: str(value) for name, value in found.items() if value})


def environment() -> Mapping[str, str]:
    """Return the environment, and from the configuration what it lacks; it holds credentials."""
    with _lock:
        return {**_config, **{name: value for name, value in os.environ.items() if value}}


def world(desired: Desired) -> LiveWorld:
    """Return the world of these targets, records and times.

    All worlds of the process share one rate budget and one list, those of one request time their clients, too. Raises
    CredentialError, InputError.
    """
    from keyturn.live.live_world import open_world

    place = (desired.timing.request, repr((desired.targets, desired.records, desired.timing)))
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
    """Return the breaker of all keys of a stack, by the owner of one of their records."""
    with _lock:
        return _breakers.setdefault((id(world), family(owner)), Breaker(world, family(owner)))
