"""What every target promises whose values cannot be read back, and every one whose values take effect later."""

from __future__ import annotations

import pytest

from keyturn.core.effect import EffectState
from keyturn.core.errors import Conflict, InputError, LeaseLost, TargetError, TargetForbidden, TargetMisfit
from keyturn.targets import registry
from keyturn.targets.base import Delayed, WriteOnly
from tests.contract.places import DelayedPlace, WriteOnlyPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW, OLD, never
from tests.contract.test_documents import BAD_PATHS, free


def test_it_says_what_it_can_do(write_only: WriteOnlyPlace) -> None:
    """Its capabilities and its methods agree."""
    target = write_only.target()
    assert isinstance(target, WriteOnly)
    assert target.capabilities.marks
    assert not target.capabilities.reads
    assert not target.capabilities.versions
    assert target.capabilities.effect == isinstance(target, Delayed)
    assert registry.complete(type(target))


def test_a_write_is_seen_by_its_marker_only(write_only: WriteOnlyPlace) -> None:
    """The value is there, and no read shows it; the marker shows nothing of it either."""
    target, path = write_only.target(), write_only.path()
    assert target.read(path, FIELD).version == ""
    marker = target.write_marked(path, FIELD, NEW, "", free)
    found = target.read(path, FIELD)
    assert found.secret is None
    assert found.version == marker
    assert write_only.held(path, FIELD) == NEW.reveal()
    assert 1 <= len(marker) <= 128
    assert marker.isascii()
    assert marker.isprintable()
    assert NEW.reveal() not in marker


def test_every_write_changes_the_marker(write_only: WriteOnlyPlace) -> None:
    """Also one of the same value, and one by someone else."""
    target, path = write_only.target(), write_only.path()
    first = target.write_marked(path, FIELD, NEW, "", free)
    second = target.write_marked(path, FIELD, NEW, first, free)
    write_only.put(path, FIELD, NEW.reveal())
    third = target.read(path, FIELD).version
    assert len({first, second, third}) == 3


def test_reading_changes_no_marker(write_only: WriteOnlyPlace) -> None:
    """Nor does a preflight, on this place or on an absent one; nothing is made."""
    target, path, absent = write_only.target(), write_only.path(), write_only.path()
    marker = target.write_marked(path, FIELD, NEW, "", free)
    target.preflight(path, FIELD)
    target.preflight(absent, FIELD)
    assert target.read(path, FIELD).version == marker
    assert target.read(absent, FIELD).version == ""
    assert write_only.held(absent, FIELD) is None


def test_a_login_that_may_only_read_is_told_before_a_secret_is_made(write_only: WriteOnlyPlace) -> None:
    """By the preflight, which changes nothing: a mint kills the old secret, and the new one would have no place."""
    target, path, absent = write_only.target(), write_only.path(), write_only.path()
    marker = target.write_marked(path, FIELD, OLD, "", free)
    reader = write_only.reader()
    for place in (path, absent):
        reader.read(place, FIELD)
        with pytest.raises(TargetForbidden):
            reader.preflight(place, FIELD)
    assert target.read(path, FIELD).version == marker
    assert write_only.held(absent, FIELD) is None


def test_another_marker_conflicts(write_only: WriteOnlyPlace) -> None:
    """Someone else wrote, or made the place: nothing is sent."""
    target, path = write_only.target(), write_only.path()
    marker = target.write_marked(path, FIELD, OLD, "", free)
    write_only.put(path, FIELD, FOREIGN)
    for expected in (marker, ""):
        with pytest.raises(Conflict):
            target.write_marked(path, FIELD, NEW, expected, never)
    with pytest.raises(Conflict):
        target.remove_marked(path, FIELD, marker, never)
    assert write_only.held(path, FIELD) == FOREIGN


def test_a_removed_place_conflicts(write_only: WriteOnlyPlace) -> None:
    """It is absent, and can be made again; once more is done already."""
    target, path = write_only.target(), write_only.path()
    marker = target.write_marked(path, FIELD, OLD, "", free)
    target.remove_marked(path, FIELD, marker, free)
    target.remove_marked(path, FIELD, marker, never)
    assert write_only.held(path, FIELD) is None
    assert target.read(path, FIELD).version == ""
    with pytest.raises(Conflict):
        target.write_marked(path, FIELD, NEW, marker, never)
    again = target.write_marked(path, FIELD, NEW, "", free)
    assert again != marker


