"""The conformance run as a table: each call, each check, how many answers were held against the description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from tests.support import table

if TYPE_CHECKING:
    import pytest

CONFORMANCE = "conformance"
"""The name of the property in which a test says `[call, {check: cases}, {check: deviations}]`."""


def note(request: pytest.FixtureRequest, call: str, cases: Mapping[str, int], deviations: Mapping[str, int]) -> None:
    """Note what came of one call; it survives xdist's workers."""
    request.node.user_properties.append((CONFORMANCE, [call, dict(cases), dict(deviations)]))


def show(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, if there was a conformance run."""
    noted = [
        property_[1]
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for property_ in getattr(report, "user_properties", ())
        if property_[0] == CONFORMANCE
    ]
    if noted:
        terminalreporter.section("conformance of the sandbox: answers per call and check")
        for line in lines(noted):
            terminalreporter.write_line(line)


def lines(noted: Iterable[tuple[str, Mapping[str, int], Mapping[str, int]]]) -> list[str]:
    """Lay the table out, and sum it up."""
    rows: dict[str, dict[str, Counter[str]]] = {}
    total: Counter[str] = Counter()
    answers = 0
    for call, cases, deviations in noted:
        for check, count in cases.items():
            wrong = deviations.get(check, 0)
            cell = Counter({"passed": count - wrong, "failed": wrong})
            rows.setdefault(call, {})[check.replace("_", "-")] = cell
            total.update(cell)
        answers += max(cases.values(), default=0)
    summary = f"{answers:,} answers of {len(rows)} calls, {total.total():,} checks, {total['failed']:,} deviations"
    return [*table.lines(dict(sorted(rows.items()))), summary]
