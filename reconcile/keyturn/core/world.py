"""The port: every effect that keyturn has on the world, and all that it reads from it.

The real one (`live_world.py`) uses HTTP; the simulated one (`tests/simulation/`) is memory that can cut, fail, delay
or repeat at every effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from keyturn.core.effect import Effect
from keyturn.core.model import Api, ApiKey, Delivery, WireAnswer
from keyturn.core.record import Claim, Record
from keyturn.core.secret import Secret

Guard = Callable[[], None]
"""Called right before the bytes of a mutating call go out; raises LeaseLost to stop it, with nothing sent."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A key with the secret that its create or regenerate showed, this once."""

    key: ApiKey
    secret: Secret


@dataclass(frozen=True, slots=True)
class Held:
    """What a delivery holds now: None where the field (or the whole value) is absent.

    `version` is the target's own, empty where it has none. `marked`: the value cannot be read, `secret` is None, and
    `version` is the marker, empty where the field is absent. `consequence`: what a write sets off, in words.
    `refuses`: why a write is refused until an operator acts; empty where none is known to be.
    """

    secret: Secret | None = None
    version: str = ""
    marked: bool = False
    consequence: str = ""
    refuses: str = ""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as read: `record` None where there never was one; `version` is what compare-and-set wants back."""

    record: Record | None
    version: str


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A claim as read, with its version."""

    claim: Claim | None
    version: str


class World(Protocol):
    """All effects. Raises only errors of `keyturn.core.errors`."""

    def now(self) -> datetime:
        """Return the wall clock, aware, in UTC."""

    def uptime(self) -> float:
        """Return seconds on a clock that never jumps and goes on while the machine sleeps."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random_hex(self, size: int) -> str:
        """Return `size` random bytes as hex digits."""

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run the tasks side by side and wait for all; tasks keep their own errors."""

    # The operator.
    def key_prefixes(self) -> tuple[str, ...]:
        """Return how further model access keys begin, besides `KEY_PREFIXES`."""

    def signed(self) -> bool:
        """Tell whether every record that is read has a valid signature: else it could be forged."""

    # The control API.
    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Return a complete list (lifecycle: Lists); one list serves a whole run unless `fresh`.

        Raises ApiError; a failed or incomplete list is unknown, never absent.
        """

    def account(self) -> str:
        """Return the team's uuid, empty where the token may not read it."""

    def prepayment_blocked(self) -> bool | None:
        """Tell whether the account is blocked for lack of balance; None if the token may not know. Raises ApiError."""

    def clock_skew(self) -> float:
        """Return the API's last `Date` minus our clock in seconds, 0.0 before any answer."""

    def throttled(self) -> float:
        """Return how many seconds the API's rate limit holds the next call back, 0.0 where it may be made now.

        A change that has to wait for longer than a moment raises RateLimited instead: nothing happened.
        """

    def create(self, name: str, guard: Guard) -> Minted:
        """Mint a new key; raises CreateRetired on 410, Ambiguous, or another ApiError. Never retried inside."""

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Mint a new secret for a key; the old one dies. Never retried inside."""

    def rename(self, uuid: str, name: str, guard: Guard) -> None:
        """Rename a key; retried inside."""

    def delete(self, uuid: str, guard: Guard) -> None:
        """Delete a key; 404 counts as done; retried inside."""

    # The inference API; each call on a fresh connection, never an exception: the answer tells.
    def models(self, secret: Secret) -> WireAnswer:
        """GET /v1/models."""

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """Ask for a completion of at most 16 tokens; its text is dropped."""

    # Deliveries. All raise TargetError or CredentialError.
    def read_delivery(self, delivery: Delivery) -> Held:
        """Read what a delivery holds now."""

    def read_delivery_version(self, delivery: Delivery, version: str) -> Secret | None:
        """Read what a delivery held at an earlier version; None where the target keeps none or it is gone."""

    def effect(self, delivery: Delivery, version: str) -> Effect:
        """Tell whether consumers use what keyturn wrote and a delivery still holds, as read at this version."""

    def write_delivery(self, delivery: Delivery, secret: Secret, expected: Held, guard: Guard) -> str:
        """Replace what was read by `secret` and return the new version, or marker; other fields stay.

        Raises Conflict if our field is no longer as `expected`. Changes of other fields are merged, five times at
        most.
        """

    def remove_delivery(self, delivery: Delivery, expected: Held, guard: Guard) -> None:
        """Remove our field where it still is as `expected`; an absent field is done; Conflict otherwise."""

    def preflight(self, delivery: Delivery) -> None:
        """Show that the delivery is readable and writable, leaving its content as it is."""

    def unique_versions(self, delivery: Delivery) -> bool:
        """Tell whether two places of the target's type never show the same version."""

    def fenced(self, delivery: Delivery) -> bool:
        """Tell whether the target compares and sets, so that a late write cannot land over a newer one."""

    # Records and claims. All raise TargetError or CredentialError; writes raise Conflict.
    def read_record(self, key: str) -> StoredRecord:
        """Read a record; a deleted, unreadable or newer-schema record is an error, never None."""

    def write_record(self, record: Record, version: str) -> str:
        """Write a record over exactly `version` and return the new version."""

    def list_records(self) -> tuple[str, ...]:
        """Return the ids of all keys that have a record here, of every owner."""

    def records(self) -> tuple[Record, ...]:
        """Return every record here, of every owner, as it was when this run first asked for them."""

    def read_claim(self, uuid: str) -> StoredClaim:
        """Read who claims an API key."""

    def write_claim(self, claim: Claim, version: str) -> str:
        """Write a claim over exactly `version` and return the new version."""

    # Runs on this machine.
    def run_alive(self, run: str) -> bool | None:
        """Tell whether a run of this machine holds its lock; None for a run of elsewhere."""
