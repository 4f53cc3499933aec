"""The real world: DigitalOcean over HTTP, the targets of the manifest, and the clocks and runs of this machine."""

from __future__ import annotations

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from keyturn.core import record as records
from keyturn.core.effect import Effect
from keyturn.core.errors import CredentialError, InputError, TargetMisfit
from keyturn.core.model import Api, ApiKey, Delivery, Desired, WireAnswer
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.record import Claim, Record
from keyturn.core.results import Progress, Stage
from keyturn.core.secret import Secret
from keyturn.core.variables import API, TOKENS, account_token
from keyturn.core.world import Guard, Held, Minted, StoredClaim, StoredRecord
from keyturn.engine.run_lock import Runs
from keyturn.engine.signals import stop_requested
from keyturn.engine.threads import run_all
from keyturn.live.digitalocean import ControlApi, InferenceApi, RateBudget
from keyturn.live.digitalocean.budget import uptime
from keyturn.live.documents import Documents
from keyturn.live.key_list import KeyList
from keyturn.live.key_prefixes import key_prefixes
from keyturn.live.known_records import KnownRecords
from keyturn.live.open_targets import Targets
from keyturn.live.signatures import Signatures
from keyturn.targets.base import Delayed, Target, WriteOnly, proxy_for

if TYPE_CHECKING:
    from keyturn.live.notebook import Notebook

Hear = Callable[[Progress], None]

BLOCKED_SECONDS = 10.0
"""Seconds for which one answer about the account's balance is used for all keys."""
INFERENCE = ("KEYTURN_INFERENCE_URL", "https://inference.do-ai.run")
_IN_SECONDS = 120


def open_world(
    desired: Desired,
    environment: Mapping[str, str],
    base: Path,
    *,
    beside: LiveWorld | None = None,
    hear: Hear = lambda _: None,
    token: Secret | None = None,
) -> LiveWorld:
    """Return the real world of a manifest. Nothing is sent. The libraries of its targets are installed.

    `base` is the manifest's directory. Credentials and the API's URLs are read from `environment`. `beside` is a world
    that shares its rate budget and key list, and its API clients if they have the same deadline. `hear` is called for
    waits for the API's rate limit, in the thread that waits. `token`: instead of that of the environment.

    Raises:
        CredentialError: no account token.
        InputError: an invalid URL, origin, proxy or prefix of keys, or a missing library of a target.
    """
    token = token or token_of(environment)
    api, inference = (url_of(environment, *place) for place in (API, INFERENCE))
    targets = Targets(desired, environment, base)
    targets.check_libraries()
    prefixes = (*key_prefixes(environment), *(desired.permit.key_prefixes if desired.permit else ()))
    signatures = Signatures.of(environment)
    if beside and beside.control.request == desired.timing.request:
        return LiveWorld(beside.control, beside.inference, targets, Runs(), beside.listing, prefixes, signatures)
    budget = beside.control.budget if beside else budget_of(hear)
    through = [proxy_for(str(parse_origin(url)), environment) for url in (api, inference)]
    control = ControlApi(api, token, timing=desired.timing, budget=budget, proxy=through[0])
    clients = control, InferenceApi(inference, timing=desired.timing, proxy=through[1])
    return LiveWorld(*clients, targets, Runs(), beside.listing if beside else None, prefixes, signatures)


def token_of(environment: Mapping[str, str]) -> Secret:
    """Return the account token. Raises CredentialError if there is none."""
    if token := account_token(environment)[1]:
        return Secret(token)
    remedy = f"Set {TOKENS[0]} to a token with the scopes genai:read, genai:update and account:read."
    raise CredentialError("no DigitalOcean token found", remedy=remedy)


