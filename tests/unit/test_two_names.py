"""Two names of deliveries that hold one secret: what versions tell, and what stays where nothing tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from keyturn.core.errors import TargetForbidden
from keyturn.core.model import Delivery, Strategy
from keyturn.core.secret import Secret
from keyturn.core.world import Held
from keyturn.engine.effects import _likeness
from keyturn.engine.executor import apply_key
from keyturn.engine.planning import plan_key
from tests.simulation.scenarios import NOTHING, TIMING, entry, settled
from tests.simulation.sequences import ELSEWHERE, PLAIN, kinds_known
from tests.simulation.world import SimWorld

OLD, NEW = Delivery("v", "app", "key"), Delivery("w", "app", "key")
SECRET = Secret("sk-do-two-names")


@dataclass
class Store:
    """Two names, of one place or of two, whose versions are numbers; someone else may write before each read."""

    places: dict[Delivery, str]
    versions: dict[str, int]
    unique: bool = False
    still: bool = False
    """A preflight leaves the version as it is."""
    meddle: Callable[[Store, int], None] = lambda *_: None
    reads: int = 0
    writes: list[Delivery] = field(default_factory=list)

    def read_delivery(self, delivery: Delivery) -> Held:
        """Return the secret, at the version of its place."""
        self.meddle(self, self.reads)
        self.reads += 1
        return Held(SECRET, str(self.versions[self.places[delivery]]))

    def preflight(self, delivery: Delivery) -> None:
        """Write the place again."""
        self.writes.append(delivery)
        self.versions[self.places[delivery]] += not self.still

    def unique_versions(self, _: Delivery) -> bool:
        """As it was made."""
        return self.unique


def one(**changes: object) -> Store:
    """Return a place with two names."""
    return Store({OLD: "p", NEW: "p"}, {"p": 5}, **changes)  # type: ignore[arg-type]


def two(old: int, new: int, **changes: object) -> Store:
    """Return two places at these versions."""
    return Store({OLD: "p", NEW: "q"}, {"p": old, "q": new}, **changes)  # type: ignore[arg-type]


def same(store: Store) -> bool | None:
    """Compare the two names."""
    return _likeness(store, OLD, NEW, {}).same  # type: ignore[arg-type]


def test_other_versions_are_two_places_without_a_write() -> None:
    """Three reads tell."""
    store = two(5, 6)
    assert (same(store), store.reads, store.writes) == (False, 3, [])


def test_equal_versions_are_told_by_one_write_to_the_wanted_name() -> None:
    """The old place is only read."""
    store = two(5, 5)
    assert (same(store), store.reads, store.writes) == (False, 6, [NEW])


def test_a_place_whose_version_follows_twice_is_the_same() -> None:
    """Once may be chance: another key may write to the old place meanwhile."""
    store = one()
    assert (same(store), store.writes) == (True, [NEW, NEW])


def test_unique_versions_need_no_write() -> None:
    """Equal ones are one place."""
    store = one(unique=True, still=True)
    assert (same(store), store.writes) == (True, [])
    assert same(two(5, 6, unique=True)) is False


def test_a_version_that_never_changes_tells_nothing() -> None:
    """It is left alone."""
    assert same(two(5, 5, still=True)) is None


@pytest.mark.parametrize("when", range(12))
def test_who_writes_to_a_place_meanwhile_does_not_make_it_two(when: int) -> None:
    """Another key shares its path, and writes at some moment."""

    def meddle(store: Store, read: int) -> None:
        store.versions["p"] += read == when

    assert same(one(meddle=meddle)) is True


@pytest.mark.parametrize("when", range(8))
def test_who_writes_to_the_old_place_meanwhile_does_not_make_them_one(when: int) -> None:
    """Also if it is written right after the wanted one, so that their versions are equal again."""

    def meddle(store: Store, read: int) -> None:
        store.versions["p"] += read == when

    assert same(two(5, 5, meddle=meddle)) is False


def test_a_place_that_keeps_changing_is_not_told() -> None:
    """After five looks it is left alone."""

    def meddle(store: Store, read: int) -> None:
        store.versions["p"] += 1

    store = one(meddle=meddle)
    assert (same(store), store.reads) == (None, 15)


def test_a_wanted_name_that_may_not_be_written_is_not_told() -> None:
    """The error says why."""

    class Barred(Store):
        def preflight(self, delivery: Delivery) -> None:
            raise TargetForbidden("no write", where=str(delivery))

    told = _likeness(Barred({OLD: "p", NEW: "p"}, {"p": 5}), OLD, NEW, {})  # type: ignore[arg-type]
    assert told.same is None
    assert told.why.startswith(f"it may be another name of {NEW}: ")
    assert "no write" in told.why


def test_without_versions_a_copy_that_was_there_before_stays_and_that_is_told() -> None:
    """The plan, the report and the history say so, and a place that was filled just now is emptied as ever."""
    plain = replace(entry(Strategy.ALTERNATING), deliveries=(PLAIN,))
    more = replace(plain, deliveries=(PLAIN, replace(PLAIN, path="more")))
    one_left = kinds_known(replace(plain, deliveries=more.deliveries[1:]))
    one_left = replace(one_left, kinds={"plain": "sim"})
    universe = settled(more)
    told = f"{PLAIN} is not emptied, because it may be another name of {one_left.deliveries[0]}"
    assert told in plan_key(SimWorld(universe, {}, TIMING), one_left, NOTHING).plan.changes[0].why
    report = apply_key(SimWorld(universe, {}, TIMING), one_left, NOTHING, "run-left")
    assert (report.exit_code, told in report.done[0].why) == (0, True)
    assert universe.held(PLAIN) == universe.held(one_left.deliveries[0]) != ""
    record = universe.records["main"][0]
    assert told in record.history[-1].what
    assert [item.delivery for item in record.deliveries] == list(one_left.deliveries)
    moved = replace(one_left, deliveries=(ELSEWHERE,), kinds={"plain": "sim", "x": "sim"})
    assert apply_key(SimWorld(universe, {}, TIMING), moved, NOTHING, "run-moved").exit_code == 0
    assert universe.held(one_left.deliveries[0]) == ""
