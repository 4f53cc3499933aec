"""`pulumi up` of keys at rest on the real engine, beside a program with as many empty dynamic resources."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.bench.figures import Figure, at_most, interleaved
from tests.engine.build import engine
from tests.engine.harness import Program, Site
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
    """Make both stacks, then measure them at rest in turn. Raises AssertionError if an up at rest sends a request."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as bao,
        OpenBao(Path(bao)) as openbao,
        Sandbox(create="allowed", minute_limit=100_000, hour_limit=100_000) as sandbox,
    ):
        site = Site(Path(home), engine(), sandbox, openbao, "bench", {"VAULT_TOKEN": openbao.root_token})
        (site.folder / "nothing.py").write_text(NOTHING)
        data = {f"bot-{number}": site.inputs(f"bot-{number}") for number in range(KEYS)}
        full, empty = f"pulumi up, {KEYS} keys", "empty resources"
        programs = {full: ("full", Program(FULL, data)), empty: ("empty", Program(EMPTY, data))}
        tasks = {name: partial(seconds, site, *program) for name, program in programs.items()}
        interleaved(1, tasks)
        assert len(site.requests("list")) == 1
        times = interleaved(ROUNDS, tasks)
        assert not site.requests()
    return [at_most("pulumi up at rest", LIMIT, times, full, empty)]
