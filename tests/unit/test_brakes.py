"""Brakes, ownership and run-wide stops, decided on plans alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core import brakes
from keyturn.core.brakes import brake
from keyturn.core.configuration import Configuration, TargetPlace, differences
from keyturn.core.limits import Allowed, Limits
from keyturn.core.model import ApiKey, RecordsConfig, SlotName, Timing, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Intent, Op, Record, Slot
from keyturn.core.results import Change, End, KeyPlan, Planned

NOW = datetime(2026, 8, 1, tzinfo=UTC)
REST = End(Reason.AT_REST)
AROUND = Configuration((TargetPlace("v", "dotenv", {"root": "./safe"}, "1"),), RecordsConfig("v"))


def plan(
    key: str, *changes: Change, mints: bool = False, deletes: int = 0, due: int | None = None, basis: str = "b"
) -> KeyPlan:
    """A plan; `due`: a scheduled rotation, due since that many days."""
    since = None if due is None else NOW - timedelta(days=due)
    planned = tuple(Planned(change, "code", "why") for change in changes)
    return KeyPlan(key, planned, REST, basis, mints or due is not None, deletes, due is not None, since)


def heal(key: str) -> KeyPlan:
    """A rotation that nobody scheduled."""
    return plan(key, Change.ROTATE, Change.DELIVER, mints=True)


def trickling(key: str, code: str) -> KeyPlan:
    """A rotation of a key that has a secret, with this code."""
    return second(replace(heal(key), changes=(Planned(Change.ROTATE, code, "why"),)))


def second(plan: KeyPlan) -> KeyPlan:
    """A plan of a key that has a secret."""
    return replace(plan, record=replace(record(plan.key), generation=1))


def due(key: str, days: int) -> KeyPlan:
    """A rotation that has been due for that many days."""
    return plan(key, Change.ROTATE, Change.DELIVER, due=days)


def record(key: str, *, account: str = "team", uuid: str = "", op: Op | None = None) -> Record:
    """A record with a live slot."""
    intent = Intent(op, None, "n", "run", NOW, NOW) if op else None
    slots = {SlotName.A: Slot(uuid or f"uuid-{key}", key)}
    return Record(key, "owner", "00", account=account, live=SlotName.A, slots=slots, intent=intent)


def ends(braked: brakes.Braked) -> dict[str, tuple[str, int]]:
    """Code and exit code of each plan's end."""
    return {item.key: (item.end.code, item.end.exit_code) for item in braked.plans}


class TestDeletes:
    """Deleting needs consent by count."""

    def test_without_consent_no_deleting_key_starts_and_the_others_do(self) -> None:
        """Both keys that delete are held back with exit 4; the third goes on."""
        plans = [plan("a", Change.DELETE, deletes=1), plan("b", Change.DELETE, deletes=2), plan("c", Change.RENAME)]
        braked = brake(plans, Limits(20))
        assert braked.free == {"c"}
        assert ends(braked) == {"a": ("too-many-deletes", 4), "b": ("too-many-deletes", 4), "c": ("at-rest", 0)}
        assert "3 API keys would be deleted" in braked.plans[0].end.why
        assert braked.plans[0].end.number == 3

    def test_what_its_owner_has_agreed_to_is_not_counted(self) -> None:
        """It starts, and the others are held by their own number."""
        plans = [plan("a", Change.DELETE, deletes=2), plan("b", Change.DELETE, deletes=1)]
        braked = brake(plans, Limits(20), agreed={"a"})
        assert braked.free == {"a"}
        assert braked.plans[1].end.number == 1

    @pytest.mark.parametrize(("allowed", "free"), [(1, frozenset[str]()), (2, frozenset("ab")), (9, frozenset("ab"))])
    def test_consent_is_for_all_or_none(self, allowed: int, free: frozenset[str]) -> None:
        """A smaller number than what would be deleted lets none of them start."""
        plans = [plan("a", Change.DELETE, deletes=1), plan("b", Change.DELETE, deletes=1)]
        assert brake(plans, Limits(20, allow_delete=allowed)).free == free

    def test_a_key_held_for_its_delete_takes_no_place_among_the_rotations(self) -> None:
        """It does not start, so it does not count."""
        plans = [plan("a", Change.DELETE, Change.ROTATE, mints=True, deletes=1), heal("b")]
        assert brake(plans, Limits(1)).free == {"b"}


