"""The table of the security findings: what it shows of what was run, and that each finding has a test."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

from tests.support.findings import FINDINGS, lines

ROOT = Path(__file__).parent.parent


def report(*findings: tuple[str, str, str]) -> SimpleNamespace:
    """Return a report as pytest and xdist give it."""
    return SimpleNamespace(user_properties=[["finding", list(found)] for found in findings])


def test_a_failed_test_makes_its_line_bad() -> None:
    """Each finding once, in order; what was not run is not shown."""
    stats = {
        "passed": [report(("L1", "26 s", "2 s"), ("H1", "copied", "refused")), report(("L1", "26 s", "2 s"))],
        "failed": [report(("L1", "hangs", "stops"))],
        "": [SimpleNamespace()],
    }
    assert list(lines(stats)) == [
        f"H1   {FINDINGS['H1']}",
        "     before: copied",
        "     now:    refused",
        f"L1   {FINDINGS['L1']}",
        "     before: 26 s",
        "     now:    2 s",
        "     before: hangs",
        "     now:    BAD",
    ]


def test_each_finding_has_a_test() -> None:
    """No finding is without a test that says what it was and what it is now."""
    marked = {
        number
        for file in ROOT.rglob("test_*.py")
        for number in re.findall(r'mark\.finding\(\s*"(\w+)"', file.read_text())
    }
    assert marked == set(FINDINGS)
