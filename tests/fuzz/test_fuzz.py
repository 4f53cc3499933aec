"""A short run of `make fuzz`, the same each time: the parsers with inputs made by chance."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import tried
from tests.fuzz.properties import PROPERTIES


@pytest.mark.parametrize("name", PROPERTIES)
def test_only_documented_errors_come_of_anything(name: str) -> None:
    """Whatever the input: it is read, or refused by a documented error that does not repeat a secret."""
    tried(name, seed=0, examples=60)
