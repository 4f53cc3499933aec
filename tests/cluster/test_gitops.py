"""How Flux and Argo CD judge the resources: by kstatus itself, and by our health check in the Lua of Argo CD."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.model import SlotName, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus
from keyturn.kube.resources import CLUSTER_ACCOUNT
from keyturn.kube.status import account_state, key_state, refused_state, suspended_state
from tests.support.custom_resources import cluster_account, cluster_account_object, key, key_object

if TYPE_CHECKING:
    from tests.cluster.conftest import Judge

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HAND_OFF = End(Reason.HAND_OFF, "no API key of that name exists", make=("payments-bot",), since=NOW)


def resource(state: object, **spec: object) -> dict[str, Any]:
    """Return a ModelAccessKey with a status, as it is stored."""
    return key_object(**spec) | {"status": state}


def looked(*ends: End, live: bool = True) -> dict[str, Any]:
    """Return a ModelAccessKey after a look that found this."""
    slot = SlotName.A if live else None
    found = KeyStatus("k", "payments-bot", Condition.READY, "", Strategy.IN_PLACE, conditions=ends, live=slot)
    return resource(key_state(key(), found, NOW).model_dump(by_alias=True, exclude_defaults=True))


def behind() -> dict[str, Any]:
    """Return a ModelAccessKey that was changed after the last look."""
    found = looked(End(Reason.AT_REST))
    found["metadata"]["generation"] = 2
    return found


def reconciling() -> dict[str, Any]:
    """Return a ModelAccessKey as it must never be: another operator would say `Reconciling` in a rotation."""
    found = looked(End(Reason.DUE))
    found["status"]["conditions"].append({"type": "Reconciling", "status": "True", "reason": "Rotating"})
    return found


def suspended() -> dict[str, Any]:
    """Return a ModelAccessKey that is left alone from the start."""
    state = suspended_state(key(suspend=True), NOW)
    return resource(state.model_dump(by_alias=True, exclude_defaults=True), suspend=True)


def refused() -> dict[str, Any]:
    """Return a ModelAccessKey that is outside of its prefix."""
    state = refused_state(key(), End(Reason.OUTSIDE_POLICY, "the name does not begin with it"), NOW)
    return resource(state.model_dump(by_alias=True, exclude_defaults=True))


TABLE = {
    "as it is made": (resource({"observedGeneration": -1}), "InProgress", "Progressing"),
    "changed since the last look": (behind(), "InProgress", "Progressing"),
    "before the first delivery": (looked(End(Reason.TO_DO, "creates"), live=False), "InProgress", "Progressing"),
    "at rest": (looked(End(Reason.AT_REST)), "Current", "Healthy"),
    "a rotation is due": (looked(End(Reason.DUE, "due")), "Current", "Healthy"),
    "another replica rotates it": (looked(End(Reason.ANOTHER_RUN)), "Current", "Healthy"),
    "an overlap": (looked(End(Reason.OVERLAP)), "Current", "Healthy"),
    "a look failed": (looked(End(Reason.PREFLIGHT_FAILED, "no right")), "InProgress", "Degraded"),
    "consumers are refused": (looked(End(Reason.REFUSED, "x")), "InProgress", "Degraded"),
    "parked": (looked(End(Reason.PARKED, "three failures")), "Failed", "Degraded"),
    "refused, and parked": (looked(End(Reason.REFUSED, "x"), End(Reason.PARKED, "y")), "Failed", "Degraded"),
    "waits for someone": (looked(HAND_OFF, live=False), "Failed", "Suspended"),
    "outside of its prefix": (refused(), "Failed", "Degraded"),
    "suspended": (suspended(), "InProgress", "Suspended"),
}


@pytest.mark.parametrize("case", TABLE)
def test_flux_waits_for_the_right_thing(kstatus: Judge, case: str) -> None:
    """What waits for someone fails at once with our message, and a routine rotation is no news."""
    found, wanted, _ = TABLE[case]
    ((status, message),) = kstatus([found])
    assert status == wanted
    if status == "Failed":
        assert message == found["status"]["conditions"][1]["message"] != ""


@pytest.mark.parametrize("case", TABLE)
def test_argo_cd_shows_the_right_health(argocd: Judge, case: str) -> None:
    """What waits for someone is suspended, and what fails is degraded."""
    found, _, wanted = TABLE[case]
    assert [health for health, _ in argocd([found])] == [wanted]


def test_a_hand_off_tells_both_what_to_make(kstatus: Judge, argocd: Judge) -> None:
    """The exact name."""
    for _, message in (*kstatus([looked(HAND_OFF, live=False)]), *argocd([looked(HAND_OFF, live=False)])):
        assert "with exactly these names: payments-bot" in message


def test_why_a_rotation_is_not_reconciling(kstatus: Judge) -> None:
    """Each health check would fail for as long as a rotation takes, although every consumer has a secret that works."""
    assert [status for status, _ in kstatus([reconciling()])] == ["InProgress"]


def test_why_the_status_has_a_default(kstatus: Judge, argocd: Judge) -> None:
    """Without a status Flux would take a resource for ready that nobody has looked at."""
    bare = resource({})
    assert [status for status, _ in kstatus([bare])] == ["Current"]
    assert [status for status, _ in argocd([bare])] == ["Progressing"]


def test_accounts_are_judged_alike(kstatus: Judge, argocd: Judge) -> None:
    """By the same conditions."""
    stop = End(Reason.LOGIN_REFUSED, "the token is refused")
    states = [account_state(cluster_account(), ends, 3, NOW) for ends in ((), (stop,))]
    found = [
        cluster_account_object() | {"status": state.model_dump(by_alias=True, exclude_defaults=True)}
        for state in states
    ]
    assert {one["kind"] for one in found} == {CLUSTER_ACCOUNT}
    assert [status for status, _ in kstatus(found)] == ["Current", "Failed"]
    assert [status for status, _ in argocd(found)] == ["Healthy", "Degraded"]
    own = [one | {"kind": "KeyturnAccount"} for one in found]
    assert [status for status, _ in argocd(own)] == ["Healthy", "Degraded"]
