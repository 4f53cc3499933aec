"""What stops a run or makes it wait: saved plans, common fates, hand-offs, signals."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from keyturn.core.errors import (
    Ambiguous,
    ApiForbidden,
    OwnershipError,
    RunStopped,
)
from keyturn.core.model import WireKind
from keyturn.core.reasons import Condition
from keyturn.core.results import Change, KeyReport, Options
from keyturn.engine.runner import POLL
from keyturn.engine.signals import Signals
from tests.support.rig import ACCEPTED, DONE, HAND_OFF, REFUSED, MakeRig, make_rig, plan, record


@pytest.fixture
def rig(tmp_path: Path) -> MakeRig:
    """Make a runner for keys of these ids, all of them in the list and with a record."""
    return lambda *ids, **settings: make_rig(tmp_path / "runs", ids, **settings)


class TestSavedPlan:
    """A reviewed plan is done as it was, or not at all."""

    def test_the_digest_of_a_plan_lets_the_same_apply_through(self, rig: MakeRig) -> None:
        """Brakes released meanwhile change no digest."""
        made = rig("a", plans={"a": plan("a", Change.DELETE, deletes=1)})
        digest = made.runner.plan([], Options()).digest
        assert made.runner.apply([], Options(), allow_delete=1, expected_digest=digest).exit_code == 0
        assert made.engine.applied == ["a"]

    def test_a_changed_basis_refuses_the_whole_run(self, rig: MakeRig) -> None:
        """Exit 4, nothing done for any key."""
        plans = {key: plan(key, Change.RENAME) for key in ("a", "b")}
        made = rig("a", "b", plans=plans)
        digest = made.runner.plan([], Options()).digest
        made.engine.plans["b"] = replace(plans["b"], basis="another")
        with pytest.raises(OwnershipError, match="out of date"):
            made.runner.apply([], Options(), expected_digest=digest)
        assert made.engine.applied == []


class TestStops:
    """What stops the whole run, with nothing done."""

    @pytest.mark.parametrize(("error", "code"), [(Ambiguous("no agreement"), 1), (ApiForbidden("no scope"), 5)])
    def test_a_list_that_fails_fails_every_key(self, rig: MakeRig, error: Exception, code: int) -> None:
        """Unknown is not absent: no key is planned, and the one try is enough."""
        made = rig("a", "b", plans={"a": plan("a", Change.RENAME)})
        made.world.list_error = error
        report = made.runner.apply([], Options(), expected_digest="of another day")
        assert [item.end.exit_code for item in report.reports] == [code, code]
        assert (report.exit_code, report.stopped) == (code, "")
        assert made.engine.options == {}
        assert made.world.calls["list"] == 1

    def test_another_team_stops_the_run(self, rig: MakeRig) -> None:
        """One record of another team; the key of ours with a change is not touched."""
        made = rig("a", "b", plans={"a": plan("a", Change.RENAME)})
        made.world.records["b"] = record("b", account="another")
        report = made.runner.apply([], Options())
        assert "another" in report.stopped
        assert report.exit_code == 4
        assert made.engine.applied == []
        assert made.runner.plan([], Options()).exit_code == 4

    def test_a_namesake_record_of_another_owner_says_nothing_about_the_team(self, rig: MakeRig) -> None:
        """That key is refused on its own."""
        made = rig("a", "b")
        made.world.records["b"] = record("b", owner="someone", account="another")
        assert made.runner.plan([], Options()).stopped == ""

    def test_two_keys_gone_at_once_stop_the_run(self, rig: MakeRig) -> None:
        """After a second list that agrees."""
        made = rig("a", "b", plans={key: plan(key, Change.ROTATE, mints=True) for key in ("a", "b")})
        made.world.keys = []
        report = made.runner.apply([], Options())
        assert report.exit_code == 4
        assert "none of the 2 live keys" in report.stopped
        assert made.world.calls["list"] == 2
        assert made.engine.applied == []

    def test_a_second_list_that_shows_a_key_goes_on(self, rig: MakeRig) -> None:
        """The first list was behind."""
        made = rig("a", "b")
        behind, made.world.keys = made.world.keys, []
        made.world.on_list = lambda count: made.world.keys.extend(behind if count == 2 else [])
        assert made.runner.plan([], Options()).stopped == ""

    def test_keys_that_shall_go_may_be_gone(self, rig: MakeRig) -> None:
        """`state: absent` for both, deleted by hand before."""
        made = rig("a", "b")
        made.world.keys = []
        made.runner._desired = replace(
            made.runner._desired, keys=tuple(replace(key, absent=True) for key in made.runner._desired.keys)
        )
        assert made.runner.plan([], Options()).stopped == ""

    def test_verify_refused_for_every_key_stops_before_the_first_mint(self, rig: MakeRig) -> None:
        """The API is failing, not the keys."""
        made = rig("a", "b", plans={key: plan(key, Change.ROTATE, mints=True) for key in ("a", "b")})
        made.world.answers = dict.fromkeys("ab", WireKind.UNAUTHORIZED)
        report = made.runner.apply([], Options(verify=True))
        assert "every key that was checked (2)" in report.stopped
        assert report.exit_code == 4
        assert made.engine.applied == []
        assert [item.end.code for item in report.reports] == ["run-stopped", "run-stopped"]

    def test_one_accepted_key_shows_that_the_api_is_well(self, rig: MakeRig) -> None:
        """The refused one is healed."""
        made = rig("a", "b", plans={"a": plan("a", Change.ROTATE, mints=True)})
        made.world.answers = {"a": WireKind.UNAUTHORIZED, "b": WireKind.OK}
        report = made.runner.apply([], Options(verify=True))
        assert (report.stopped, report.exit_code) == ("", 0)
        assert "a" in made.engine.applied

    def test_two_fresh_secrets_refused_and_none_accepted_end_the_minting(self, rig: MakeRig) -> None:
        """With one worker the third key is never started."""
        plans = {key: plan(key, Change.ROTATE, mints=True) for key in "abc"}
        made = rig(*"abc", plans=plans)
        made.runner._workers = 1
        made.engine.reports = {key: KeyReport(key, (), DONE, ("unverified",), REFUSED) for key in "abc"}
        report = made.runner.apply([], Options())
        assert made.engine.applied == ["a", "b"]
        assert report.reports[2].end.code == "run-stopped"
        assert report.exit_code == 4

    def test_a_refused_key_after_an_accepted_one_stops_nothing(self, rig: MakeRig) -> None:
        """The API has shown that it can accept."""
        plans = {key: plan(key, Change.ROTATE, mints=True) for key in "abc"}
        made = rig(*"abc", plans=plans)
        made.runner._workers = 1
        made.engine.reports = {key: KeyReport(key, (), DONE, (), REFUSED) for key in "bc"}
        made.engine.reports["a"] = KeyReport("a", (), DONE, (), ACCEPTED)
        assert made.runner.apply([], Options()).stopped == ""

    @pytest.mark.parametrize("where", ["plan", "apply"])
    def test_a_key_can_stop_the_run(self, rig: MakeRig, where: str) -> None:
        """RunStopped from one key: no further one is started."""
        made = rig(*"abc", plans={key: plan(key, Change.RENAME) for key in "abc"})
        made.runner._workers = 1
        (made.engine.plans if where == "plan" else made.engine.reports)["a"] = RunStopped("stop")
        report = made.runner.apply([], Options())
        assert report.stopped == "stop."
        assert made.engine.applied == ([] if where == "plan" else ["a"])
        assert report.exit_code == 4


class TestWaiting:
    """`--wait`: for an operator who makes a key."""

    def test_it_looks_again_until_the_key_is_there(self, rig: MakeRig) -> None:
        """Nothing is applied while there is nothing to do; then the key is, once."""
        made = rig("a", "b", plans={"a": plan("a", Change.HAND_OFF, end=HAND_OFF)})
        made.engine.reports["a"] = KeyReport("a", (), HAND_OFF)

        def arrive(count: int) -> None:
            if count == 2:
                made.engine.plans["a"] = plan("a", end=HAND_OFF)
            if count == 5:
                made.engine.plans["a"] = plan("a", Change.ADOPT, mints=True)
                made.engine.reports["a"] = KeyReport("a", (), DONE)

        made.world.on_list = arrive
        report = made.runner.apply([], Options(), wait=True)
        assert made.engine.applied == ["a", "a"]
        assert made.world.slept == 4 * POLL
        assert made.world.calls["record b"] == 1
        assert report.exit_code == 0

    def test_a_failed_look_does_not_end_the_wait(self, rig: MakeRig) -> None:
        """It is said, and the next look comes."""
        made = rig("a", plans={"a": plan("a", end=HAND_OFF)})
        made.engine.reports["a"] = KeyReport("a", (), HAND_OFF)

        def arrive(count: int) -> None:
            made.world.list_error = Ambiguous("outage") if count == 2 else None
            if count == 3:
                made.engine.plans["a"] = plan("a", Change.ADOPT, mints=True)
                made.engine.reports["a"] = KeyReport("a", (), DONE)

        made.world.on_list = arrive
        assert made.runner.apply([], Options(), wait=True).exit_code == 0
        assert "outage." in [line.text for line in made.said]

    def test_a_refused_token_ends_the_wait(self, rig: MakeRig) -> None:
        """Waiting longer will not help."""
        made = rig("a", plans={"a": plan("a", end=HAND_OFF)})
        made.engine.reports["a"] = KeyReport("a", (), HAND_OFF)

        def expire(count: int) -> None:
            made.world.list_error = ApiForbidden("expired") if count == 2 else None

        made.world.on_list = expire
        assert made.runner.apply([], Options(), wait=True).exit_code == 5

    def test_a_signal_ends_the_wait(self, rig: MakeRig) -> None:
        """The report says what is still waited for."""
        made = rig("a", plans={"a": plan("a", end=HAND_OFF)})
        made.engine.reports["a"] = KeyReport("a", (), HAND_OFF)

        def interrupt(count: int) -> None:
            if count == 3:
                os.kill(os.getpid(), signal.SIGINT)

        made.world.on_list = interrupt
        with Signals() as signals:
            report = made.runner.apply([], Options(), wait=True)
        assert signals.stop_requested == signal.SIGINT
        assert report.reports[0].end.condition in {Condition.ACTION_NEEDED, Condition.FAILED}
        assert report.exit_code == 1

    def test_without_wait_a_hand_off_is_reported_at_once(self, rig: MakeRig) -> None:
        """Exit 1: it waits for an operator."""
        made = rig("a", plans={"a": plan("a", Change.HAND_OFF, end=HAND_OFF)})
        made.engine.reports["a"] = KeyReport("a", (), HAND_OFF)
        assert made.runner.apply([], Options()).exit_code == 1
        assert made.world.slept == 0


class TestSignals:
    """Stopping when asked."""

    def test_no_key_is_started_after_a_signal_and_the_one_under_way_ends(self, rig: MakeRig) -> None:
        """The report says which was not started."""
        made = rig("a", "b", plans={key: plan(key, Change.RENAME) for key in "ab"})
        made.runner._workers = 1

        def interrupt(key: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 10
            while signals.stop_requested is None and time.monotonic() < deadline:
                time.sleep(0.001)

        made.engine.on_apply = interrupt
        with Signals() as signals:
            report = made.runner.apply([], Options())
        assert made.engine.applied == ["a"]
        assert [item.end.code for item in report.reports] == ["absent", "interrupted"]
