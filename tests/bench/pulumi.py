"""`pulumi up` of keys at rest on the real engine, beside a program with as many empty resources of the same kind.

The dynamic resources are measured so, and those of the full provider with and without a refresh before each up.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.bench.figures import Figure, at_most, interleaved
from tests.bench.nothing import KIND
from tests.engine.build import engine
from tests.engine.full_site import YamlSite
from tests.engine.harness import Program, Site
from tests.engine.languages import host
from tests.generated import ROOT
from tests.support.openbao import OpenBao

KEYS = 100
ROUNDS = 3
LIMIT = 1.2
NOTHING = """
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Nothing(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return CreateResult("id", props)


class Empty(Resource):
    def __init__(self, name, props):
        super().__init__(Nothing(), name, props)
"""
EMPTY = "from nothing import Empty\nfor name in data: Empty(name, data[name])"
FULL = "for name in data: ModelAccessKey(name, data[name])"


def seconds(site: Site, stack: str, program: Program) -> float:
    """Return how long an up of a stack takes."""
    site.stack = stack
    began = time.perf_counter()
    site.up(program)
    return time.perf_counter() - began


def measure() -> Sequence[Figure]:
    """Measure both kinds of resources. Raises AssertionError if an up at rest sends a request that it need not."""
    return [dynamic(), *full()]


def full() -> Iterator[Figure]:
    """Yield the figures of the full provider. With a refresh, an up lists the API keys once for all keys."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as bao,
        OpenBao(Path(bao)) as openbao,
        Sandbox(create="allowed", minute_limit=100_000, hour_limit=100_000) as sandbox,
    ):
        variables = {"VAULT_TOKEN": openbao.root_token, "PYTHONPATH": str(ROOT)}
        site = YamlSite(Path(home), engine(), sandbox, openbao, "bench", variables, host=host("yaml"))
        program = site.programs / "pulumi-resource-nothing"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tests.bench.nothing "$@"\n')
        program.chmod(0o755)
        for refresh in (False, True):
            how = "with a refresh" if refresh else "without a refresh"
            names = [f"{'read' if refresh else 'rest'}-{number}" for number in range(KEYS)]
            keys = {name: site.declared(name) for name in names}
            empty = {name: {"type": KIND, "properties": {"inputs": keys[name]["properties"]}} for name in names}
            ours, theirs = f"pulumi up, {KEYS} keys, {how}", f"empty resources, {how}"
            tasks = {
                ours: partial(full_seconds, site, f"{names[0]}-ours", keys, {"refreshBeforeUpdate": refresh}),
                theirs: partial(full_seconds, site, f"{names[0]}-theirs", empty, {}),
            }
            site.variables["REFRESH"] = "yes" if refresh else ""
            interleaved(1, tasks)
            site.requests()
            times = interleaved(ROUNDS, tasks)
            seen = [item.op for item in site.requests()]
            assert seen.count("list") == ROUNDS * refresh
            assert refresh or not seen
            yield at_most(f"full provider at rest, {how}", LIMIT, times, ours, theirs)


def full_seconds(site: YamlSite, stack: str, resources: object, configuration: dict[str, object]) -> float:
    """Return how long an up of a stack in YAML takes."""
    site.configuration = configuration
    return seconds(site, stack, Program(data={"resources": resources}))


def dynamic() -> Figure:
    """Return the figure of the dynamic resources."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as bao,
        OpenBao(Path(bao)) as openbao,
        Sandbox(create="allowed", minute_limit=100_000, hour_limit=100_000) as sandbox,
    ):
        site = Site(Path(home), engine(), sandbox, openbao, "bench", {"VAULT_TOKEN": openbao.root_token})
        (site.folder / "nothing.py").write_text(NOTHING)
        data = {f"bot-{number}": site.inputs(f"bot-{number}") for number in range(KEYS)}
        keys, empty = f"pulumi up, {KEYS} keys", "empty resources"
        programs = {keys: ("keys", Program(FULL, data)), empty: ("empty", Program(EMPTY, data))}
        tasks = {name: partial(seconds, site, *program) for name, program in programs.items()}
        interleaved(1, tasks)
        assert len(site.requests("list")) == 1
        times = interleaved(ROUNDS, tasks)
        assert not site.requests()
    return at_most("dynamic resources at rest", LIMIT, times, keys, empty)
