"""What the simulator's tests explored, summed up at the end of a session; it survives xdist's workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

SIMULATED = "simulated"
"""The name of the property in which a test says what it explored."""


def show(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line of figures, where histories were played."""
    total: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            explored = dict(getattr(report, "user_properties", ())).get(SIMULATED)
            if explored and getattr(report, "when", "") == "call":
                total.update(explored)
    if total:
        terminalreporter.section("simulator")
        terminalreporter.write_line(line(total))


def line(figures: Mapping[str, float]) -> str:
    """Say the figures."""
    return (
        f"{figures['histories']:,} histories in {figures['runs']:,} runs; {figures['effects']:,} effects,"
        f" {figures['points']:,} cut points, {figures['faults']:,} faults, {figures['violations']:,} violations,"
        f" {figures['seconds']:,.0f} s of a processor"
    )
