"""The history says why: the trigger, who asked and their reason, what was found, and the proof."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyturn.core import machine
from keyturn.core.machine.move import MOVED
from keyturn.core.model import Cause, Event, SlotName, Strategy
from keyturn.core.record import FORGOTTEN, Record, dump, parse_record
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from keyturn.report.done import PROOFS
from keyturn.report.history import WHY, event_text, histories_lines, history_lines
from keyturn.report.lines import paint_plain
from tests.simulation.faults import Class, Fault, Killed, Kind
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
    assert found[1].cause == found[0].cause


def test_a_long_event_widens_no_other_line() -> None:
    """What follows it in its line is moved, and the others stay as they are."""
    short, long = Event(AT, "renamed", "ada", Cause("entry")), Event(AT, "x" * 300, "ada", Cause("entry"))
    rows = paint_plain(history_lines([short, long])).splitlines()
    assert len(rows[0]) < 100
    assert rows[1].endswith(f"{'x' * 300}  ada  the entry asks for it")


@pytest.mark.parametrize("strategy", Strategy)
def test_a_mint_that_answers_two_requests_says_both_reasons(strategy: Strategy) -> None:
    """The first run died before its mint; the second was asked for with another reason, and makes the one secret."""
    universe = settled(entry(strategy))
    first = Options(rotate=True, reason="INC-1", by="ada")
    whole = SimWorld(universe.copy(), {}, TIMING)
    apply_key(whole, entry(strategy), first, "whole")
    mint = next(number for number, point in enumerate(whole.trace) if point[0] is Class.MINT)
    with pytest.raises(Killed):
        apply_key(SimWorld(universe, {mint: Fault(Kind.CUT)}, TIMING), entry(strategy), first, "first")
    universe.advance(600)
    asked, made = events(universe, replace(first, reason="INC-2", by="bob"), strategy)
    assert (asked.what, asked.cause) == ("rotation requested", Cause("requested", "bob", "INC-2"))
    assert (made.generation, made.cause) == (2, Cause("requested", "bob", "INC-1; INC-2"))


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
    assert "new secret: generation 2 on slot b, accepted by the API  root\n" in paint_plain(history_lines(old.history))


def test_a_line_has_the_cause_the_evidence_the_person_and_the_reason() -> None:
    """In the order in which one reads them; a default reason is none."""
    event = Event(AT, "generation 2 on slot b, accepted", "ada", Cause("compromised", "ada", "pasted in a chat"))
    line = paint_plain(history_lines([event, replace(event, cause=Cause("drift", evidence="v:a held nothing"))]))
    assert "ada  the secret had leaked; asked by ada: pasted in a chat\n" in line
    assert "ada  a delivery had changed: v:a held nothing\n" in line
    assert paint_plain(history_lines([replace(event, cause=Cause("requested", "ada", "on demand"))])).endswith(
        "ada  asked by ada\n"
    )


@pytest.mark.parametrize("strategy", Strategy)
def test_the_words_of_the_record_are_not_those_of_the_page(strategy: Strategy) -> None:
    """A leak, a retire, drift: no code is in the text, and what the API said of each secret is."""
    desired = entry(strategy)
    universe = settled(desired, Options(rotate=True), Options(rotate=True, compromised=True, by="ada"))
    universe.by_hand(PLACES[0], "oops")
    universe.runs += 1
    apply_key(SimWorld(universe, {}, TIMING), desired, VERIFY, "run-9")
    text = paint_plain(history_lines(_record(universe).history))
    assert "accepted by the API" in text
    assert "the secret had leaked; asked by ada" in text
    jargon = (*PROOFS, "requested", "regenerated", "on demand", "overlap-over", "adopt]", "[", "drift")
    assert [word for word in jargon if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)] == []


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("retired slot b: by-contract", "old secret of slot b retired: the API promises that it is dead"),
        ("generation 3 on slot a, vpc", "new secret: generation 3 on slot a, the smoke-check says vpc"),
        ("took the spare 1-2 as slot b", "took the API key 1-2 as slot b"),
        ("took a pasted secret", "took the secret that an operator had pasted"),
        ("handed off: bot-a, bot-b", "an operator was asked to make bot-a, bot-b in the control panel"),
        ("renamed 'a' to 'b'", "renamed 'a' to 'b'"),
        ("failed: no answer; parked", "failed: no answer; no more secrets are made until an operator says so"),
    ],
)
def test_what_events_are_called(what: str, shown: str) -> None:
    """Those whose words are plain already are left as they are."""
    assert event_text(Event(AT, what)) == shown


def test_every_trigger_has_words() -> None:
    """Each that the machine writes."""
    source = "".join(file.read_text() for file in Path(machine.__file__).parent.glob("*.py"))
    written = {
        *re.findall(r'Cause\("([a-z-]+)"', source),
        *re.findall(r'return "([a-z-]+)", (?:f?"|_)', source),
    }
    written |= {"compromised", "requested", "drift", "pending", "entry", "due", MOVED, FORGOTTEN}
    assert {"live-gone", "secret-unknown", "refused", "secret-lost", "trigger", "hand-off"} < written
    assert written <= set(WHY)


def test_events_of_several_keys_are_in_the_order_of_time() -> None:
    """Each line names its key."""
    late, early = Event(AT + timedelta(hours=1), "renamed"), Event(AT, "deleted")
    lines = paint_plain(histories_lines([("one", late), ("two", early)])).splitlines()
    assert [line.split()[3:5] for line in lines] == [["two", "deleted"], ["one", "renamed"]]