class LiveWorld:
    """Implements the World protocol. Thread-safe. All keys share one list, and writes to one path are serialized."""

    def __init__(
        self,
        control: ControlApi,
        inference: InferenceApi,
        targets: Targets,
        runs: Runs,
        listing: KeyList | None = None,
        prefixes: tuple[str, ...] = (),
        signatures: Signatures | None = None,
    ) -> None:
        """Keep the parts. Nothing is sent yet."""
        records.prepare()
        self._prefixes = prefixes
        self.control = control
        self.inference = inference
        self.listing = listing or KeyList(control.list_keys)
        self._targets = targets
        self._runs = runs
        self._account: str | None = None
        self._account_lock = threading.Lock()
        self._blocked: tuple[float, bool | None] | None = None
        self._blocked_lock = threading.Lock()
        self._paths: dict[tuple[str, str], threading.Lock] = {}
        self._paths_lock = threading.Lock()
        self.records = KnownRecords(self.list_records, self.read_record).get
        self.documents = Documents(targets, Signatures() if signatures is None else signatures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.control.close()
        self.inference.close()
        self._targets.close()

    def close_targets(self) -> None:
        """Close the connections to the targets only: a world beside this one goes on with the clients of the APIs."""
        self._targets.close()

    # This machine.
    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return _now()

    def uptime(self) -> float:
        """Return the seconds since boot, including sleep if the system counts it."""
        return uptime()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))

    def random_hex(self, size: int) -> str:
        """Return `size` random bytes of the system as hex digits."""
        return secrets.token_hex(size)

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run the tasks concurrently and wait for all."""
        run_all(tasks)

    def run_alive(self, run: str) -> bool | None:
        """Tell whether a run of this machine holds its lock. Return None for a run on another machine."""
        return self._runs.alive(run)

    # The operator.
    def key_prefixes(self) -> tuple[str, ...]:
        """Return how further model access keys begin."""
        return self._prefixes

    def signed(self) -> bool:
        """Tell whether there is a key for signatures: then a record without a valid one is refused."""
        return bool(self.documents.signatures)

    # The control API.
    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Return the run's complete list. With `fresh`, return one whose reading began after this call."""
        return self.listing.get(fresh=fresh)

    def account(self) -> str:
        """Return the team's uuid, which is read once, or empty if the token may not read it."""
        with self._account_lock:
            if self._account is None:
                self._account = self.control.account()
            return self._account

    def prepayment_blocked(self) -> bool | None:
        """Tell whether the account's balance is used up. The answer is cached for 10 s."""
        with self._blocked_lock:
            if self._blocked is None or self.uptime() - self._blocked[0] > BLOCKED_SECONDS:
                self._blocked = (self.uptime(), self.control.prepayment_blocked())
            return self._blocked[1]

    def clock_skew(self) -> float:
        """Return the seconds between the API's last `Date` and our clock."""
        return self.control.clock_skew()

    def throttled(self) -> float:
        """Return the seconds for which the rate budget delays the next call."""
        return self.control.budget.throttled()

    def create(self, name: str, guard: Guard) -> Minted:
        """Mint a new key."""
        minted = self.control.create(name, guard)
        self.listing.amend(lambda keys: (*(key for key in keys if key.uuid != minted.key.uuid), minted.key))
        return minted

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Mint a new secret for a key."""
        return self.control.regenerate(uuid, guard)

    def rename(self, uuid: str, name: str, guard: Guard) -> None:
        """Rename a key."""
        self.control.rename(uuid, name, guard)
        self.listing.amend(lambda keys: tuple(replace(key, name=name) if key.uuid == uuid else key for key in keys))

    def delete(self, uuid: str, guard: Guard) -> None:
        """Delete a key."""
        self.control.delete(uuid, guard)
        self.listing.amend(lambda keys: tuple(key for key in keys if key.uuid != uuid))

    # The inference API.
    def models(self, secret: Secret) -> WireAnswer:
        """Call GET /v1/models."""
        return self.inference.models(secret)

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Request a tiny completion."""
        return self.inference.complete(secret, model, api)

    # Deliveries.
    def read_delivery(self, delivery: Delivery) -> Held:
        """Read the current secret of a delivery, or the marker of a write-only one."""
        target, place = self._targets.get(delivery.target), (delivery.path, delivery.field)
        value, later = target.read(*place), _delayed(target)
        then = later.consequence(*place) if later else ""
        return Held(value.secret, value.version, bool(_write_only(target)), then, value.refuses)

    def effect(self, delivery: Delivery, version: str) -> Effect:
        """Ask the target, if its values take effect later than they are written."""
        later = _delayed(self._targets.get(delivery.target))
        return later.effect(delivery.path, delivery.field, version) if later else Effect()

    def read_delivery_version(self, delivery: Delivery, version: str) -> Secret | None:
        """Read the secret of a delivery at an earlier version."""
        return self._targets.get(delivery.target).read_version(delivery.path, delivery.field, version)

    def write_delivery(self, delivery: Delivery, secret: Secret, expected: Held, guard: Guard) -> str:
        """Replace what was read by `secret`. Return the new version, or marker."""
        target, place = self._targets.get(delivery.target), (delivery.path, delivery.field)
        with self._path(delivery):
            if marking := _write_only(target):
                return marking.write_marked(*place, secret, expected.version, guard)
            return target.write(*place, secret, expected.secret, guard)

    def remove_delivery(self, delivery: Delivery, expected: Held, guard: Guard) -> None:
        """Remove our field."""
        target, place = self._targets.get(delivery.target), (delivery.path, delivery.field)
        with self._path(delivery):
            if marking := _write_only(target):
                marking.remove_marked(*place, expected.version, guard)
            elif expected.secret is not None:
                target.remove(*place, expected.secret, guard)

    def preflight(self, delivery: Delivery) -> None:
        """Check that the delivery is readable and writable."""
        target = self._targets.get(delivery.target)
        with self._path(delivery):
            target.preflight(delivery.path, delivery.field)

    def unique_versions(self, delivery: Delivery) -> bool:
        """Tell whether two places of the target's type never show the same version."""
        return self._targets.get(delivery.target).capabilities.unique_versions

    def fenced(self, delivery: Delivery) -> bool:
        """Tell whether the target has compare-and-set."""
        return self._targets.get(delivery.target).capabilities.compare_and_set

    # Records and claims.
    def read_record(self, key: str) -> StoredRecord:
        """Read `<prefix>/keys/<key>`."""
        path = self.documents.path("keys", key)
        found, where = self.documents.read(path), self.documents.where(path)
        if found.text is None:
            return StoredRecord(None, found.version)
        record = records.parse_record(found.text, where=where)
        if record.key != key:
            raise TargetMisfit(
                "this is the record of another key",
                where=where,
                evidence=f"it names {record.key!r}",
            )
        return StoredRecord(record, found.version)

    def write_record(self, record: Record, version: str) -> str:
        """Write `<prefix>/keys/<key>` over exactly `version`."""
        return self.documents.write(self.documents.path("keys", record.key), records.dump(record), version)

    def list_records(self) -> tuple[str, ...]:
        """Return the ids of all keys that have a record here."""
        return self.documents.names("keys")

    def read_claim(self, uuid: str) -> StoredClaim:
        """Read `<prefix>/slots/<uuid>`."""
        path = self.documents.path("slots", uuid)
        found, where = self.documents.read(path), self.documents.where(path)
        if found.text is None:
            return StoredClaim(None, found.version)
        claim = records.parse_claim(found.text, where=where)
        if claim.uuid != uuid:
            raise TargetMisfit(
                "this is the claim on another API key",
                where=where,
                evidence=f"it names {claim.uuid!r}",
            )
        return StoredClaim(claim, found.version)

    def write_claim(self, claim: Claim, version: str) -> str:
        """Write `<prefix>/slots/<uuid>` over exactly `version`."""
        return self.documents.write(self.documents.path("slots", claim.uuid), records.dump(claim), version)

    def notebook(self, owner: str) -> Notebook:
        """Return what reads and writes the notes of notices, `<prefix>/notices/<digest of the owner>`."""
        from keyturn.live.notebook import Notebook  # noqa: PLC0415 - only notices need it

        name = hashlib.sha256(owner.encode()).hexdigest()[:16]
        path = self.documents.path("notices", name)
        read, write, stored = self.documents.read, self.documents.write, partial(self.documents.stored, "notices", name)
        return Notebook(partial(read, path), partial(write, path), stored, self.documents.where(path))

    def _path(self, delivery: Delivery) -> threading.Lock:
        """Return the lock of a path. Several keys may use different fields of one path."""
        with self._paths_lock:
            return self._paths.setdefault((delivery.target, delivery.path), threading.Lock())


