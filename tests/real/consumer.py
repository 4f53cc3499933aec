"""Consumers that re-read the vault twice a second and call the API without pause, while their keys rotate."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from json import dumps
from typing import Self
from urllib.parse import urlsplit

from tests.real.promise import breaches
from tests.real.site import MODEL, Servers, Site

REREAD = 0.5
OVERLAP = 5.0
BODY = dumps({"model": MODEL, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 16})


class Consumer:
    """Two threads: one reads a key's secret again and again, one calls with what was read last."""

    def __init__(self, site: Site, key: str) -> None:
        """Prepare; nothing is read."""
        self._site, self._key = site, key
        self._secret = site.held(key) or ""
        self._done = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._call)]
        self.calls = 0
        self.refused = 0
        self.other = 0
        self.outages: list[float] = []
        """Seconds from the last accepted call before a refused one to the next accepted one."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(10)

    def _read(self) -> None:
        while not self._done.wait(REREAD):
            self._secret = self._site.held(self._key) or self._secret

    def _call(self) -> None:
        connection = HTTPConnection(urlsplit(self._site.sandbox.url).netloc, timeout=10)
        good, out = time.monotonic(), False
        while not self._done.is_set():
            headers = {"Authorization": f"Bearer {self._secret}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", BODY, headers)
            answer = connection.getresponse()
            answer.read()
            self.calls += 1
            if answer.status == 200:
                if out:
                    self.outages.append(time.monotonic() - good)
                good, out = time.monotonic(), False
            elif answer.status == 401:
                self.refused, out = self.refused + 1, True
            else:
                self.other += 1
        connection.close()


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
    vault_outage: float
    """Seconds for which the vault itself held a dead secret, of all keys together."""
    wrong: tuple[str, ...]
    seconds: float


def serve(shared: Servers, strategy: str, keys: int, rounds: int) -> Served:
    """Rotate so many keys so many times, all of them at once, each under its own consumer."""
    start = time.monotonic()
    names = [f"k{number}" for number in range(keys)]
    wrong: list[str] = []
    old: list[str] = []
    with Site(shared) as site, ExitStack() as stack:
        for name in names:
            site.existing(name, strategy)
        site.come_to_rest(overlap=f"{OVERLAP:g}s")
        consumers = [stack.enter_context(Consumer(site, name)) for name in names]
        for number in range(rounds):
            old += [site.held(name) or "" for name in names]
            wrong += [f"round {number}: {what}" for what in _round(site, names, strategy, old[-keys:])]
        time.sleep(2 * REREAD)
        stack.close()
        records = [record for name in names if (record := site.record(name))]
        return Served(
            rotations=sum(record.generation - 1 for record in records),
            calls=sum(one.calls for one in consumers),
            refused=sum(one.refused for one in consumers),
            other=sum(one.other for one in consumers),
            old_dead=sum(not site.sandbox.accepts(secret) for secret in old),
            proven=sum("proven" in event.what for record in records for event in record.history),
            outages=tuple(outage for one in consumers for outage in one.outages),
            vault_outage=sum(site.outage(name) for name in names),
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
