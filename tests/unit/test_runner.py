"""Many keys: what a run costs, isolation, progress, brakes, records without an entry, run files."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from keyturn.core.errors import (
    CredentialError,
    InputError,
    OwnershipError,
    TargetUnavailable,
)
from keyturn.core.model import ApiKey
from keyturn.core.reasons import Condition
from keyturn.core.results import Change, KeyReport, Options, Progress
from keyturn.engine.announce import APPLY
from keyturn.engine.run_lock import Runs
from tests.support.rig import DONE, NOW, MakeRig, make_rig, plan, record

SECRET = "sk-do-never-to-be-seen"


@pytest.fixture
def rig(tmp_path: Path) -> MakeRig:
    """Make a runner for keys of these ids, all of them in the list and with a record."""
    return lambda *ids, **settings: make_rig(tmp_path / "runs", ids, **settings)


def ids(count: int) -> tuple[str, ...]:
    """Key ids, in order."""
    return tuple(f"key-{number:02}" for number in range(count))


class TestCost:
    """What a run asks of the world."""

    def test_at_rest_a_run_costs_one_list_each_record_once_and_one_list_of_records(self, rig: MakeRig) -> None:
        """Also for apply, which then has nothing to apply."""
        made = rig(*ids(20))
        report = made.runner.apply([], Options())
        expected = {"list": 1, "account": 2, "list records": 1} | {f"record {key}": 1 for key in ids(20)}
        assert made.world.calls == expected
        assert made.engine.applied == []
        assert report.exit_code == 0
        assert [item.key for item in report.reports] == list(ids(20))

    def test_named_keys_only_are_looked_at_and_no_records_are_listed(self, rig: MakeRig) -> None:
        """In the manifest's order, each once, whatever the order typed."""
        made = rig("a", "b", "c")
        result = made.runner.plan(["c", "a", "c"], Options())
        assert [item.key for item in result.plans] == ["a", "c"]
        assert made.world.calls == {"list": 1, "account": 3, "record a": 1, "record c": 1}

    def test_no_keys_cost_nothing(self, rig: MakeRig) -> None:
        """An empty manifest lists no keys."""
        made = rig()
        assert made.runner.plan([], Options()).exit_code == 0
        assert made.world.calls == {"list records": 1}

    def test_planning_and_status_make_no_run_file(self, rig: MakeRig) -> None:
        """Reading writes nothing, not even here."""
        made = rig("a")
        made.runner.plan([], Options())
        made.runner.status([], Options())
        assert not made.runs.exists()

    def test_keys_are_worked_on_side_by_side(self, rig: MakeRig) -> None:
        """Sixteen at a time: sixteen keys that wait for each other all get there."""
        made = rig(*ids(16), plans={key: plan(key, Change.RENAME) for key in ids(16)})
        barrier = threading.Barrier(16, timeout=20)
        made.engine.on_apply = lambda key: cast("None", barrier.wait())
        assert made.runner.apply([], Options()).exit_code == 0
        assert sorted(made.engine.applied) == list(ids(16))

    def test_what_was_planned_a_moment_ago_is_not_read_again(self, rig: MakeRig) -> None:
        """By one apply only: the next one looks for itself."""
        made = rig("a", "b", plans={"a": plan("a", Change.RENAME)})
        made.runner.plan([], Options())
        seen = made.world.calls.copy()
        made.runner.apply([], Options(), planned_now=True)
        assert (made.world.calls, made.engine.applied) == (seen, ["a"])
        made.runner.apply([], Options(), planned_now=True)
        assert made.world.calls["list"] == seen["list"] + 1


