"""What a round came to, written: writes that are refused or overtaken, and deletions that wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.engine.rounds import Told
from tests.support.custom_resources import UUID, key_object
from tests.support.staged_account import BOT, FINALIZER, NOW, TEAM, Stage, shown


@pytest.fixture
def stage() -> Stage:
    """A new one."""
    return Stage()


def test_the_finalizer_comes_with_an_api_key_and_the_policy_delete(stage: Stage) -> None:
    """And goes with the policy."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown(Reason.HAND_OFF, live=None, uuids=(), generation=0))
    assert stage.finalizers() == []
    stage.tell(shown())
    assert stage.finalizers() == FINALIZER
    stage.tell(shown())
    assert stage.api.patches.count((BOT, "")) == 1
    stage.put(BOT, {**stage.api.objects[BOT], "spec": key_object()["spec"]}, generation=3)
    stage.tell(shown())
    assert stage.finalizers() == []


def test_the_finalizer_goes_when_the_api_keys_are_gone(stage: Stage) -> None:
    """Those of others stay."""
    stage.put(BOT, key_object(deletionPolicy="Delete"), finalizers=[*FINALIZER, "others/one"])
    stage.tell(shown())
    stage.change(BOT, deletionTimestamp="2026-11-29T11:00:00Z")
    stage.tell(shown())
    assert FINALIZER[0] in str(stage.finalizers())
    stage.tell(shown(Reason.ABSENT, live=None, uuids=(), generation=0))
    assert stage.finalizers() == ["others/one"]


def test_a_finalizer_that_meets_a_change_is_tried_again(stage: Stage) -> None:
    """The key is marked."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown())
    stage.change(BOT, finalizers=[])
    marks: list[object] = []
    stage.account._rounds.mark = lambda keys, **_: marks.append(tuple(keys))  # type: ignore[method-assign]
    stage.desired()
    stage.api.conflicts = 1
    stage.account.tell(Told(NOW, NOW, ()))
    assert marks == [("payments.bot",)]


def test_a_key_that_takes_no_write_holds_up_no_other_one(stage: Stage) -> None:
    """The others and the account are written, and it is tried again after pauses that grow, until it is written."""
    ill = ("aaa", "ill")
    stage.put(ill, key_object("ill", "aaa"), finalizers=FINALIZER)  # the namespace is not there: refused
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.api.refused = {ill}
    pauses = []
    for _ in range(8):
        stage.tell(shown())
        (again,) = stage.account._reporter.retries
        pauses.append((again - NOW).total_seconds())
        assert stage.account._reporter.late(again - timedelta(seconds=1)) == ()
        assert stage.account._reporter.late(again) == ("aaa.ill",)
        assert stage.account._reporter.late(again) == ()
    assert stage.finalizers() == FINALIZER
    assert {(BOT, "status"), (TEAM, "status")} <= set(stage.api.patches)
    assert pauses[:3] == [15, 30, 60]
    assert pauses[-1] == 600
    stage.api.refused = set()
    stage.tell(shown())
    assert stage.api.objects[ill]["metadata"]["finalizers"] == []
    stage.api.refused = {ill}
    stage.put(ill, {**stage.api.objects[ill]}, generation=2)
    stage.tell(shown())
    assert stage.account._reporter.retries == (NOW + timedelta(seconds=15),)


def test_a_wait_ends_when_a_write_is_tried_again(stage: Stage) -> None:
    """Then the key is marked."""
    stage.api.refused = {BOT}
    stage.tell(shown())
    later = NOW + timedelta(seconds=15)
    stage.account._setting = replace(stage.account._setting, now=lambda: later)
    marks: list[object] = []

    def mark(keys: Iterable[str], **_: object) -> None:
        marks.append(tuple(keys))
        stage.account.stop()

    stage.account._rounds.mark = mark  # type: ignore[method-assign]
    stage.account._rounds.step = lambda: later + timedelta(hours=1)  # type: ignore[method-assign]
    stage.account.wait(later + timedelta(hours=1))
    stage.account.run()
    assert marks == [("payments.bot",)]


def test_a_status_that_meets_a_change_is_not_written(stage: Stage) -> None:
    """The object may be another one; once it is tried at once, then after a pause."""
    stage.desired()
    marks: list[object] = []
    stage.account._rounds.mark = lambda keys, **_: marks.append(tuple(keys))  # type: ignore[method-assign]
    stage.api.objects[BOT]["metadata"]["resourceVersion"] = "99"
    for _ in range(2):
        stage.account.tell(Told(NOW, NOW, (shown(),)))
        assert (BOT, "status") not in stage.api.patches
        assert marks == [("payments.bot",)]
    assert stage.account._reporter.retries == (NOW + timedelta(seconds=15),)
    stage.heard(BOT)
    stage.account.tell(Told(NOW, NOW, (shown(),)))
    assert (BOT, "status") in stage.api.patches
    assert not stage.account._reporter.retries


DELETED = "2026-11-29T11:00:00Z"
LOST = End(Reason.LOGIN_REFUSED, "there is no account token")


def leave(stage: Stage, at: datetime, failed: End | None = LOST) -> None:
    """Tell of a round at a moment; `failed`: the account cannot be used."""
    stage.account._reporter.begin(stage.cache.view("team"), None)
    stage.account.tell(Told(at, at, failed=failed, trouble=failed.why if failed else ""))


def ready(stage: Stage) -> dict[str, Any]:
    """Return the condition of the key."""
    return next(one for one in stage.api.objects[BOT]["status"]["conditions"] if one["type"] == "Ready")


def leaving(stage: Stage) -> None:
    """Have a key that has an API key, and is being deleted."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown())
    stage.change(BOT, deletionTimestamp=DELETED)