class TestRemovals:
    """Deliveries are emptied only so many at a time, whatever the manifest says."""

    def emptying(self, key: str, count: int) -> KeyPlan:
        """A plan that empties deliveries."""
        return replace(plan(key, Change.REMOVE), removals=count)

    def test_the_usual_number_is_free(self) -> None:
        """Twenty in one run."""
        assert brake([self.emptying("a", 15), self.emptying("b", 5)], Limits(1)).free == {"a", "b"}

    @pytest.mark.finding("M6", before="no brake on removals", now="more than 20 removals in a run need a number")
    def test_over_the_limit_none_starts(self) -> None:
        """Exit 4 and the number to type; the manifest's limit does not raise it."""
        braked = brake([self.emptying("a", 15), self.emptying("b", 6), plan("c", Change.RENAME)], Limits(100_000))
        assert braked.free == {"c"}
        assert ends(braked)["a"] == ("too-many-removals", 4)
        assert braked.plans[0].end.number == 21

    def test_an_operator_or_a_policy_sets_another_limit(self) -> None:
        """`--allow-removals 21`, or a ceiling below 20."""
        plans = [self.emptying("a", 21)]
        assert brake(plans, Limits(1, allowed=Allowed(removals=21))).free == {"a"}
        assert brake([self.emptying("a", 2)], Limits(1, removals_per_run=1)).free == set()
        assert Limits(1).after(plans).removals == 0


class TestUnproven:
    """API keys that may not be the key's own are changed only with consent by count."""

    def test_none_is_changed_without_a_number(self) -> None:
        """All or none; the sentence says why."""
        doubted = [replace(plan(key, Change.RETIRE), unproven=(f"{key} is called otherwise",)) for key in "ab"]
        braked = brake([*doubted, plan("c", Change.RETIRE)], Limits(20, allowed=Allowed(unproven=1)))
        assert braked.free == {"c"}
        assert ends(braked)["a"] == ("unproven", 4)
        assert braked.plans[0].end.why.startswith("a is called otherwise; it would be changed")
        assert braked.plans[0].end.number == 2
        assert brake(doubted, Limits(20, allowed=Allowed(unproven=2))).free == {"a", "b"}


class TestUnscheduled:
    """Adoptions and heals come in bulk only when something is wrong, or is agreed."""

    @pytest.mark.parametrize(
        "many",
        [
            [heal("a"), heal("b")],
            [plan("a", Change.ADOPT), plan("b", Change.ADOPT, Change.ROTATE, mints=True)],
            [plan("a", Change.CREATE, Change.DELIVER, mints=True), heal("b")],
        ],
    )
    def test_over_the_limit_none_of_them_starts(self, many: list[KeyPlan]) -> None:
        """They are held back with exit 4 and the number to type; a repair without a mint goes on."""
        braked = brake([*many, plan("c", Change.DELIVER)], Limits(1))
        assert braked.free == {"c"}
        assert ends(braked)["a"] == ("too-many-rotations", 4)
        assert "2 keys would be adopted or healed" in braked.plans[0].end.why
        assert braked.plans[0].end.number == 2

    def test_at_the_limit_all_start(self) -> None:
        """The limit itself is allowed."""
        assert brake([heal("a"), heal("b")], Limits(2)).free == {"a", "b"}

    def test_consent_raises_the_limit(self) -> None:
        """`--allow-rotations 2` over a limit of 1."""
        assert brake([heal("a"), heal("b")], Limits(1, allow_rotations=2)).free == {"a", "b"}

    def test_consent_below_the_limit_does_not_lower_it(self) -> None:
        """The manifest's number stands."""
        assert brake([heal("a"), heal("b")], Limits(2, allow_rotations=1)).free == {"a", "b"}

    def test_retires_and_repairs_do_not_count(self) -> None:
        """A retire mints only to kill an old secret."""
        plans = [plan("a", Change.RETIRE, mints=True), plan("b", Change.DELIVER), heal("c")]
        assert brake(plans, Limits(1)).free == {"a", "b", "c"}

    def test_rotations_that_were_asked_for_key_by_key_are_not_braked(self) -> None:
        """`keyturn rotate A B C` names each."""
        assert brake([heal("a"), heal("b")], Limits(1), asked=True).free == {"a", "b"}