class TestIsolation:
    """One key's failure is its own."""

    @pytest.mark.parametrize("where", ["plan", "apply"])
    def test_an_unexpected_error_fails_its_key_and_shows_only_its_type(self, rig: MakeRig, where: str) -> None:
        """Its text could hold a secret; the other key is done."""
        made = rig("a", "b", plans={key: plan(key, Change.RENAME) for key in ("a", "b")})
        (made.engine.plans if where == "plan" else made.engine.reports)["a"] = ValueError(SECRET)
        report = made.runner.apply([], Options())
        bad, good = report.reports
        assert (bad.end.condition, bad.end.code, bad.end.exit_code) == (Condition.FAILED, "unexpected", 1)
        assert "ValueError" in bad.end.why
        assert SECRET not in repr(report)
        assert good.end == DONE
        assert report.exit_code == 1

    def test_an_error_of_keyturn_keeps_its_words_and_exit_code(self, rig: MakeRig) -> None:
        """A vault that does not answer (1), a login refused (5), another owner's key (4): 4 wins."""
        errors = {
            "a": TargetUnavailable("sealed"),
            "b": CredentialError("refused"),
            "c": OwnershipError("theirs"),
        }
        made = rig("a", "b", "c", "d", plans=errors)
        result = made.runner.plan([], Options())
        assert [item.end.exit_code for item in result.plans] == [1, 5, 4, 0]
        assert [item.end.why for item in result.plans][:3] == ["sealed.", "refused.", "theirs."]
        assert result.exit_code == 4

    def test_a_key_that_could_not_be_planned_is_not_applied(self, rig: MakeRig) -> None:
        """What is not known is not changed."""
        made = rig("a", plans={"a": TargetUnavailable("sealed")})
        assert made.runner.apply([], Options(verify=False)).exit_code == 1
        assert made.engine.applied == []

    def test_a_problem_that_stands_is_exit_1(self, rig: MakeRig) -> None:
        """A key that ended well with a delivery pending is not at rest."""
        made = rig("a", plans={"a": plan("a", Change.DELIVER)})
        made.engine.reports["a"] = KeyReport("a", (), DONE, ("pending",))
        assert made.runner.apply([], Options()).exit_code == 1

    def test_status_tells_a_failed_key_among_the_others(self, rig: MakeRig) -> None:
        """Status goes on too."""
        made = rig("a", "b", plans={"a": TargetUnavailable("sealed")})
        bad, good = made.runner.status([], Options()).keys
        assert (bad.condition, bad.why) == (Condition.UNKNOWN, "sealed.")
        assert good.condition is Condition.READY

    def test_an_unknown_key_is_refused_before_anything_is_read(self, rig: MakeRig) -> None:
        """With the nearest name."""
        made = rig("checkout-bot")
        with pytest.raises(InputError, match="Did you mean checkout-bot"):
            made.runner.apply(["checkuot-bot"], Options())
        assert made.world.calls == {}


class TestTalk:
    """Progress never gets in the way."""

    def test_talk_is_heard_in_the_callers_thread(self, rig: MakeRig) -> None:
        """A screen need not be thread-safe."""
        made = rig(*ids(9), plans={key: plan(key, Change.RENAME) for key in ids(9)})
        made.runner.apply([], Options())
        assert sorted(line.key for line in made.said if line.text == "working") == list(ids(9))
        assert made.heard_in == {threading.get_ident()}

    def test_a_slow_or_broken_listener_holds_up_no_key(self, rig: MakeRig) -> None:
        """A key says all it has to say while the screen is still busy with the first line."""
        made = rig("a", plans={"a": plan("a", Change.RENAME)})
        released = threading.Event()

        heard: list[bool] = []

        def stuck(line: Progress) -> None:
            if line.key and any(heard):
                heard.append(released.wait(20))
                raise BrokenPipeError
            heard.append(line.text == APPLY)

        made.runner._listener = stuck
        made.engine.on_apply = lambda key: released.set()
        assert made.runner.apply([], Options()).exit_code == 0
        assert heard[-1], "the key ended only after the screen was free"


