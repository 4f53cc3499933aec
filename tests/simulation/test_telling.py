"""A condition that says less than was found is caught by the lives: what is said is compared with what is true."""

from __future__ import annotations

import pytest

from keyturn.core import conditions
from tests.simulation import lives

MOST = 400
"""Lives that are tried before a broken condition counts as not caught."""


@pytest.mark.parametrize("silent", ["_refused", "_drifted"])
def test_a_condition_that_hides_harm_is_caught(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this part some life has a key that is told good although its consumers cannot work."""
    monkeypatch.setattr(conditions, silent, lambda *_: iter(()))
    assert any("status: " in wrong for number in range(MOST) for wrong in lives.judge(*lives.dream(number))[0])
