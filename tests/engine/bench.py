"""`python -m tests.engine.bench`: an up at rest with many keys, beside a program with empty dynamic resources."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from keyturn.sandbox import Sandbox
from tests.engine.build import engine
from tests.engine.harness import Program, Site
from tests.support.openbao import OpenBao

KEYS = 100
RUNS = 3
LIMIT = 1.3
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


def main() -> int:
    """Measure in turn, take the best of each, and fail where keys are slower than `LIMIT` times empty resources."""
    with (
        tempfile.TemporaryDirectory() as home,
        tempfile.TemporaryDirectory() as bao,
        OpenBao(Path(bao)) as openbao,
        Sandbox(create="allowed", minute_limit=100_000, hour_limit=100_000) as sandbox,
    ):
        site = Site(Path(home), engine(), sandbox, openbao, "bench", {"VAULT_TOKEN": openbao.root_token})
        (site.folder / "nothing.py").write_text(NOTHING)
        data = {f"bot-{number}": site.inputs(f"bot-{number}") for number in range(KEYS)}
        programs = {"full": Program(FULL, data), "empty": Program(EMPTY, data)}
        made = {stack: seconds(site, stack, program) for stack, program in programs.items()}
        lists = len(site.requests("list"))
        rest = [{stack: seconds(site, stack, program) for stack, program in programs.items()} for _ in range(RUNS)]
        calls = len(site.requests())
    full, empty = (min(run[stack] for run in rest) for stack in ("full", "empty"))
    ratio = full / empty
    print(f"{KEYS} keys made in {made['full']:.0f} s with {lists} list(s); empty resources in {made['empty']:.0f} s")
    print(f"at rest: {full:.1f} s and {calls} calls, {ratio:.2f} times empty resources ({empty:.1f} s); best of {RUNS}")
    print(f"limit: {LIMIT} times; {'held' if ratio <= LIMIT and lists == 1 and calls == 0 else 'broken'}")
    return 0 if ratio <= LIMIT and lists == 1 and calls == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
