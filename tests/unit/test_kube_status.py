"""What a look came to as the status of the resources: conditions, and nothing written that is there already."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.core.model import Delivery, SlotName, SmokeResult, Strategy, Verdict
from keyturn.core.reasons import Condition as Found
from keyturn.core.reasons import Reason, Remedy
from keyturn.core.results import End, KeyReport, KeyStatus, PoolState
from keyturn.kube.conditions import HARMLESS, STUCK, Moment, pascal, sentence, standing
from keyturn.kube.remedies import REMEDIES
from keyturn.kube.resources import ClusterAccountResource, Condition, KeyResource, KeyState, read
from keyturn.kube.status import account_state, key_state, patch, refused_state, suspended_state
from keyturn.report.handoff import PANEL
from tests.support.custom_resources import cluster_account, key

NOW = datetime(2026, 11, 29, 12, 0, 0, 500, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
UUID = "0f0c3a6e-5b0e-4c0e-9d6b-3f6f1f9c2a10"
SECRET, OFFERED = Delivery("payments", "bot", "KEY"), Delivery("account.vault", "payments/app", "KEY")


def shown(*ends: End, live: bool = True, **more: Any) -> KeyStatus:  # noqa: ANN401 - fields of KeyStatus
    """Return what a look shows of a key of which this was found."""
    found = ends or (End(Reason.AT_REST),)
    first = found[0]
    base = KeyStatus("payments.bot", "payments-bot", first.condition, first.why, Strategy.ALTERNATING, first.code)
    known: dict[str, Any] = {"live": SlotName.A, "uuids": ((SlotName.A, UUID),), "generation": 7} if live else {}
    return replace(base, conditions=found, **known | more)


def after(before: KeyResource, state: KeyState) -> KeyResource:
    """Return the resource with that status, as it is read again."""
    status = state.model_dump(by_alias=True, exclude_defaults=True)
    return read(KeyResource, before.model_dump(by_alias=True, exclude={"status"}) | {"status": status})


def by_type(conditions: list[Condition]) -> dict[str, Condition]:
    """Return the conditions by type."""
    return {one.type: one for one in conditions}


def test_a_key_at_rest() -> None:
    """The whole status, as it is written."""
    found = shown(
        End(Reason.OVERLAP, "the old secret works until the overlap ends"),
        deliveries=((SECRET, True), (OFFERED, False)),
        next_rotation_at=NOW + timedelta(days=30),
        retire_at=LATER,
        verdict=SmokeResult(Verdict.ACCEPTED, seconds=0.3),
    )
    state = key_state(key(), found, NOW, model="llama")
    at = {"observedGeneration": 1, "lastTransitionTime": "2026-11-29T12:00:00Z"}
    assert state.model_dump(by_alias=True, exclude_defaults=True) == {
        "observedGeneration": 1,
        "live": "a",
        "keyGeneration": 7,
        "apiKeys": [{"slot": "a", "name": "payments-bot-a", "uuid": UUID}],
        "nextRotationTime": "2026-12-29T12:00:00Z",
        "retireTime": "2026-11-29T13:00:00Z",
        "deliveries": [
            {"place": "secret/bot#KEY", "state": "Held"},
            {"place": "vault/payments/app#KEY", "state": "OutOfDate"},
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Overlap",
                "message": "the old secret works until the overlap ends",
                **at,
            },
            {"type": "Stalled", "status": "False", "reason": "Overlap", **at},
            {
                "type": "Verified",
                "status": "True",
                "reason": "Accepted",
                "message": "a completion of llama was accepted",
                **at,
            },
        ],
    }


@pytest.mark.parametrize("found", Found)
def test_each_condition_of_the_catalogue_is_ready_or_not_and_stalled_or_not(found: Found) -> None:
    """Nothing that harms consumers is ready, and what waits for someone is stalled; a routine rotation is neither."""
    reason = next(one for one in Reason if one.condition is found)
    ready, stalled = standing((End(reason, "why"),), Moment(NOW, 1), live=True)
    assert (ready.status, stalled.status) == {
        Found.REFUSED: ("False", "False"),
        Found.GONE: ("False", "False"),
        Found.DRIFTED: ("False", "False"),
        Found.PARKED: ("False", "True"),
        Found.LOGIN_REFUSED: ("False", "True"),
        Found.FAILED: ("False", "False"),
        Found.UNKNOWN: ("False", "False"),
        Found.MISCONFIGURED: ("False", "True"),
        Found.HELD: ("False", "True"),
        Found.ACTION_NEEDED: ("False", "True"),
        Found.BUSY: ("True", "False"),
        Found.WAITING: ("True", "False"),
        Found.DUE: ("True", "False"),
        Found.OVERLAP: ("True", "False"),
        Found.READY: ("True", "False"),
    }[found]
    assert not HARMLESS & STUCK


@pytest.mark.parametrize("reason", Reason)
def test_a_code_is_a_reason_of_kubernetes(reason: Reason) -> None:
    """One word in CamelCase."""
    assert pascal(reason.value).isalnum()
    assert pascal(reason.value)[0].isupper()


def test_nothing_is_ready_before_the_first_delivery() -> None:
    """It is not called wrong either."""
    state = key_state(key(), shown(End(Reason.TO_DO, "the next run: creates"), live=False), NOW)
    assert [(one.type, one.status) for one in state.conditions] == [
        ("Ready", "Unknown"),
        ("Stalled", "False"),
        ("Verified", "Unknown"),
    ]


def test_who_waits_for_a_person_says_what_to_do() -> None:
    """The names to type, and where; as `Stalled`, which Flux reports at once, even if something else is worse."""
    names = ("payments-bot-a", "payments-bot-b")
    wait = End(Reason.HAND_OFF, "no API key of that name exists", make=names, since=NOW)
    gone = End(Reason.GONE, "the live API key is gone")
    state = key_state(key(), shown(gone, wait, live=False), NOW)
    conditions = by_type(state.conditions)
    assert conditions["Ready"].reason == "Gone"
    assert conditions["Stalled"].reason == "WaitingForPerson"
    assert f"exactly these names: {', '.join(names)}; at {PANEL}" in conditions["Stalled"].message
    assert state.handoff is not None
    assert (state.handoff.names, state.handoff.url) == (list(names), PANEL)


def test_names_that_are_not_noted_yet_are_not_asked_for() -> None:
    """An API key that is made before is not taken over."""
    assert key_state(key(), shown(End(Reason.HAND_OFF, "x", make=("a",)), live=False), NOW).handoff is None


def test_a_failed_apply_counts_although_the_status_looks_well() -> None:
    """The most urgent of both is first."""
    report = KeyReport(
        "payments.bot", (), End(Reason.PREFLIGHT_FAILED), conditions=(End(Reason.PREFLIGHT_FAILED, "x"),)
    )
    ready = by_type(key_state(key(), shown(), NOW, report=report).conditions)["Ready"]
    assert (ready.status, ready.reason) == ("False", "PreflightFailed")
    assert ready.message.startswith("x; fix the place of the delivery")


def test_nothing_is_written_at_rest() -> None:
    """Neither a later clock nor a rotation that is due all the time makes a patch."""
    found = shown(End(Reason.DUE, "due"), next_rotation_at=NOW, verdict=SmokeResult(Verdict.ACCEPTED))
    one = key()
    state = key_state(one, found, NOW, model="m")
    assert patch(one.status, state) is not None
    again = after(one, state)
    assert again.status == state
    later = replace(found, next_rotation_at=LATER, verdict=None)
    assert patch(again.status, key_state(again, later, LATER, model="m")) is None


def test_a_moment_changes_with_the_status_of_its_condition_only() -> None:
    """Another reason keeps it, another status does not."""
    one = key()
    one = after(one, key_state(one, shown(), NOW))
    overlap = by_type(key_state(one, shown(End(Reason.OVERLAP)), LATER).conditions)
    assert (overlap["Ready"].reason, overlap["Ready"].last_transition_time) == ("Overlap", "2026-11-29T12:00:00Z")
    parked = by_type(key_state(one, shown(End(Reason.PARKED, "x")), LATER).conditions)
    assert parked["Ready"].last_transition_time == parked["Stalled"].last_transition_time == "2026-11-29T13:00:00Z"
    assert parked["Verified"].last_transition_time == "2026-11-29T12:00:00Z"


def test_what_goes_is_removed_by_the_patch() -> None:
    """A merge patch says so with null; what stays is not repeated."""
    one = key()
    one = after(one, key_state(one, shown(End(Reason.OVERLAP), retire_at=LATER), NOW))
    found = patch(one.status, key_state(one, shown(End(Reason.OVERLAP)), NOW))
    assert found == {"status": {"retireTime": None}}


@pytest.mark.parametrize(
    ("verdict", "status", "reason"),
    [
        (Verdict.ACCEPTED, "True", "Accepted"),
        (Verdict.REFUSED, "False", "Refused"),
        (Verdict.VPC, "Unknown", "Vpc"),
        (Verdict.SKIPPED, "Unknown", "Skipped"),
        (Verdict.UNREACHABLE, "Unknown", "Unreachable"),
    ],
)
def test_verified_is_about_the_live_secret(verdict: Verdict, status: str, reason: str) -> None:
    """It says what the API said, and stays until another secret is live."""
    one = key()
    one = after(one, key_state(one, shown(verdict=SmokeResult(verdict)), NOW))
    verified = by_type(one.status.conditions)["Verified"]
    assert (verified.status, verified.reason) == (status, reason)
    assert by_type(key_state(one, shown(), LATER).conditions)["Verified"] == verified
    assert by_type(key_state(one, shown(generation=8), LATER).conditions)["Verified"].reason == "NotTried"


def test_a_refused_resource_keeps_what_is_known() -> None:
    """Its API keys above all: by them it keeps them."""
    one = key()
    one = after(one, key_state(one, shown(verdict=SmokeResult(Verdict.ACCEPTED)), NOW))
    state = refused_state(one, End(Reason.OUTSIDE_POLICY, "no"), LATER)
    assert state.api_keys == one.status.api_keys
    conditions = by_type(state.conditions)
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", "OutsidePolicy")
    assert (conditions["Stalled"].status, conditions["Stalled"].reason) == ("True", "Held")
    assert conditions["Verified"].status == "True"


def test_a_suspended_resource_says_what_was_known_of_it() -> None:
    """And that it was seen; a new one that nothing is done."""
    fresh = suspended_state(key(), NOW)
    assert [(one.type, one.status, one.reason) for one in fresh.conditions] == [("Ready", "Unknown", "Suspended")]
    one = key()
    one = after(one, key_state(one, shown(), NOW))
    changed = key(metadata={"generation": 2}, status=one.status.model_dump(by_alias=True), suspend=True)
    state = suspended_state(changed, LATER)
    assert state.observed_generation == 2
    assert state.conditions == one.status.conditions


def test_hostile_texts_are_made_safe() -> None:
    """Messages come from servers."""
    secret = "sk-do-v1-" + "a" * 64
    ready = by_type(key_state(key(), shown(End(Reason.FAILED, f"x\n\x1b[31m {secret} " + "y" * 5000)), NOW).conditions)[
        "Ready"
    ]
    assert len(ready.message) <= 1000
    assert ready.message.isprintable()
    assert secret not in ready.message


@pytest.mark.parametrize(
    ("spares", "low"),
    [
        (PoolState("spare-", 5, 5), "False"),
        (PoolState("spare-", 4, 5), "True"),
        (PoolState("spare-", 1, 0, wanted=2), "True"),
    ],
)
def test_the_pool_is_low(spares: PoolState, low: str) -> None:
    """If fewer spares are left than asked for, or than are wanted now."""
    state = account_state(cluster_account(), (), 3, NOW, spares)
    assert state.pool is not None
    assert (state.keys, state.pool.free) == (3, spares.left)
    condition = by_type(state.conditions)["PoolLow"]
    assert condition.status == low
    assert (PANEL in condition.message) == (low == "True")
    assert by_type(state.conditions)["Ready"].status == "True"


def test_an_account_that_stops_all_keys_is_not_ready() -> None:
    """With the most urgent reason."""
    stop = End(Reason.ANOTHER_TEAM, "the token is of another team")
    where = cluster_account()
    state = account_state(where, (stop, End(Reason.LOGIN_REFUSED)), 0, NOW)
    assert by_type(state.conditions)["Ready"].reason == "LoginRefused"
    state = account_state(where, (stop,), 0, NOW)
    conditions = by_type(state.conditions)
    assert (conditions["Ready"].status, conditions["Ready"].reason) == ("False", "AnotherTeam")
    assert conditions["Stalled"].status == "True"
    assert "PoolLow" not in conditions
    again = where.model_dump(by_alias=True) | {"status": state.model_dump(by_alias=True)}
    before = read(ClusterAccountResource, again)
    assert patch(before.status, account_state(before, (stop,), 0, LATER)) is None


def test_the_resource_has_words_for_every_remedy() -> None:
    """Only `none` is without words, and each line can be shown."""
    assert {kind for kind in Remedy if REMEDIES[kind]} == set(Remedy) - {Remedy.NONE}
    for reason in Reason:
        assert "{{" not in sentence(End(reason, "x"))


def test_nobody_is_told_to_run_an_operator_again() -> None:
    """It does so by itself."""
    found = sentence(End(Reason.NO_ANSWER, "could not read: no answer. Run again. Run again when it has recovered."))
    assert found.startswith("could not read: no answer. It is tried again. It is tried again when it has recovered.")
