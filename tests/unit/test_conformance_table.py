"""The table of the conformance run: what it shows of what was checked."""

from __future__ import annotations

from tests.support.conforming import lines


def test_each_call_is_a_row_and_each_check_a_column() -> None:
    """Cases and deviations of every call and check, and the sum of all."""
    noted = [
        ("models", {"status_code": 3, "schema": 3}, {}),
        ("chat", {"status_code": 1000, "schema": 1000}, {"schema": 2}),
    ]
    assert lines(noted) == [
        "        schema   status",
        "                 code",
        "chat    2 BAD    ok ×1000",
        "models  ok ×3    ok ×3",
        "1,003 answers of 2 calls, 2,006 checks, 2 deviations",
    ]
