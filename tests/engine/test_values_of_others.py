"""Values that keyturn did not write, in a Pulumi program."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from keyturn.core.model import Delivery, DesiredKey
from keyturn.core.secret import Secret
from keyturn.core.world import Held
from keyturn_provider import inputs, keys, smoke_check

if TYPE_CHECKING:
    from keyturn.live.live_world import LiveWorld


@pytest.mark.finding("H1", before="a SmokeCheck sent whatever the delivery held", now="only what looks like a key")
def test_a_smoke_check_sends_nothing_that_is_not_a_key() -> None:
    """The value is not sent: this world has no inference API to send it to."""
    place = Delivery("vault", "payments/db", "PASSWORD")
    held = Held(Secret("pg-Sup3rSecretDbPassw0rd"))
    world = SimpleNamespace(read_delivery=lambda _: held, key_prefixes=lambda: ("model-",))
    result = smoke_check._check(cast("LiveWorld", world), DesiredKey("bot", "tests"), place)
    said = "it does not look like a model access key, so it was not sent"
    assert (result.verdict, result.detail) == ("refused", said)


def test_take_over_answers_for_an_adoption(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program has no command: `take_over` confirms what the arguments alone may not adopt."""
    monkeypatch.setattr(inputs, "owner", lambda _: "tests")
    assert keys._options({"take_over": True}).confirmed
    assert not keys._options({"adopt": {"secret": "existing"}}).confirmed
