"""The table of the contract suite: what it shows of what was run."""

from __future__ import annotations

from types import SimpleNamespace

from tests.support.table import lines, tables


def report(case: str, target: str, parameter: str = "") -> SimpleNamespace:
    """Return a report as pytest and xdist give it."""
    return SimpleNamespace(
        nodeid=f"tests/contract/test_x.py::test_{case}[{target}{parameter}]",
        user_properties=[["contract", f"deliveries {target}"]],
    )


def test_each_case_is_a_row_and_each_target_a_column() -> None:
    """Passed once or often, failed, broken before it began, and not asked of that target."""
    stats = {
        "passed": [report("it_works", "dotenv"), report("odd", "dotenv", "-1"), report("odd", "dotenv", "-2")],
        "failed": [report("it_works", "one-password")],
        "error": [report("odd", "vault")],
        "deselected": [report("never", "vault")],
        "": [SimpleNamespace(nodeid="tests/unit/test_y.py::test_else", user_properties=[])],
    }
    assert list(lines(tables(stats)["deliveries"])) == [
        "          dotenv   one      vault",
        "                   password",
        "it works  ok       1 BAD    –",
        "odd       ok ×2    –        1 BAD",
    ]
