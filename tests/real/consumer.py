"""Consumers that re-read their store twice a second and call the API without pause, while their keys rotate.

They are threads of a process of their own (`python -m tests.real.consumer`, which this module starts), so that they
take no turn from the servers that they call.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from tests.real.environment import FIELD, MODEL, PATIENT, Servers, Site
from tests.real.promise import breaches
from tests.real.stores import Reading
from tests.support.process import start

REREAD = 0.5
OVERLAP = 5.0
PATIENCE = 60.0
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 16})


@dataclass(slots=True)
class Seen:
    """What one consumer saw."""

    calls: int = 0
    refused: int = 0
    other: int = 0
    outages: list[float] = field(default_factory=list)
    """Seconds from the last accepted call before a refused one to the next accepted one."""


class Consumer:
    """Two threads: one reads a secret from its store again and again, one calls with what was read last."""

    def __init__(self, api: str, reading: Reading) -> None:
        """Read once, then start both."""
        self.seen = Seen()
        self._api, self._reading = urlsplit(api).netloc, reading
        self._secret = ""
        self._done = threading.Event()
        self._reread()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._call)]
        for thread in self._threads:
            thread.start()

    def end(self) -> Seen:
        """Stop both and return what was seen."""
        self._done.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        return self.seen

    def _reread(self) -> None:
        self._secret = (self._reading.fields() or {})[FIELD]

    def _read(self) -> None:
        while not self._done.wait(REREAD):
            self._reread()

    def _call(self) -> None:
        connection = HTTPConnection(self._api, timeout=PATIENCE)
        good, out = time.monotonic(), False
        while not self._done.is_set():
            status = self._status(connection)
            self.seen.calls += 1
            if status == 200:
                if out:
                    self.seen.outages.append(time.monotonic() - good)
                good, out = time.monotonic(), False
            elif status == 401:
                self.seen.refused, out = self.seen.refused + 1, True
            else:
                self.seen.other += 1
        connection.close()

    def _status(self, connection: HTTPConnection) -> int | None:
        headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", BODY, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()
            return None
        return answer.status


@contextmanager
def consuming(site: Site, keys: list[str]) -> Iterator[dict[str, Seen]]:
    """Run a consumer of each delivery of each key; what they saw is in the mapping once the block has ended."""
    seen: dict[str, Seen] = {}
    args = [sys.executable, "-m", "tests.real.consumer"]
    places = {f"{place['target']}, {place['path']}": place for key in keys for place in site.keys[key]["deliver"]}
    readings = {name: asdict(site.store.reading(at["path"], at["target"])) for name, at in places.items()}
    order = {"api": site.sandbox.url, "keys": readings}
    root = Path(__file__).parents[2]
    with start(args, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        yield seen
        found, _ = child.communicate(timeout=2 * PATIENCE)  # its stdin ends, and so does it
        seen |= {key: Seen(**values) for key, values in json.loads(found).items()}


def main() -> None:
    """Consume as told on standard input until that ends; then print what was seen."""
    order = json.loads(sys.stdin.readline())
    consumers = {key: Consumer(order["api"], Reading(**reading)) for key, reading in order["keys"].items()}
    print("ready", flush=True)
    sys.stdin.read()
    print(json.dumps({key: asdict(consumer.end()) for key, consumer in consumers.items()}))


@dataclass(frozen=True, slots=True)
class Served:
    """What consumers of some keys saw during so many rotations."""

    rotations: int
    calls: int
    refused: int
    other: int
    old_dead: int
    """Old secrets that the API refuses once their key is at rest."""
    proven: int
    """Retires whose history says `proven`: the old secret was read back and refused."""
    outages: tuple[float, ...]
    store_outage: float
    """Seconds for which the store itself held a dead secret, of all keys together."""
    wrong: tuple[str, ...]
    seconds: float


def serve(shared: Servers, strategy: str, keys: int, rounds: int) -> Served:
    """Rotate so many keys so many times, all of them at once, each under its own consumer."""
    start = time.monotonic()
    names = [f"k{number}" for number in range(keys)]
    wrong: list[str] = []
    old: list[str] = []
    with Site(shared) as site:
        site.timing = PATIENT
        for name in names:
            site.existing(name, strategy)
        site.come_to_rest(overlap=f"{OVERLAP:g}s")
        with consuming(site, names) as seen:
            for number in range(rounds):
                old += [site.held(name) or "" for name in names]
                wrong += [f"round {number}: {what}" for what in _round(site, names, strategy, old[-keys:])]
            time.sleep(2 * REREAD)
        records = [record for name in names if (record := site.record(name))]
        return Served(
            rotations=sum(record.generation - 1 for record in records),
            calls=sum(one.calls for one in seen.values()),
            refused=sum(one.refused for one in seen.values()),
            other=sum(one.other for one in seen.values()),
            old_dead=sum(not site.sandbox.accepts(secret) for secret in old),
            proven=sum("proven" in event.what for record in records for event in record.history),
            outages=tuple(outage for one in seen.values() for outage in one.outages),
            store_outage=sum(site.outage(name) for name in names),
            wrong=tuple(wrong),
            seconds=time.monotonic() - start,
        )


def _round(site: Site, names: list[str], strategy: str, old: list[str]) -> list[str]:
    """Rotate all keys, wait for the overlap, retire; return what is wrong on the way."""
    wrong = []
    run = site.run("rotate", *names, "--yes")
    if run.code != 0:
        wrong.append(f"rotate ends with {run.code}: {run.out}")
    if strategy == "alternating":
        wrong += ["an old secret died before its overlap was over" for one in old if not site.sandbox.accepts(one)]
        for name in names:
            site.wait_for_overlap(name)
        run = site.apply()
        if run.code != 0:
            wrong.append(f"apply ends with {run.code}: {run.out}")
    wrong += ["an old secret lives on" for one in old if site.sandbox.accepts(one)]
    return wrong + [what for name in names for what in breaches(site, name)]


if __name__ == "__main__":
    main()
