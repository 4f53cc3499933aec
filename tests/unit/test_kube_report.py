"""What a round came to, written: writes that are refused or overtaken, and deletions that wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.reasons import Reason
from keyturn.engine.rounds import Told
from tests.support.custom_resources import key_object
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
    assert stage.account._reporter.retries == ()