def test_a_deletion_waits_for_a_lost_account_and_not_for_ever(stage: Stage) -> None:
    """It says why it waits; after 10 minutes the resource goes, and an Event names the API keys that stay."""
    leaving(stage)
    leave(stage, NOW)
    assert stage.finalizers() == FINALIZER
    wanted = "the deletion waits, 10 minutes at most: nothing is done with the account team: there is no account token"
    assert wanted in ready(stage)["message"]
    leave(stage, NOW + timedelta(minutes=9, seconds=59))
    assert stage.finalizers() == FINALIZER
    stage.api.refused = {BOT}
    leave(stage, NOW + timedelta(minutes=10))
    assert "ApiKeysLeft" not in stage.api.events
    stage.api.refused = set()
    leave(stage, NOW + timedelta(minutes=11))
    assert stage.finalizers() == []
    assert stage.api.events.count("ApiKeysLeft") == 1
    assert f"delete them in the control panel: payments-bot ({UUID}); there is no account token" in str(stage.said)


def test_a_deletion_waits_for_what_is_over_soon(stage: Stage) -> None:
    """No answer is no loss, and an account that was usable meanwhile begins again."""
    leaving(stage)
    for minutes in (0, 30):
        leave(stage, NOW + timedelta(minutes=minutes), End(Reason.NO_ANSWER, "no answer"))
        assert "nothing is done with the account team: no answer" in ready(stage)["message"]
    leave(stage, NOW + timedelta(minutes=31))
    stage.account.tell(Told(NOW, NOW))
    leave(stage, NOW + timedelta(minutes=42))
    assert stage.finalizers() == FINALIZER


def test_only_a_key_that_is_being_deleted_loses_its_finalizer(stage: Stage) -> None:
    """Whatever the account lost; and what the account cannot be used for may be a refused request, too."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown())
    forbidden = End(Reason.FAILED, "this login may not read the account token")
    leave(stage, NOW, forbidden)
    leave(stage, NOW + timedelta(hours=1), forbidden)
    assert stage.finalizers() == FINALIZER
    stage.change(BOT, deletionTimestamp=DELETED)
    leave(stage, NOW + timedelta(hours=1), forbidden)
    assert stage.finalizers() == []