class TestBrakes:
    """Brakes hold back only the keys concerned."""

    def test_a_delete_without_consent_does_not_start_and_the_other_key_does(self, rig: MakeRig) -> None:
        """Exit 4; with consent the key gets it, and only that key."""
        plans = {"a": plan("a", Change.DELETE, deletes=1), "b": plan("b", Change.RENAME)}
        made = rig("a", "b", plans=plans)
        report = made.runner.apply([], Options())
        assert made.engine.applied == ["b"]
        assert report.reports[0].end.code == "too-many-deletes"
        assert report.exit_code == 4
        made.engine.applied.clear()
        assert made.runner.apply([], Options(), allow_delete=1).exit_code == 0
        assert sorted(made.engine.applied) == ["a", "b"]
        assert made.engine.options["a"].allow_delete
        assert not made.engine.options["b"].allow_delete

    def test_a_plan_shows_what_apply_would_hold_back(self, rig: MakeRig) -> None:
        """The changes stay visible, the end says why they do not start."""
        made = rig("a", plans={"a": plan("a", Change.DELETE, deletes=1)})
        result = made.runner.plan([], Options())
        assert result.plans[0].changes
        assert (result.plans[0].end.code, result.exit_code) == ("too-many-deletes", 4)
        assert made.engine.options["a"].allow_delete

    def test_a_deferred_rotation_waits_and_exits_0(self, rig: MakeRig) -> None:
        """The one due longer is rotated."""
        due = [replace(plan(key, Change.ROTATE, mints=True), scheduled=True, due_since=NOW) for key in ("a", "b")]
        made = rig("a", "b", limit=1, plans={"a": due[0], "b": replace(due[1], due_since=NOW.replace(year=2025))})
        report = made.runner.apply([], Options())
        assert (made.engine.applied, report.deferred, report.exit_code) == (["b"], ("a",), 0)

    def test_too_many_heals_start_only_with_consent(self, rig: MakeRig) -> None:
        """Unless they were asked for by `rotate`."""
        plans = {key: plan(key, Change.ROTATE, mints=True) for key in ("a", "b")}
        made = rig("a", "b", limit=1, plans=plans)
        assert made.runner.apply([], Options()).exit_code == 4
        assert made.engine.applied == []
        assert made.runner.apply([], Options(), allow_rotations=2).exit_code == 0
        assert made.runner.apply(["a", "b"], Options(rotate=True)).exit_code == 0
        assert sorted(made.engine.applied) == ["a", "a", "b", "b"]

    def test_a_key_is_unparked_by_name_only(self, rig: MakeRig) -> None:
        """The other parked key stays parked."""
        made = rig("a", "b")
        made.runner.plan([], Options(), unpark=("b",))
        assert [made.engine.options[key].unpark for key in ("a", "b")] == [False, True]


class TestUnmanaged:
    """Records whose entry was removed from the manifest."""

    def test_they_are_listed_and_left_alone(self, rig: MakeRig) -> None:
        """Only this owner's; a record at rest is read once and not planned."""
        made = rig("a")
        made.world.records |= {"gone": record("gone"), "theirs": record("theirs", owner="someone")}
        report = made.runner.apply([], Options())
        assert report.unmanaged == ("gone",)
        assert [item.key for item in report.reports] == ["a"]
        assert made.world.calls["record gone"] == 1

    def test_a_retire_of_theirs_still_runs(self, rig: MakeRig) -> None:
        """As itself, without what was asked of the manifest's keys."""
        made = rig("a", plans={"gone": plan("gone", Change.RETIRE, mints=True)})
        made.world.records["gone"] = record("gone", retire=True)
        made.world.keys.append(ApiKey("uuid-gone", "gone"))
        report = made.runner.apply([], Options(rotate=True, take_over=True, by="me"))
        assert [item.key for item in report.reports] == ["a", "gone"]
        assert made.engine.applied == ["gone"]
        assert made.engine.options["gone"] == Options(by="me")

    def test_status_shows_them_all(self, rig: MakeRig) -> None:
        """At rest or with a retire to come."""
        made = rig("a")
        made.world.records |= {"gone": record("gone"), "retiring": record("retiring", retire=True)}
        assert [item.key for item in made.runner.status([], Options()).keys] == ["a", "retiring", "gone"]

    def test_records_that_cannot_be_listed_are_said_and_stop_nothing(self, rig: MakeRig) -> None:
        """A login that may read records and not list them is enough for the manifest's keys."""
        made = rig("a")
        made.world.records_error = TargetUnavailable("may not list")
        assert made.runner.plan([], Options()).exit_code == 0
        assert "may not list" in made.said[0].text


class TestRunFile:
    """The run's own lock."""

    def test_each_apply_is_a_run_of_its_own_that_is_alive_while_it_works(self, rig: MakeRig) -> None:
        """Both keys work under the one id that the report tells; afterwards it is gone."""
        made = rig("a", "b", plans={key: plan(key, Change.RENAME) for key in "ab"})
        alive: list[bool] = []
        made.engine.on_apply = lambda key: alive.append(len(list(made.runs.iterdir())) == 1)
        first, second = made.runner.apply([], Options()).run, made.runner.apply([], Options()).run
        assert first != second
        assert made.engine.runs == {first, second}
        assert alive == [True] * 4
        assert list(made.runs.iterdir()) == []

    def test_a_run_with_a_failed_key_can_be_taken_over_at_once(self, rig: MakeRig) -> None:
        """Its file stays, unlocked."""
        made = rig("a", plans={"a": plan("a", Change.RENAME)})
        made.engine.reports["a"] = TargetUnavailable("sealed")
        report = made.runner.apply([], Options())
        assert Runs([made.runs]).alive(report.run) is False
