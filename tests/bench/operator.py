"""An operator with 1,000 ModelAccessKeys on a real API server: time, requests, memory; and a restart with all of them.

It prints absolute figures, which depend on the machine; the goals are numbers of requests and writes, which do not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keyturn.sandbox import Sandbox, Settings
from tests.bench.figures import Figure
from tests.cluster.control_plane import Cluster, program
from tests.cluster.operating import Cell, Replica, Tenant, by_type
from tests.cluster.resources import Resources
from tests.support.process import wait_until

KEYS = int(os.environ.get("KEYS", "1000"))
LONGEST = 1800
"""Seconds that one part may take."""


def measure() -> Sequence[Figure]:
    """Measure on servers of its own."""
    with site() as tenant:
        sandbox = tenant.cell.sandbox
        for number in range(KEYS):
            tenant.panel(f"{tenant.name}-k{number}")
        names = [f"k{number}" for number in range(KEYS)]
        with tenant.cell.operator() as operator:
            sandbox.clear_requests()
            began, answered = time.monotonic(), _answers(tenant)
            for name in names:
                tenant.make(name, made=False)
            _say(f"{KEYS} keys made in {time.monotonic() - began:.1f} s")
            wait_until(lambda: _ready(tenant) == KEYS, "all keys are ready", seconds=LONGEST, every=2)
            _say(f"all Ready {time.monotonic() - began:.1f} s after the first was made; {_requests(tenant)}")
            _say(f"memory {_resident(operator)} MB, CPU {_cpu(operator):.1f} s")
            _say(f"the API server answered {_answers(tenant) - answered} requests, {KEYS} of them to make the keys")
            idle = _cpu(operator)
            time.sleep(60)
            _say(f"CPU of a minute at rest, with a tenth of the keys verified: {_cpu(operator) - idle:.2f} s")
        versions = _versions(tenant)
        sandbox.clear_requests()
        answered = _answers(tenant)
        began, last = time.monotonic(), f'key="{tenant.name}.{names[-1]}"'
        with tenant.cell.operator() as operator:
            _say(f"restart: ready after {time.monotonic() - began:.1f} s")
            wait_until(lambda: last in operator.get("/metrics").text, "the first look", seconds=LONGEST)
            took, asked = time.monotonic() - began, len(sandbox.requests)
            written = sum(versions.get(one) != version for one, version in _versions(tenant).items())
            _say(f"restart: all looked at after {took:.1f} s; {_requests(tenant)}; {written} statuses written")
            _say(f"memory {_resident(operator)} MB, CPU {_cpu(operator):.1f} s")
            _say(f"the API server answered {_answers(tenant) - answered} requests")
    return [
        _few("requests to DigitalOcean of a restart", asked, 3 + 2 * (1 + KEYS // 200)),
        _few("statuses that a restart writes", written, 0),
    ]


@contextmanager
def site() -> Iterator[Tenant]:
    """Return a tenant of an API server and a sandbox without limits."""
    with tempfile.TemporaryDirectory() as folder, Cluster(program(), Path(folder)) as cluster:
        resources = Resources(cluster)
        resources.install()
        limits = Settings(minute_limit=1_000_000, hour_limit=10_000_000)
        with Sandbox(seed=1, settings=limits) as sandbox:
            cell = Cell(resources, sandbox, Path(folder), cluster.namespace())
            cell.prepare()
            defaults = {"adopt": {"secret": "regenerate"}, "rotation": {"strategy": "in-place", "every": "720h"}}
            yield cell.tenant(defaults=defaults, limits={"rotationsPerRound": KEYS})


def _listed(tenant: Tenant) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tenant.cell.resources.cluster.call("GET", tenant.cell.resources.keys(tenant.name))[
        "items"
    ]
    return listed


def _ready(tenant: Tenant) -> int:
    found = [by_type(one.get("status", {})).get("Ready", {}) for one in _listed(tenant)]
    return sum(one.get("status") == "True" for one in found)


def _versions(tenant: Tenant) -> dict[str, str]:
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in _listed(tenant)}


def _few(name: str, found: int, most: int) -> Figure:
    share = found / max(most, 1)
    return Figure(name, str(found), str(most), share, share, share, f"≤ {most}", found <= most)


def _answers(tenant: Tenant) -> int:
    """Return how many requests the API server has answered, those of this script among them."""
    text = tenant.cell.resources.cluster.text("/metrics")
    counts = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("apiserver_request_total{")]
    return sum(map(int, map(float, counts)))


def _requests(tenant: Tenant) -> str:
    kinds: dict[str, int] = {}
    for one in tenant.cell.sandbox.requests:
        kinds[one.op] = kinds.get(one.op, 0) + 1
    return f"{sum(kinds.values())} requests to DigitalOcean: {kinds}"


def _resident(operator: Replica) -> int:
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS"))


def _cpu(operator: Replica) -> float:
    fields = Path(f"/proc/{operator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
