"""A plan of very many keys at rest, with all servers in memory: its time is linear, its memory bounded.

`python -m tests.bench.many KEYS` makes one such plan and prints its seconds of CPU and the peak memory in bytes.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from keyturn.cli.root import COLLECT
from keyturn.core import record as records
from keyturn.core.model import ApiKey, Delivery, Desired, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import DeliveryState, Record, Slot
from keyturn.core.results import Options
from keyturn.core.world import StoredRecord
from keyturn.engine.runner import Runner
from keyturn.live.key_list import KeyList
from keyturn.manifest import load_text
from tests.bench.figures import Figure, at_most, shown
from tests.bench.site import manifest
from tests.support.process import run

FEW, MANY = 1000, 10_000
ROUNDS = 9
LINEAR = 1.2
MEMORY = 150
"""The most MB of the whole process."""
ADDRESS = "https://vault.example.com:8200"
DIGEST = "0123456789abcdef"
NOW = datetime(2026, 8, 1, tzinfo=UTC)


@dataclass
class Memory:
    """What a plan reads of a world: the list, and a record of each key as the text that a store would hold."""

    listing: KeyList
    texts: dict[str, str]
    given: list[StoredRecord] = field(default_factory=list)
    """What was read stays in memory until all is planned, however many keys are planned at a time."""

    def now(self) -> datetime:
        """Return a fixed moment."""
        return NOW

    def uptime(self) -> float:
        """Return a running clock."""
        return time.monotonic()

    def random_hex(self, size: int) -> str:
        """Return digits."""
        return "0" * 2 * size

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """One after the other."""
        for task in tasks:
            task()

    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """Return the list."""
        return self.listing.get(fresh=fresh)

    def key_prefixes(self) -> tuple[str, ...]:
        """Return none besides those that keyturn knows."""
        return ()

    def signed(self) -> bool:
        """As most are: without signatures."""
        return False

    def account(self) -> str:
        """Return the team."""
        return "team"

    def clock_skew(self) -> float:
        """Return none."""
        return 0.0

    def fenced(self, delivery: Delivery) -> bool:
        """As a vault is."""
        return True

    def list_records(self) -> tuple[str, ...]:
        """Return all ids."""
        return tuple(self.texts)

    def read_record(self, key: str) -> StoredRecord:
        """Parse the text, as each store's client does."""
        self.given.append(StoredRecord(records.parse_record(self.texts[key], where=key), "1"))
        return self.given[-1]


def at_rest(loaded: Desired, parts: range) -> tuple[Memory, Desired]:
    """Return some thousands of keys with what they need to be at rest; a manifest holds a thousand at most."""
    keys = tuple(replace(key, id=f"{key.id}-{part}", name=f"{key.id}-{part}") for part in parts for key in loaded.keys)
    listed = tuple(
        ApiKey(f"{number:08x}-1111-4222-8333-000000000000", key.name, NOW - timedelta(days=9))
        for number, key in enumerate(keys)
    )
    texts = {}
    for key, one in zip(keys, listed, strict=True):
        slot = Slot(one.uuid, one.name, one.created_at, DIGEST, NOW - timedelta(days=9))
        states = tuple(DeliveryState(item, 1, "1", DIGEST, slot.minted_at) for item in key.deliveries)
        made = Record(
            key.id, key.owner, "0" * 64, account="team", generation=1, live=SlotName.A, slots={SlotName.A: slot}
        )
        texts[key.id] = records.dump(replace(made, deliveries=states).homed(key.homes))
    return Memory(KeyList(lambda: listed), texts), replace(loaded, keys=keys)


def plan(count: int) -> dict[str, float]:
    """Plan `MANY` keys at rest, `count` at a time; return the seconds of CPU and the peak of memory."""
    loaded = load_text(manifest(FEW, ADDRESS), "keyturn.yaml", {"VAULT_ADDR": ADDRESS})
    parts, each = range(MANY // FEW), count // FEW
    made = [at_rest(loaded, parts[first : first + each]) for first in parts[::each]]
    gc.set_threshold(COLLECT)  # as for each command
    began = time.process_time()
    found = [Runner(*one, lambda _: None).plan([], Options()) for one in made]  # type: ignore[arg-type]  # as it asks
    seconds = time.process_time() - began
    assert {key.end.code for run in found for key in run.plans} == {Reason.AT_REST}
    return {"seconds": seconds, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def measure() -> Sequence[Figure]:
    """Measure both in turn, each in a process of its own; both are as long, so that a busy moment strikes both."""
    few, many = f"{MANY // FEW} plans of {FEW} keys", f"a plan of {MANY} keys in memory"
    times: dict[str, list[float]] = {few: [], many: []}
    peaks: list[float] = []
    for _ in range(ROUNDS):
        for name, count in ((few, FEW), (many, MANY)):
            done = run([sys.executable, "-m", "tests.bench.many", str(count)], seconds=300)
            assert done.returncode == 0, done.stderr[-2000:]
            found = json.loads(done.stdout)
            times[name].append(found["seconds"])
            if count == MANY:
                peaks.append(found["bytes"] / 1e6)
    peak, least = max(peaks), min(peaks)
    within = [peak / MEMORY, least / MEMORY, peak / MEMORY]
    what, goal = f"{shown(many, times)}, {peak:.0f} MB", f"≤ {MEMORY} MB"
    return [
        at_most("ten times the keys, for each key", LINEAR, times, many, few),
        Figure("peak memory", what, f"{MEMORY} MB", within[0], within[1], within[2], goal, peak <= MEMORY),
    ]


if __name__ == "__main__":
    print(json.dumps(plan(int(sys.argv[1]))))
