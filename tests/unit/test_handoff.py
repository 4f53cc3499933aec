"""The hand-off: what was there before is nobody's to take; what is made afterwards is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.model import Adopt, AdoptSecret, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import KeyReport, Options
from keyturn.engine.executor import apply_key
from tests.simulation.scenarios import NOTHING, TIMING, empty, entry
from tests.simulation.universe import START, Key, Universe
from tests.simulation.world import SimWorld

DESIRED = entry(Strategy.IN_PLACE)


def apply(universe: Universe, options: Options = NOTHING, *, skew: float = 0.0, desired: object = DESIRED) -> KeyReport:
    """Apply once."""
    universe.runs += 1
    world = SimWorld(universe, {}, TIMING, skew=skew)
    return apply_key(world, desired, options, f"run-{universe.runs}")  # type: ignore[arg-type] # an entry


def handed_off(skew: float = 0.0) -> Universe:
    """A world in which the API no longer creates keys, and one was asked for."""
    universe = empty()
    universe.create_gone = True
    universe.advance(1000)
    assert apply(universe, skew=skew).end.code is Reason.HAND_OFF
    universe.advance(1)
    return universe


def put(universe: Universe, uuid: str, seconds: float) -> None:
    """Put an API key of the wanted name into the list, made so many seconds from now."""
    at = (START + timedelta(seconds=universe.now + seconds)).replace(microsecond=0)
    universe.keys[uuid] = Key(uuid, DESIRED.name, at, f"sk-do-{uuid}")


@pytest.mark.parametrize("skew", [-50.0, 0.0, 50.0])
def test_a_key_that_is_a_minute_older_than_the_question_is_not_taken(skew: float) -> None:
    """A list may have lacked it; it may be in use, or another team's. The API's clock decides, not this machine's."""
    universe = handed_off(skew)
    put(universe, "older", -61)
    report = apply(universe, skew=skew)
    assert (report.end.code, report.mints) == (Reason.HAND_OFF, 0)
    assert "was there before, so it is not taken" in report.end.why
    put(universe, "made", 0)
    assert apply(universe, skew=skew).mints == 1
    assert universe.keys["older"].secret == "sk-do-older"


def test_of_two_new_ones_the_entry_names_the_one_to_take() -> None:
    """Neither has to be deleted: one may be in use by now."""
    universe = handed_off()
    put(universe, "one", 0)
    put(universe, "two", 0)
    stopped = apply(universe)
    assert (stopped.end.code, stopped.mints) == (Reason.SEVERAL_CANDIDATES, 0)
    named = entry(Strategy.IN_PLACE, adopt=Adopt(AdoptSecret.REGENERATE, a="two"))
    assert apply(universe, desired=named).mints == 1
    assert universe.records["main"][0].slots[SlotName.A].uuid == "two"


def test_a_record_without_an_api_key_moves_to_another_team_by_consent() -> None:
    """The first run had the wrong token: nothing of that team is in the record."""
    universe = handed_off()
    record, version = universe.records["main"]
    universe.records["main"] = (replace(record, account="wrong-team"), version)
    assert apply(universe).end.code is Reason.ANOTHER_TEAM
    apply(universe, Options(take_over=True))
    assert universe.records["main"][0].account != "wrong-team"
    assert universe.records["main"][0].handoff is not None
    assert apply(universe).end.code is Reason.HAND_OFF


@pytest.mark.parametrize("listed", [True, False])
def test_an_api_key_whose_secret_is_to_be_kept_is_never_regenerated(listed: bool) -> None:
    """The entry names one that is in use, or was deleted: neither that one nor a namesake of any age is taken."""
    universe = handed_off()
    put(universe, "in-use" if listed else "namesake", 0)
    before = {uuid: key.secret for uuid, key in universe.keys.items()}
    kept = entry(Strategy.IN_PLACE, adopt=Adopt(AdoptSecret.EXISTING, a="in-use"))
    assert apply(universe, desired=kept).mints == 0
    assert {uuid: key.secret for uuid, key in universe.keys.items()} == before