class TestScheduled:
    """Scheduled rotations over the limit are put off, not refused."""

    def test_those_due_longest_are_kept(self) -> None:
        """The others are deferred, wait, and exit 0; `deferred` is in the plans' order."""
        braked = brake([due("new", 1), due("old", 30), due("middle", 5), due("newer", 2)], Limits(2))
        assert braked.free == {"old", "middle"}
        assert braked.deferred == ("new", "newer")
        assert ends(braked)["new"] == ("deferred", 0)
        assert braked.plans[0].end.condition is Condition.WAITING

    def test_heals_take_from_the_same_limit_first(self) -> None:
        """One limit for all rotations of a run."""
        braked = brake([due("a", 9), due("b", 8), heal("c")], Limits(2))
        assert braked.free == {"a", "c"}
        assert braked.deferred == ("b",)

    def test_heals_that_are_held_back_take_nothing(self) -> None:
        """Three heals do not start, two scheduled rotations do."""
        braked = brake([due("a", 9), due("b", 8), heal("c"), heal("d"), heal("e")], Limits(2))
        assert braked.free == {"a", "b"}
        assert braked.deferred == ()

    def test_a_limit_of_zero_defers_all(self) -> None:
        """No rotation in this run."""
        assert brake([due("a", 1)], Limits(0)).deferred == ("a",)


class TestOwnership:
    """Whose record, whose team."""

    def test_a_record_is_ours_by_its_owner_until_it_is_a_tombstone(self) -> None:
        """Another owner's, a deleted one and none at all are not."""
        ours = record("a")
        tombstone = Record("a", "owner", "00", deleted_at=NOW)
        assert [brakes.mine(item, "owner") for item in (ours, tombstone, None)] == [True, False, False]
        assert not brakes.mine(ours, "someone")

    def test_another_team_stops_the_run(self) -> None:
        """One record of another team is enough, and both teams are named."""
        why = brakes.other_team("mine", {"a": record("a", account="mine"), "b": record("b", account="theirs")})
        assert why is not None
        assert (why.code, why.exit_code) == (Reason.ANOTHER_TEAM, 4)
        assert "mine" in why.why
        assert "theirs" in why.why

    @pytest.mark.parametrize(("token", "recorded"), [("", "team"), ("team", ""), ("", ""), ("team", "team")])
    def test_an_unknown_team_stops_nothing(self, token: str, recorded: str) -> None:
        """Only two known and different ones do."""
        assert brakes.other_team(token, {"a": record("a", account=recorded)}) is None


class TestCommonFate:
    """What happens to all keys at once is not the keys' doing."""

    def test_two_keys_all_gone_stop_the_run(self) -> None:
        """None of two live keys is in the list."""
        gone = brakes.all_gone({"a": "1", "b": "2"}, [ApiKey("3", "x")])
        assert gone is not None
        assert "2 live keys" in gone.why

    def test_a_key_marked_deleted_is_gone(self) -> None:
        """The list may show a deleted key for a while."""
        assert brakes.all_gone({"a": "1", "b": "2"}, [ApiKey("1", "x", deleted_at=NOW)])

    @pytest.mark.parametrize("live", [{}, {"a": "1"}, {"a": "1", "b": "3"}])
    def test_one_key_gone_or_one_still_there_is_no_common_fate(self, live: dict[str, str]) -> None:
        """A single gone key is healed."""
        assert brakes.all_gone(live, [ApiKey("3", "x")]) is None

    def test_only_live_slots_of_keys_that_shall_stay_are_looked_for(self) -> None:
        """A key under deletion and one without a live slot do not count."""
        records = {
            "a": record("a"),
            "b": record("b", op=Op.DELETE),
            "c": record("c", op=Op.ROTATE),
            "d": Record("d", "owner", "00"),
        }
        assert brakes.live_uuids(records) == {"a": "uuid-a", "c": "uuid-c"}

    @pytest.mark.parametrize(
        ("verdicts", "stops"),
        [
            ([Verdict.REFUSED, Verdict.REFUSED], True),
            ([Verdict.REFUSED, None, Verdict.SKIPPED, Verdict.UNREACHABLE, Verdict.REFUSED], True),
            ([Verdict.REFUSED], False),
            ([Verdict.REFUSED, None], False),
            ([Verdict.REFUSED, Verdict.REFUSED, Verdict.ACCEPTED], False),
            ([Verdict.REFUSED, Verdict.QUOTA], False),
            ([Verdict.REFUSED, Verdict.REFUSED, Verdict.TIER], False),
            ([Verdict.REFUSED, Verdict.VPC, Verdict.BALANCE, Verdict.REFUSED], True),
            ([Verdict.REFUSED, Verdict.VPC], False),
            ([Verdict.BALANCE, Verdict.BALANCE], False),
            ([], False),
        ],
    )
    def test_every_checked_key_refused_stops_the_run(self, verdicts: list[Verdict | None], stops: bool) -> None:
        """Two or more, and not one that the API knows."""
        assert bool(brakes.all_refused({str(n): verdict for n, verdict in enumerate(verdicts)})) is stops


