"""Rotating many keys at once meets the API's limit of requests per minute: the run waits, says so, and goes on."""

from __future__ import annotations

import pytest

from keyturn.live.digitalocean.budget import CROWD
from tests.real.incident import incident


@pytest.mark.timeout(90)
def test_nobody_is_left_behind_when_the_minute_is_used_up() -> None:
    """Of 70 requests per minute 66 were made 45 s ago: 60 keys are rotated in the rest of it and the next one."""
    came = incident(60, 70, used=66, ago=45)
    assert came.code == 0, came.err
    assert came.behind == ()
    assert came.mints == 60
    assert 1 <= came.refused <= CROWD, "those that were under way together when the limit was met"
    assert 1 <= came.said <= 4
