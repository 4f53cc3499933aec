"""What befalls all keys of a stack at once is the token's or the API's doing, not the keys': the whole run stops.

The same rules as for all keys of a manifest. The engine works on one resource at a time, so the others are found by
their records.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress

from keyturn.core import brakes
from keyturn.core.errors import KeyturnError, RunStopped
from keyturn.core.model import SILENT, Verdict, WireKind
from keyturn.core.record import Record
from keyturn.core.secret import Secret
from keyturn.engine import smoke
from keyturn.live.live_world import LiveWorld
from pulumi_keyturn import health

EXEMPT = "KEYTURN_ONE_BY_ONE"
"""A variable that names keys, separated by commas, of which a person says that it is really they that are gone."""


def family(owner: str) -> str:
    """Return how the owners of all keys of a stack begin; another owner is told by its whole name."""
    return "/".join(owner.split("/")[:2]) + "/" if owner.startswith("pulumi:") else owner


class Fate:
    """The keys of one stack in one place of records; thread-safe, and once stopped it stays so."""

    def __init__(self, world: LiveWorld, owners: str) -> None:
        """Take the family of owners; nothing is read yet."""
        self._world = world
        self._owners = owners
        self._lock = threading.Lock()
        self._live: dict[str, str] | None = None
        self._stopped = ""

    def check_listed(self, key: str, record: Record | None) -> None:
        """Raise RunStopped where this key is not listed and no other is, or where they are another team's."""
        with self._lock:
            listed = self._world.list_keys()
            live = record.slot(record.live) if record and not record.deleted_at else None
            if _exempt(key) or (live and any(item.uuid == live.uuid and not item.deleted_at for item in listed)):
                return
            if not self._stopped and (self._live is None or brakes.all_gone(self._live, listed)):
                records = self._records()
                self._live = brakes.live_uuids(records)
                gone = brakes.all_gone(self._live, listed)
                self._stopped = brakes.other_team(self._world.account(), records) or (
                    gone and brakes.all_gone(self._live, self._world.list_keys(fresh=True))
                )
            self._stop()

    def same_team(self, key: str, record: Record) -> bool:
        """Tell whether it is known whose the account token is, though the list may show no API key of this record."""
        account = self._world.account()
        if _exempt(key) or (account and record.account == account):
            return True
        with self._lock:
            listed = self._world.list_keys()
            shown = {item.uuid for item in listed if not item.deleted_at}
            return bool(record.uuids & shown) or key in brakes.vouched({key: record}, self._records().values(), listed)

    def check_accepted(self, record: Record) -> None:
        """Raise RunStopped where the API refuses this key's secret and accepts no other key's.

        One answer a key is enough: to stop for nothing costs less than to mint for nothing.
        """
        if _exempt(record.key) or self._verdict(record) is not Verdict.REFUSED:
            return
        with self._lock:
            verdicts: list[Verdict | None] = [Verdict.REFUSED]
            others = () if self._stopped else self._records().values()
            for other in others:
                if other.key != record.key and Verdict.ACCEPTED not in verdicts:
                    verdicts.append(self._verdict(other))
            self._stopped = self._stopped or brakes.all_refused(verdicts)
            self._stop()

    def _stop(self) -> None:
        if self._stopped:
            hint = f"Where it is true of the keys after all, name them in the environment: {EXEMPT}=KEY,KEY"
            raise RunStopped(self._stopped, remedy=f"{hint} has each judged by itself.")

    def _records(self) -> dict[str, Record]:
        """Return the records of the stack's keys; one that cannot be read tells nothing."""
        found = {}
        for key in self._world.list_records():
            with suppress(KeyturnError):
                record = self._world.read_record(key).record
                if record and record.owner.startswith(self._owners) and not record.deleted_at:
                    found[key] = record
        return found

    def _verdict(self, record: Record) -> Verdict | None:
        secret = self._live_secret(record)
        kind = self._world.models(secret).kind if secret else WireKind.UNREACHABLE
        if kind is WireKind.UNAUTHORIZED:
            return None if smoke.maybe_blocked(self._world) else Verdict.REFUSED
        return None if kind in SILENT else Verdict.ACCEPTED

    def _live_secret(self, record: Record) -> Secret | None:
        for item in record.deliveries:
            with suppress(KeyturnError):
                secret = self._world.read_delivery(item.delivery).secret
                if health.is_live(record, secret):
                    return secret
        return None


def _exempt(key: str) -> bool:
    return key in (name.strip() for name in os.environ.get(EXEMPT, "").split(","))
