"""The guard of `make unit`: a test in this folder that opens a socket, starts a process or sleeps fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import urllib3.util.connection  # noqa: F401 - boto3 imports it when it is used, and it tries a socket when imported

from tests.support.isolation import guard_process, isolated

if TYPE_CHECKING:
    from collections.abc import Iterator

guard_process()


@pytest.fixture(autouse=True)
def no_sockets_processes_or_sleeps() -> Iterator[None]:
    """Refuse them, and fail the test even if the code swallowed the refusal."""
    with isolated() as tried:
        yield
    if tried:
        pytest.fail(f"{', '.join(sorted(tried))}: such a test belongs in tests/integration")
