"""What was done to a key, in one sentence with its proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keyturn.core.model import Api, Delivery, Event, SlotName, SmokeResult, Strategy, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.record import FAILED, Intent, Op, Record, Retire, Slot
from keyturn.core.results import Change, End, KeyReport, Planned
from keyturn.report.done import done_text, finished

NOW = datetime(2026, 8, 24, 12, 0, tzinfo=UTC)
PLACES = [Delivery("vault", f"apps/{number}", "KEY") for number in range(2)]
RECORD = Record(
    "bot",
    "owner",
    "00",
    generation=4,
    live=SlotName.B,
    strategy=Strategy.ALTERNATING,
    slots={SlotName.A: Slot("uuid-a", "bot-a", minted_at=NOW), SlotName.B: Slot("uuid-b", "bot-b")},
)
ACCEPTED = SmokeResult(Verdict.ACCEPTED, "completion", Api.CHAT, 0.007)
ROTATE = Planned(Change.ROTATE, "due", "rotates", SlotName.B, "uuid-b")
DELIVER = tuple(Planned(Change.DELIVER, "replaces", "delivers", delivery=place) for place in PLACES)
RETIRE = Planned(Change.RETIRE, "overlap-over", "retires", SlotName.A, "uuid-a")


def text(*done: Planned, record: Record | None = RECORD, smoke: SmokeResult | None = None) -> str:
    """Return the sentence."""
    return done_text(KeyReport("bot", done, End(Reason.AT_REST), record=record, smoke=smoke))


def test_a_rotation_with_its_proof() -> None:
    """Generation, slot, places, verdict, and until when the old secret works."""
    record = replace(RECORD, retire=Retire(SlotName.A, NOW))
    assert text(ROTATE, *DELIVER, record=record, smoke=ACCEPTED) == (
        "rotated to generation 4 on slot b; delivered to 2 places; accepted by chat in 7 ms; "
        "the old secret, of slot a, works until 2026-08-24 12:00:00 UTC"
    )


def test_a_standby_that_nobody_had_is_no_old_secret() -> None:
    """It waits to be replaced, and no moment is named."""
    slots = {**RECORD.slots, SlotName.A: replace(RECORD.slots[SlotName.A], digest=None, minted_at=None)}
    said = text(ROTATE, record=replace(RECORD, slots=slots, retire=Retire(SlotName.A, NOW)))
    assert said.endswith("slot a keeps an unused secret, which a later run replaces")


def test_a_rotation_in_place_ends_the_old_secret() -> None:
    """The first generation had none."""
    record = replace(RECORD, strategy=Strategy.IN_PLACE)
    assert text(ROTATE, record=record) == "rotated to generation 4 on slot b, which ended the old secret"
    assert text(ROTATE, record=replace(record, generation=1)) == "rotated to generation 1 on slot b"


def test_a_rotation_that_is_not_finished_is_not_called_one() -> None:
    """The record still has its intent."""
    intent = Intent(op=Op.ROTATE, slot=SlotName.B, nonce="0", run="r", since=NOW, lease_until=NOW)
    assert text(ROTATE, record=replace(RECORD, intent=intent)) == "rotation begun and not finished"
    assert text(replace(ROTATE, code="compromised"), record=None) == "rotated (compromised)"


def test_a_rotation_whose_secret_was_no_good_is_not_called_one() -> None:
    """Nor is it counted; one that was delivered all the same is."""
    refused = Event(NOW, f"{FAILED}the API refuses the new secret")
    committed = Event(NOW, "generation 4 on slot b, refused", generation=4)
    one = KeyReport("bot", (ROTATE,), End(Reason.NEW_SECRET_REFUSED), record=replace(RECORD, history=(refused,)))
    assert done_text(one) == "rotation failed, generation 4 stays live"
    assert finished(one) == frozenset()
    both = replace(one, record=replace(RECORD, history=(refused, committed)))
    assert done_text(both) == "rotated to generation 4 on slot b"
    assert finished(both) == {"rotated"}


@pytest.mark.parametrize(
    ("proof", "words"),
    [("proven", ": it is refused now"), ("by-contract", ": the API promises that it is dead"), ("", "")],
)
def test_a_retire_with_its_proof(proof: str, words: str) -> None:
    """That of the last event about the slot."""
    events = (Event(NOW, "old", slot=SlotName.A, proof="alive"), Event(NOW, "retired", slot=SlotName.A, proof=proof))
    history = events if proof else ()
    assert text(RETIRE, record=replace(RECORD, history=history)) == f"old secret of slot a retired{words}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Change.ADOPT, "adopted (slot a)"),
        (Change.CREATE, "1 API key created (slot a)"),
        (Change.DELETE, "1 API key deleted (slot a)"),
        (Change.REMOVE, "removed from 1 place"),
        (Change.HAND_OFF, "noted which API keys an operator has to make"),
    ],
)
def test_other_changes(change: Change, words: str) -> None:
    """In the past tense."""
    place = PLACES[0] if change is Change.REMOVE else None
    assert text(Planned(change, "code", "why", SlotName.A, "uuid", place)) == words


def test_a_move_is_told_in_its_own_words() -> None:
    """Not only that the record was updated."""
    moves = Planned(Change.RECORD, "moves", "moves the record from 'bot': no API key and no delivery changes")
    assert text(moves) == moves.why


def test_two_slots_are_named_in_the_plural() -> None:
    """Each once."""
    both = [Planned(Change.ADOPT, "code", "why", slot, "uuid") for slot in (SlotName.B, SlotName.A, SlotName.B)]
    assert text(*both) == "adopted (slots a and b)"


def test_every_change_has_words() -> None:
    """And nothing done has none."""
    assert all(text(Planned(change, "code", "why")) for change in Change)
    assert text() == ""
