"""Events are made at transitions only, one for each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from keyturn.kube.events import event, of_conditions, of_key
from keyturn.kube.operator import lease_name
from keyturn.kube.resources import Condition, KeyState
from tests.support.custom_resources import cluster_account, key

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)


def state(status: str = "True", reason: str = "AtRest", generation: int = 1, message: str = "m") -> KeyState:
    """Return a status."""
    ready = Condition.model_validate({"type": "Ready", "status": status, "reason": reason, "message": message})
    return KeyState(key_generation=generation, conditions=[ready])


def test_a_rotation_is_one_event() -> None:
    """The first secret is told by `Ready`."""
    assert of_key(state(), state(reason="Overlap", generation=2)) == (
        "Normal",
        "Rotated",
        "secret 2 is delivered and live",
    )
    assert of_key(KeyState(), state()) == ("Normal", "AtRest", "m")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (state(), state(reason="Overlap"), None),
        (state(), state(message="other"), None),
        (state(), state("False", "Drifted"), ("Warning", "Drifted", "m")),
        (state("False", "Drifted"), state("False", "Drifted", message="other"), None),
        (state("False", "Drifted"), state("False", "Parked"), ("Warning", "Parked", "m")),
        (state("False", "Drifted"), state(), ("Normal", "AtRest", "m")),
        (state("Unknown", "Deferred"), state("Unknown", "Deferred"), None),
        (state(), KeyState(key_generation=1), None),
    ],
)
def test_ready_is_told_if_it_changes(before: KeyState, after: KeyState, told: tuple[str, str, str] | None) -> None:
    """Of what is wrong also the reason."""
    assert of_conditions(before.conditions, after.conditions) == told


def test_two_operators_that_see_the_same_make_one() -> None:
    """Its name follows from what it tells, and from the minute."""
    told = ("Warning", "Parked", "m")
    one, two = (event(key(), "ModelAccessKey", told, NOW, by) for by in ("pod-a", "pod-b"))
    assert one["metadata"] == two["metadata"]
    later = event(key(), "ModelAccessKey", told, NOW + timedelta(minutes=1), "pod-a")
    assert one["metadata"] != later["metadata"]


def test_an_event_about_an_account_of_the_cluster_is_in_the_default_namespace() -> None:
    """The API server wants it so."""
    made = event(cluster_account(), "ClusterKeyturnAccount", ("Normal", "Released", "m"), NOW, "pod-a")
    metadata, involved = made["metadata"], made["involvedObject"]
    assert isinstance(metadata, dict)
    assert isinstance(involved, dict)
    assert metadata["namespace"] == "default"
    assert "namespace" not in involved


def test_the_lease_of_an_account_is_no_other_ones() -> None:
    """Whatever their names are."""
    names = [lease_name(owner) for owner in ("team", "a/b", "a.b", "namespaced-a.b")]
    assert len(set(names)) == 4
