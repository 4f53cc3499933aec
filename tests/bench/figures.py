"""Figures: what was measured beside what, as a ratio with its spread, and whether the goal is met."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Times = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratio` is of the best times; `low` and `high` are of the single rounds."""

    name: str
    keyturn: str
    beside: str
    ratio: float
    low: float
    high: float
    goal: str
    met: bool


def interleaved(rounds: int, tasks: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Run the tasks in turn, so that a busy moment of the machine strikes all; return the times of each."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            times[name].append(task())
    return times


def at_most(name: str, limit: float, times: Times, ours: str, theirs: str) -> Figure:
    """Return the figure of `ours` in times of `theirs`, which may be `limit` at most."""
    return _compared(name, times, ours, theirs, f"≤ {limit:g}", lambda ratio: ratio <= limit)


def at_least(name: str, limit: float, times: Times, theirs: str, ours: str) -> Figure:
    """Return the figure of how many times as long `theirs` takes as `ours`, which is to be `limit` at least."""
    return _compared(name, times, theirs, ours, f"≥ {limit:g}", lambda ratio: ratio >= limit)


def _compared(name: str, times: Times, over: str, under: str, goal: str, met: Callable[[float], bool]) -> Figure:
    ratio = min(times[over]) / min(times[under])
    single = [one / other for one, other in zip(times[over], times[under], strict=False)]
    return Figure(name, shown(over, times), shown(under, times), ratio, min(single), max(single), goal, met(ratio))


def shown(name: str, times: Times) -> str:
    """Return a task with its best time."""
    best = min(times[name])
    return f"{name}: {best * 1000:.0f} ms" if best < 1 else f"{name}: {best:.1f} s"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table in Markdown."""
    rows = ["| figure | measured | beside | ratio | single rounds | goal | |", "|---|---|---|---|---|---|---|"]
    rows += [
        f"| {one.name} | {one.keyturn} | {one.beside} | {one.ratio:.2f} | {one.low:.2f} to {one.high:.2f} | {one.goal} "
        f"| {'met' if one.met else '**missed**'} |"
        for one in figures
    ]
    return "\n".join(rows)


def read(path: Path) -> list[Figure]:
    """Return the figures that `write` has written."""
    return [Figure(**one) for one in json.loads(path.read_text(encoding="utf-8"))]


def write(path: Path, figures: Sequence[Figure]) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in figures], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
