"""`pulumi up` of keys at rest on the real engine, beside a program with as many empty resources of the same kind.

The dynamic resources are measured so, and those of the full provider with and without a refresh before each up. What
stands beside the full provider is `tests/bench/nothing.py`: a full provider, too, in Python and on the same messages.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.bench.figures import Figure, at_most, interleaved
from tests.bench.nothing import KIND, OURS, READING, THEIRS
from tests.engine.build import engine
from tests.engine.full_site import YamlSite
from tests.engine.harness import Program, Site
from tests.engine.languages import host
from tests.generated import ROOT
from tests.support.openbao import OpenBao

KEYS = 100
ROUNDS = 9
"""Ups of two seconds: with three of each, a busy moment of the machine decides."""
LIMIT = 1.2
Resources = Mapping[str, Mapping[str, object]]
Settings = Mapping[str, object]
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
    """Yield the figures of the full provider. With a refresh, an up lists the API keys once for all keys.

    A refresh has to ask the servers, and empty resources need not. So a refresh has two figures: one beside empty
    resources, and one beside empty resources that ask the same servers for the same.
    """
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
            empty = {name: {**key, "type": KIND} for name, key in keys.items()}
            settings = {"refreshBeforeUpdate": refresh}
            ours, theirs, reading = f"pulumi up, {KEYS} keys, {how}", f"empty resources, {how}", "empty, and they read"
            tasks = {
                ours: partial(full_seconds, site, f"{OURS}{names[0]}", "keyturn", keys, settings),
                theirs: partial(full_seconds, site, f"{THEIRS}{names[0]}", "nothing", empty, settings),
            }
            if refresh:
                read = {**settings, "reads": True}
                tasks[reading] = partial(full_seconds, site, f"{THEIRS}{READING}{names[0]}", "nothing", empty, read)
            interleaved(2, tasks)  # the first up creates, and a bytecode file is read by the second one only
            site.requests()
            times = interleaved(ROUNDS, tasks)
            seen = [item.op for item in site.requests()]
            assert seen.count("list") == ROUNDS * 2 * refresh
            assert refresh or not seen
            yield at_most(f"full provider at rest, {how}", LIMIT, times, ours, theirs)
            if refresh:
                yield at_most(f"full provider at rest, {how}, beside reads", LIMIT, times, ours, reading)


def full_seconds(site: YamlSite, stack: str, package: str, resources: Resources, settings: Settings) -> float:
    """Return how long an up of a stack in YAML takes. Its resources use a provider with these settings."""
    used = {name: {**one, "options": {"provider": "${settings}"}} for name, one in resources.items()}
    provider = {"type": f"pulumi:providers:{package}", "properties": settings}
    return seconds(site, stack, Program(data={"resources": {"settings": provider, **used}}))


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