def _write_only(target: Target) -> WriteOnly | None:
    return target if isinstance(target, WriteOnly) and not target.capabilities.reads else None


def _delayed(target: Target) -> Delayed | None:
    return target if isinstance(target, Delayed) and target.capabilities.effect else None


def budget_of(hear: Hear) -> RateBudget:
    """Return a budget whose waits `hear` is told of."""

    def told(seconds: float) -> None:
        """Report a wait. An error of the listener must not interrupt the work on a key."""
        with suppress(Exception):
            now = _now()
            text = f"waits {span(seconds)} for the API's rate limit"
            hear(Progress("", text, now, Stage.WAIT, until=now + timedelta(seconds=seconds)))

    return RateBudget(time.sleep, _now, hear=told, stop=_stopping, ticks=uptime)


def span(seconds: float) -> str:
    """Format a wait in seconds, or in minutes from two minutes on."""
    return f"{math.ceil(seconds)} s" if seconds <= _IN_SECONDS else f"{math.ceil(seconds / 60)} min"


def _now() -> datetime:
    return datetime.now(UTC)


def _stopping() -> bool:
    return stop_requested() is not None


def url_of(environment: Mapping[str, str], variable: str, default: str) -> str:
    """Return the URL of one of the two APIs. It has to be https or on this machine (the sandbox). Raises InputError."""
    url = environment.get(variable, "").strip() or default
    try:
        check_transport(parse_origin(url))
    except InputError as error:
        raise InputError(error.what, where=variable, remedy=error.remedy) from None
    return url
