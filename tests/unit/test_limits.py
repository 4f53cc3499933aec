"""A run in rounds: its limits are shared among them and among groups of keys, and first secrets trickle."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from keyturn.core.brakes import brake
from keyturn.core.limits import Allowed, Limits, Part
from keyturn.core.model import Cause, Desired, Event, RecordsConfig, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.results import Change, KeyPlan
from tests.unit.test_brakes import NOW, due, ends, heal, plan, second, trickling


class TestParts:
    """A run that is done in rounds shares its limits among them, and first secrets trickle."""

    def test_first_secrets_over_their_limit_are_deferred_and_heals_are_not_counted_with_them(self) -> None:
        """No standstill, and no way around the brake for others."""
        part = Allowed(part=Part(adoptions=2))
        limits = Limits.under(Desired("o", (), RecordsConfig("v"), (), rotations_per_run=2), 0, 0, part)
        again = [second(heal(key)) for key in ("x", "y")]
        first = [plan(key, Change.ADOPT, mints=True) for key in ("a", "b", "c")]
        braked = brake([*first, *again], limits)
        assert braked.free == {"a", "b", "x", "y"}
        assert braked.deferred == ("c",)
        assert ends(braked)["c"] == ("deferred", 0)
        left = limits.after(one for one in braked.plans if one.key in braked.free)
        assert (left.adoptions, left.rotations) == (0, 0)

    @pytest.mark.parametrize("code", ["trigger", "requested"])
    def test_rotations_that_were_asked_for_trickle_and_hold_nobody(self, code: str) -> None:
        """However many they are: heals and scheduled rotations keep their whole limit."""
        asked = [trickling(f"many.{number}", code) for number in range(21)]
        part = Allowed(part=Part(adoptions=20))
        limits = Limits.under(Desired("o", (), RecordsConfig("v"), (), rotations_per_run=20), 0, 0, part)
        others = [second(heal("few.lost")), second(due("few.due", 3))]
        braked = brake([*asked, *others], limits)
        assert braked.free == {*(plan.key for plan in asked[:20]), "few.lost", "few.due"}
        assert braked.deferred == ("many.20",)
        assert limits.after(others).adoptions == 20
        left = limits.after(one for one in braked.plans if one.key in braked.free)
        assert (left.adoptions, left.rotations) == (0, 18)

    def test_a_key_that_was_rotated_a_short_time_ago_rests(self) -> None:
        """It waits until a moment, for what was asked for only, and takes nobody's place."""
        part = Allowed(part=Part(adoptions=1, rests={"a": NOW, "b": NOW}))
        limits = Limits(1, allowed=part, adoptions=1)
        braked = brake([trickling("a", "trigger"), second(heal("b")), trickling("c", "trigger")], limits)
        assert braked.free == {"b", "c"}
        assert (braked.plans[0].end.code, braked.plans[0].end.until) == (Reason.DEFERRED, NOW)
        assert braked.deferred == ()

    def test_a_whole_run_counts_them_with_the_heals(self) -> None:
        """An operator runs it, and sees the number."""
        assert brake([trickling("a", "trigger"), heal("b")], Limits(1)).free == set()

    def test_groups_have_their_turns(self) -> None:
        """Who has many keys, and first in the order, does not make others wait; what waits is in the order of turns."""
        keys = ["many.a", "many.b", "many.c", "many.d", "few.a", "other.a"]
        plans = [trickling(key, "trigger") for key in keys]
        later = [second(due("many.old", 9)), second(due("many.older", 10))]
        braked = brake([*later, *plans], Limits(1, adoptions=3))
        assert braked.free == {"many.a", "few.a", "other.a", "many.older"}
        assert braked.deferred == ("many.b", "many.c", "many.d", "many.old")

    def test_what_earlier_rounds_did_counts(self) -> None:
        """Also the deliveries that they emptied; never below nothing."""
        desired = Desired("o", (), RecordsConfig("v"), (), rotations_per_run=3)
        part = Part(adoptions=3, rotations={"x": 2}, removals={"x": 99})
        limits = Limits.under(desired, 0, 0, Allowed(part=part))
        assert (limits.rotations, limits.removals) == (1, 0)
        heals = [second(heal("x.a")), second(heal("x.b"))]
        assert brake(heals, limits).free == set()
        assert brake(heals[:1], limits).free == {"x.a"}
        assert limits.after(heals[:1]).rotations == 0
        assert limits.after(heals[:1]).allowed.part.rotations == {"x": 3}

    def test_a_group_that_loses_much_holds_up_no_other_one(self) -> None:
        """Not a group that spent all of the limit before, either."""
        limits = replace(Limits(4), adoptions=4)
        many = [second(heal(f"many.{number}")) for number in range(5)]
        few = [second(heal("few.a")), second(heal("few.b"))]
        braked = brake([*many, *few], limits)
        assert braked.free == {"few.a", "few.b"}
        assert {one.end.number for one in braked.plans if one.key.startswith("many")} == {5}
        assert brake([*many, *few], replace(limits, allow_rotations=5)).free == {one.key for one in (*many, *few)}
        spent = replace(limits, allowed=Allowed(part=Part(rotations={"many": 4})))
        assert brake([*many[:1], *few], spent).free == {"few.a", "few.b"}

    def test_a_loss_of_all_groups_is_held_whole(self) -> None:
        """If there are more groups than the limit, without any one of them, none has a share."""
        limits = replace(Limits(4), adoptions=4)
        heals = [second(heal(f"team-{number}.a")) for number in range(6)]
        assert brake(heals, limits).free == set()
        assert brake(heals[:5], limits).free == {one.key for one in heals[:5]}

    def test_of_two_groups_each_has_the_whole_limit(self) -> None:
        """Also for scheduled rotations: what the other one heals is not counted, what a third one heals is."""
        limits = replace(Limits(2), adoptions=2)
        heals = [second(heal(f"{group}.{number}")) for group in ("some", "more") for number in range(2)]
        late = [second(due(f"few.{number}", 3)) for number in range(3)]
        assert brake(heals, limits).free == {one.key for one in heals}
        assert brake([*heals[:2], *late], limits).deferred == ("few.2",)
        assert brake([*heals, *late], limits).deferred == ("few.0", "few.1", "few.2")

    def test_removals_are_shared_alike(self) -> None:
        """Who moves many deliveries makes nobody else's wait."""
        limits = replace(Limits(20, removals_per_run=4), adoptions=20)
        plans = [replace(plan(f"many.{number}", Change.REMOVE), removals=1) for number in range(5)]
        few = replace(plan("few.a", Change.REMOVE), removals=2)
        assert brake([*plans, few], limits).free == {"few.a"}
        assert brake([*plans, few], replace(limits, allowed=Allowed(removals=5))).free == {
            one.key for one in (*plans, few)
        }

    def test_after_a_start_the_histories_count(self) -> None:
        """Heals and scheduled rotations after the moment, not what was asked for, nor a first secret."""

        def told(key: str, *causes: str, at: datetime = NOW, generation: int = 2) -> KeyPlan:
            events = tuple(Event(at, "rotated", "r", Cause(cause), SlotName.A, generation, "") for cause in causes)
            found = second(heal(key))
            assert found.record
            return replace(found, record=replace(found.record, history=events))

        since = NOW - timedelta(minutes=10)
        limits = replace(Limits(3), adoptions=3, allowed=Allowed(part=Part(since=since)))
        assert brake([told("x.a", "refused", "due"), told("x.b")], limits).free == set()
        for harmless in (
            told("x.a", "trigger", "requested"),
            told("x.a", "refused", "due", generation=1),
            told("x.a", "refused", "due", at=since),
            told("x.a", "refused"),
        ):
            assert brake([harmless, told("x.b")], limits).free == {"x.a", "x.b"}
