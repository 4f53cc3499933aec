"""The history says why: the trigger, who asked and their reason, what was found, and the proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keyturn.core.model import Cause, Event, SlotName, Strategy
from keyturn.core.record import Record, dump, parse_record
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from keyturn.report.lines import paint_plain
from keyturn.report.status import histories_lines, history_lines
from tests.simulation.scenarios import PLACES, TIMING, VERIFY, entry, settled
from tests.simulation.universe import Renew, Universe
from tests.simulation.world import SimWorld

AT = datetime(2026, 11, 24, 15, 11, 36, tzinfo=UTC)


def events(universe: Universe, options: Options, strategy: Strategy = Strategy.ALTERNATING) -> tuple[Event, ...]:
    """Apply once more and return what that added to the history."""
    before = len(_record(universe).history)
    universe.advance(1)
    universe.runs += 1
    apply_key(SimWorld(universe, {}, TIMING), entry(strategy), options, f"run-{universe.runs}")
    return _record(universe).history[before:]


def _record(universe: Universe) -> Record:
    return universe.records["main"][0]


def test_a_rotation_says_who_asked_and_why() -> None:
    """An auditor's question has an answer: which key, which reason, whose command, which slot."""
    universe = settled(entry(Strategy.ALTERNATING))
    (rotated, *_) = events(universe, Options(rotate=True, reason="INC-42", by="ada"))
    assert rotated.cause == Cause("requested", "ada", "INC-42")
    assert (rotated.by, rotated.slot, rotated.generation) == ("ada", SlotName.B, 2)


def test_a_leak_is_told_as_such_and_so_is_the_proof_of_its_end() -> None:
    """The rotation and the retire are both because of the leak; the old secret is proven dead."""
    universe = settled(entry(Strategy.ALTERNATING))
    found = events(universe, Options(rotate=True, compromised=True, reason="pasted in a chat", by="ada"))
    assert [event.cause and event.cause.trigger for event in found] == ["compromised", "compromised"]
    assert found[0].cause == Cause("compromised", "ada", "pasted in a chat")
    assert (found[1].slot, found[1].proof) == (SlotName.A, "proven")


def test_drift_says_what_was_found_where() -> None:
    """One of two places was overwritten: it is restored, and the history names it."""
    desired = entry(Strategy.IN_PLACE, 2)
    universe = settled(desired)
    universe.by_hand(PLACES[0], "oops")
    universe.runs += 1
    apply_key(SimWorld(universe, {}, TIMING), desired, VERIFY, "run-9")
    restored = _record(universe).history[-1]
    assert restored.cause == Cause("drift", evidence=f"{PLACES[0]} held another value")


def test_a_refused_secret_is_the_evidence_of_its_rotation() -> None:
    """Someone regenerated the key in the control panel."""
    universe = settled(entry(Strategy.IN_PLACE))
    universe.land(Renew(_record(universe).slots[SlotName.A].uuid, "by-hand"))
    (rotated, *_) = events(universe, VERIFY, Strategy.IN_PLACE)
    assert rotated.cause == Cause("refused", evidence="the API refuses the delivered secret")


def test_events_of_an_earlier_version_are_read_and_shown() -> None:
    """They have no cause."""
    old = Record("bot", "me", "00" * 32, history=(Event(AT, "generation 2 on slot b, accepted", "root"),))
    text = dump(old).replace(',"cause":null,"slot":null,"generation":null,"proof":""', "")
    assert "cause" not in text
    assert parse_record(text, where="here") == old
    assert "generation 2 on slot b, accepted  root\n" in paint_plain(history_lines(old.history))


def test_a_line_has_the_trigger_the_person_the_reason_and_the_evidence() -> None:
    """In the order in which one reads them."""
    event = Event(AT, "generation 2 on slot b, accepted", "ada", Cause("compromised", "ada", "pasted in a chat"))
    line = paint_plain(history_lines([event, replace(event, cause=Cause("drift", evidence="v:a held nothing"))]))
    assert "ada  [compromised]; asked by ada: pasted in a chat\n" in line
    assert "[drift]; v:a held nothing\n" in line


def test_events_of_several_keys_are_in_the_order_of_time() -> None:
    """Each line names its key."""
    late, early = Event(AT + timedelta(hours=1), "renamed"), Event(AT, "deleted")
    lines = paint_plain(histories_lines([("one", late), ("two", early)])).splitlines()
    assert [line.split()[3:5] for line in lines] == [["two", "deleted"], ["one", "renamed"]]
