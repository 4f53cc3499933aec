"""The servers that every test here shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.environment import Servers, Site, servers

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all that is in this folder, so that `pytest -m real` runs it and `-m "not real"` leaves it out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def shared() -> Iterator[Servers]:
    """A sandbox, an OpenBao on disk and a fork server for all tests: use sites, and never stop or seal it."""
    with servers() as found:
        yield found


@pytest.fixture
def site(shared: Servers) -> Iterator[Site]:
    """A manifest for one test."""
    with Site(shared) as found:
        yield found
