"""The two names of each place: every target has a second one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keyturn.core.model import Delivery

ALSO = "also-"
"""How the second name of each target begins."""


def also(delivery: Delivery) -> Delivery:
    """Return the same place by the second name of its target."""
    return replace(delivery, target=f"{ALSO}{delivery.target}")


def real(delivery: Delivery) -> Delivery:
    """Return the place that a delivery is, by whichever name."""
    return replace(delivery, target=delivery.target.removeprefix(ALSO))


def places(deliveries: Iterable[Delivery]) -> frozenset[Delivery]:
    """Return the places that deliveries are."""
    return frozenset(map(real, deliveries))
