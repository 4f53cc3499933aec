"""The contract suite as a table: each target, each case. What a test tells of itself survives xdist's workers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CONTRACT = "contract"
"""The name of the property in which a test says `<group> <target>`."""

Table = Mapping[str, Mapping[str, Counter[str]]]
"""Case → target → how many times each outcome came."""


def note(request: pytest.FixtureRequest, group: str) -> str:
    """Note that this test is a case of the contract, for the target that its fixture is for; return the target."""
    target = str(request.param)
    request.node.user_properties.append((CONTRACT, f"{group} {target}"))
    return target


def show(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a table for each group of the contract that was run."""
    for group, table in sorted(tables(terminalreporter.stats).items()):
        terminalreporter.section(f"contract: {group}")
        for line in lines(table):
            terminalreporter.write_line(line)


def tables(stats: Mapping[str, Sequence[object]]) -> dict[str, Table]:
    """Sort pytest's reports by group, case and target; failed before the test itself counts as failed."""
    found: dict[str, defaultdict[str, defaultdict[str, Counter[str]]]] = {}
    for outcome, reports in stats.items():
        for report in reports:
            named = dict(getattr(report, "user_properties", ())).get(CONTRACT)
            if named and outcome in {"passed", "failed", "error"}:
                group, _, target = str(named).partition(" ")
                case = str(getattr(report, "nodeid", "")).rpartition("::")[2].partition("[")[0]
                cases = found.setdefault(group, defaultdict(lambda: defaultdict(Counter)))
                cases[case.removeprefix("test_").replace("_", " ")][target][outcome] += 1
    return {group: dict(cases) for group, cases in found.items()}


def lines(table: Table) -> Iterator[str]:
    """Lay a table out; a column's title is broken at its hyphens, and a dash is what is not asked of a target."""
    targets = sorted({target for row in table.values() for target in row})
    titles = [target.split("-") for target in targets]
    width = [max(8, *map(len, words)) for words in titles]
    first = max(map(len, table))
    for level in range(max(map(len, titles))):
        words = [title[level] if level < len(title) else "" for title in titles]
        yield _row("", first, words, width)
    for case, row in table.items():
        yield _row(case, first, [_cell(row.get(target, Counter())) for target in targets], width)


def _cell(outcomes: Counter[str]) -> str:
    bad = outcomes.total() - outcomes["passed"]
    if bad:
        return f"{bad} BAD"
    times = outcomes["passed"]
    return f"ok ×{times}" if times > 1 else "ok" if times else "–"


def _row(name: str, first: int, cells: Sequence[str], width: Sequence[int]) -> str:
    return f"{name:{first}}  {' '.join(f'{cell:{wide}}' for cell, wide in zip(cells, width, strict=True))}".rstrip()