@pytest.mark.parametrize(
    ("sizes", "stopped"),
    [
        ({"a": 2}, "a"),
        ({"a": 2, "b": 1}, "a"),
        ({"a": 1, "b": 1}, ""),
        ({"a": 1, "b": 1, "c": 1}, "abcx"),
        ({"a": 2, "b": 2}, "abcx"),
    ],
)
def test_a_fate_of_one_group_stops_no_other_one(sizes: dict[str, int], stopped: str) -> None:
    """Whose keys are not begun if so many of each group are refused, or gone; nothing was seen of group x."""
    keys = [f"{group}.{number}" for group, size in sizes.items() for number in range(size)]
    refused: dict[str, Verdict | None] = dict.fromkeys(keys, Verdict.REFUSED)
    assert {group for group in "abcx" if brakes.all_refused(refused, group)} == set(stopped)
    assert {group for group in "abcx" if brakes.all_gone(dict.fromkeys(keys, "1"), [], group)} == set(stopped)
    assert not any(brakes.all_refused({**refused, "y.0": Verdict.ACCEPTED}, group) for group in "abcx")


def test_the_digest_covers_every_basis_and_not_the_order() -> None:
    """A changed, an added and a swapped basis each make another digest."""
    a, b = plan("a", basis="1"), plan("b", basis="2")
    assert brakes.digest("me", AROUND, [a, b]) == brakes.digest("me", AROUND, [b, a])
    others = [[a], [a, plan("b", basis="3")], [plan("a", basis="2"), plan("b", basis="1")]]
    assert len({brakes.digest("me", AROUND, plans) for plans in [[a, b], *others]}) == 4


@pytest.mark.finding(
    "H4",
    before="a saved plan is applied with other targets, records, timing or owner",
    now="its digest covers all of them",
)
def test_the_digest_covers_owner_targets_records_and_timing() -> None:
    """Also a login that no home tells apart, and the value of a variable that is not shown."""
    vault = AROUND.targets[0]
    others = [
        replace(AROUND, targets=()),
        replace(AROUND, targets=(replace(vault, place={"root": "./public"}),)),
        replace(AROUND, targets=(replace(vault, digest="of another value"),)),
        replace(AROUND, records=RecordsConfig("v", "mine")),
        replace(AROUND, timing=Timing(settle=1)),
    ]
    digests = {brakes.digest("me", one, []) for one in (AROUND, *others)} | {brakes.digest("you", AROUND, [])}
    assert len(digests) == 2 + len(others)
    told = [list(differences(AROUND, one)) for one in others]
    assert told == [
        ["the target v is gone"],
        ["the target v: root was ./safe and is ./public"],
        ["the target v: the value of a variable changed"],
        ["the records: prefix was keyturn and is mine"],
        ["timing: settle was 30.0 and is 1"],
    ]
    assert list(differences(others[0], AROUND)) == ["the target v is new"]