def test_other_fields_stay(write_only: WriteOnlyPlace) -> None:
    """A write and a removal leave the value and the marker of every other field as they are."""
    target, path = write_only.target(), write_only.path()
    write_only.put(path, "OTHER", FOREIGN)
    before = target.read(path, "OTHER").version
    marker = target.write_marked(path, FIELD, NEW, "", free)
    target.remove_marked(path, FIELD, marker, free)
    assert target.read(path, "OTHER").version == before
    assert write_only.held(path, "OTHER") == FOREIGN


def test_a_refusing_guard_stops_a_write(write_only: WriteOnlyPlace) -> None:
    """A run that lost its lease neither writes nor removes."""

    def lost() -> None:
        raise LeaseLost("the lease ran out")

    target, path = write_only.target(), write_only.path()
    marker = target.write_marked(path, FIELD, OLD, "", free)
    with pytest.raises(LeaseLost):
        target.write_marked(path, FIELD, NEW, marker, lost)
    with pytest.raises(LeaseLost):
        target.remove_marked(path, FIELD, marker, lost)
    assert write_only.held(path, FIELD) == OLD.reveal()


def test_a_write_without_an_answer_is_in_doubt_or_recognised(write_only: WriteOnlyPlace) -> None:
    """It took effect. If nothing tells, it is in doubt; the marker is another one, and the write can be made again."""
    target, path = write_only.target(), write_only.path()
    before = target.write_marked(path, FIELD, OLD, "", free)
    write_only.lose_an_answer()
    told, doubt = "", []
    try:
        told = target.write_marked(path, FIELD, NEW, before, free)
    except TargetError as error:
        doubt = [error.ambiguous]
    assert doubt == ([] if told else [True])
    after = target.read(path, FIELD).version
    assert after != before
    assert told in {"", after}
    again = target.write_marked(path, FIELD, NEW, after, free)
    assert target.read(path, FIELD).version == again
    assert write_only.held(path, FIELD) == NEW.reveal()


def test_values_are_refused_where_none_can_be_compared(write_only: WriteOnlyPlace) -> None:
    """The methods that need the value send nothing."""
    target, path = write_only.target(), write_only.path()
    marker = target.write_marked(path, FIELD, OLD, "", free)
    assert target.read_version(path, FIELD, marker) is None
    with pytest.raises(TargetMisfit):
        target.write(path, FIELD, NEW, OLD, never)
    with pytest.raises(TargetMisfit):
        target.remove(path, FIELD, OLD, never)
    assert write_only.held(path, FIELD) == OLD.reveal()


def test_a_path_that_could_leave_its_place_is_refused(write_only: WriteOnlyPlace) -> None:
    """Every call looks at the path first."""
    target = write_only.target()
    for path in BAD_PATHS:
        with pytest.raises(InputError):
            target.read(path, FIELD)
        with pytest.raises(InputError):
            target.write_marked(path, FIELD, NEW, "", never)
        with pytest.raises(InputError):
            target.remove_marked(path, FIELD, "", never)
        with pytest.raises(InputError):
            target.preflight(path, FIELD)


def test_a_value_is_in_effect_after_what_follows_its_write(delayed: DelayedPlace) -> None:
    """Under way at first, then in use; the next value begins again."""
    target, path = delayed.target(), delayed.path()
    for secret in (OLD, NEW):
        marker = target.write_marked(path, FIELD, secret, target.read(path, FIELD).version, free)
        pending = target.effect(path, FIELD, marker)
        assert pending.state is EffectState.PENDING
        assert pending.detail
        delayed.roll_out(path, FIELD, well=True)
        assert target.effect(path, FIELD, marker).active


def test_a_failed_effect_is_told_and_can_be_repaired(delayed: DelayedPlace) -> None:
    """Without another write: an operator who repairs what failed brings the value into effect."""
    target, path = delayed.target(), delayed.path()
    marker = target.write_marked(path, FIELD, NEW, "", free)
    delayed.roll_out(path, FIELD, well=False)
    failed = target.effect(path, FIELD, marker)
    assert failed.state is EffectState.FAILED
    assert failed.detail
    assert NEW.reveal() not in failed.detail
    delayed.roll_out(path, FIELD, well=True)
    assert target.effect(path, FIELD, marker).active


def test_a_plan_can_say_what_a_write_sets_off(delayed: DelayedPlace) -> None:
    """In a few words that begin like the rest of a sentence."""
    said = delayed.target().consequence(delayed.path(), FIELD)
    assert said
    assert said[0].islower()
    assert not said.endswith(".")
