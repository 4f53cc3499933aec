"""Whether an API key is this key's own: decided by the entry's names, the list's times, and the record's history."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from keyturn.core.errors import TargetMisfit
from keyturn.core.machine import next_step
from keyturn.core.machine.provenance import unproven
from keyturn.core.model import Adopt, AdoptSecret, ApiKey, Cause, Event, SlotName
from keyturn.core.reasons import Reason
from keyturn.core.record import Claim, Op, Record, Retire, Slot, dump, parse_claim, parse_record
from keyturn.core.results import End, Options
from keyturn.core.state import Attempt, State
from keyturn.core.steps import DeleteKey, LookClaim, Relist, WriteRecord
from keyturn.core.transition import Written, advance
from tests.unit.test_machine import BORN, NOW, UUID, intent, seeing, state, with_record

A, B = SlotName.A, SlotName.B
OLD = timedelta(days=1)
MINTED = Event(BORN, "generation 1", slot=B)
NONCE = "0badcafe"


def called(listed: str, recorded: str = "bot-b", *, live: str = "bot-a", live_recorded: str = "") -> State:
    """A key whose slot b is listed and recorded under these names, and to be retired."""
    before = state()
    assert before.record is not None
    slots = {
        A: replace(before.record.slots[A], name=live_recorded or live),
        B: replace(before.record.slots[B], name=recorded),
    }
    keys = (ApiKey(UUID[A], live, BORN), ApiKey(UUID[B], listed, BORN))
    return with_record(seeing(before, keys=keys), slots=slots, retire=Retire(B, NOW - OLD), history=(MINTED,))


class TestNames:
    """An API key is this key's if the entry calls it so, or if the entry has another name now."""

    @pytest.mark.parametrize("name", ["bot", "bot-a", "bot-b", "bot-b-kt0badcafe"])
    def test_names_of_the_entry(self, name: str) -> None:
        """Of either strategy, at rest and while it is made; what the record says does not matter."""
        assert unproven(called(name, "anything"), UUID[B]) == ""

    @pytest.mark.parametrize("name", ["bot-c", "prod-search", "bot-b-kt9", "team-kt0badcafe", "Bot-b", ""])
    @pytest.mark.parametrize("recorded", ["bot-b", None])
    def test_other_names(self, name: str, recorded: str | None) -> None:
        """Also if the record repeats the name: the live API key shows that the entry was not renamed."""
        assert "is no name of this key" in unproven(called(name, recorded or name), UUID[B])

    def test_an_entry_that_was_renamed(self) -> None:
        """All API keys still have their recorded names."""
        assert unproven(called("old-b", "old-b", live="old-a"), UUID[B]) == ""
        assert unproven(called("old-b", "old-c", live="old-a"), UUID[B]) != ""

    def test_a_rename_that_ended_half_done(self) -> None:
        """The live API key has its new name already, the record still the old one."""
        assert unproven(called("old-b", "old-b", live="bot-a", live_recorded="old-a"), UUID[B]) == ""
        assert unproven(called("old-b", "old-b", live="bot-a", live_recorded="other-a"), UUID[B]) != ""

    def test_an_api_key_that_the_entry_or_the_operator_names(self) -> None:
        """By its uuid, in `adopt`."""
        named = called("prod-search")
        adopt = Adopt(AdoptSecret.REGENERATE, b=UUID[B])
        assert unproven(replace(named, desired=replace(named.desired, adopt=adopt)), UUID[B]) == ""
        assert unproven(replace(named, options=Options(adopt=adopt)), UUID[B]) == ""

    def test_a_record_without_an_entry(self) -> None:
        """Only the record has names for it."""
        lost = called("old-b", "old-b", live="old-a")
        lost = replace(lost, desired=replace(lost.desired, name=""))
        assert unproven(lost, UUID[B]) == ""
        assert unproven(called("old-b", "bot-b"), UUID[B]) != ""


class TestHistory:
    """A secret is only retired if the history shows where it is from."""

    @pytest.mark.parametrize(
        "event",
        [
            MINTED,
            Event(BORN, "adopted", cause=Cause("adopt"), slot=A),
            Event(BORN, "generation 2 on slot b, accepted"),
            Event(BORN, f"created the standby {UUID[B]}"),
        ],
    )
    def test_where_it_is_from(self, event: Event) -> None:
        """Minted, adopted, handed over, or told by an earlier version."""
        assert unproven(with_record(called("bot-b"), history=(event,)), UUID[B]) == ""

    def test_a_full_history_tells_nothing(self) -> None:
        """What it has dropped is not asked."""
        other = Event(BORN, "deliveries brought up to date", cause=Cause("drift"))
        assert unproven(with_record(called("bot-b"), history=(other,) * 20), UUID[B]) == ""
        assert "history does not show" in unproven(with_record(called("bot-b"), history=(other,) * 19), UUID[B])

    def test_only_a_retire_asks_for_it(self) -> None:
        """A rotation regenerates a slot that has never had a secret."""
        assert unproven(with_record(called("bot-b"), history=(), retire=None), UUID[B]) == ""


@pytest.mark.finding("M1", before="a forged retire was carried out", now="nothing is changed until an operator agrees")
def test_the_machine_stops_before_it_opens_and_under_a_found_intent() -> None:
    """The API keys are listed again first: another run may have renamed it. With consent it goes on."""
    assert next_step(called("prod-search")) == Relist()
    forged = seeing(called("prod-search"), relisted=True)
    end = next_step(forged)
    assert isinstance(end, End)
    assert (end.code, end.exit_code, end.number) == (Reason.UNPROVEN, 4, 1)
    assert isinstance(next_step(replace(forged, options=Options(allow_unproven=True))), WriteRecord)
    opened = with_record(forged, intent=replace(intent(Op.RETIRE, B), nonce=NONCE))
    opened = replace(opened, run=replace(opened.run, leased=opened.clock, attempt=Attempt(fresh=True)))
    under = next_step(opened)
    assert isinstance(under, End)
    assert under.code is Reason.UNPROVEN


def extra(*, born: timedelta, opened: bool = False, claim: Claim | None = None, allow: bool = False) -> State:
    """An open create of slot b that is in the record, and a second API key with its nonce."""
    before = state(options=Options(allow_extra=allow))
    second = ApiKey("33333333-cccc", f"bot-b-kt{NONCE}", NOW + born)
    before = seeing(before, keys=(*before.observed.keys, second), relisted=True)
    before = seeing(before, claims={**before.observed.claims, second.uuid: claim})
    before = with_record(before, intent=replace(intent(Op.CREATE, B), nonce=NONCE))
    attempt = Attempt(opened=opened, found=True)
    return replace(before, run=replace(before.run, leased=before.clock, attempt=attempt))


@pytest.mark.finding(
    "M1", before="an extra API key was deleted without a brake", now="only after the intent, and counted"
)
class TestExtra:
    """A second API key that an unanswered create made."""

    def test_this_run_heals_what_it_did(self) -> None:
        """Nobody else knew the nonce."""
        assert isinstance(next_step(extra(born=timedelta(), opened=True)), DeleteKey)

    def test_one_of_an_earlier_run_needs_a_number(self) -> None:
        """The intent may be forged."""
        end = next_step(extra(born=timedelta()))
        assert isinstance(end, End)
        assert (end.code, end.exit_code) == (Reason.EXTRA, 4)
        assert isinstance(next_step(extra(born=timedelta(), allow=True)), DeleteKey)

    def test_a_delete_that_takes_the_nonce_over_needs_a_number_too(self) -> None:
        """The delete is this run's, the nonce may be forged."""
        found = extra(born=timedelta())
        assert found.record is not None
        found = replace(found, desired=replace(found.desired, absent=True), options=Options(allow_delete=True))
        step = next_step(found)
        assert isinstance(step, WriteRecord)
        assert step.record.intent is not None
        assert (step.record.intent.op, step.record.intent.nonce) == (Op.DELETE, NONCE)
        after = advance(found, step, Written("8", found.clock))
        assert not after.run.attempt.opened
        fresh = advance(with_record(found, intent=None), step, Written("8", found.clock))
        assert fresh.run.attempt.opened

    @pytest.mark.parametrize("born", [-OLD, timedelta(seconds=-66)])
    def test_an_older_one_is_not_extra(self, born: timedelta) -> None:
        """Whatever an operator allows."""
        assert not isinstance(next_step(extra(born=born, opened=True, allow=True)), DeleteKey | End)

    def test_another_keys_is_not_deleted(self) -> None:
        """Its claim is looked at first."""
        unlooked = extra(born=timedelta(), allow=True)
        claims = {uuid: claim for uuid, claim in unlooked.observed.claims.items() if claim}
        assert next_step(seeing(unlooked, claims=claims)) == LookClaim("33333333-cccc")
        end = next_step(extra(born=timedelta(), allow=True, claim=Claim("33333333-cccc", "others", "key")))
        assert isinstance(end, End)
        assert end.code is Reason.CLAIMED

    def test_a_wrong_clock_deletes_nothing(self) -> None:
        """The intent's time cannot be compared."""
        end = next_step(seeing(extra(born=timedelta(), allow=True), skew=90.0))
        assert isinstance(end, End)
        assert end.code is Reason.CLOCK_SKEW


def test_a_found_create_takes_no_api_key_of_another_name() -> None:
    """Its slot is missing, and another team's API key carries the nonce."""
    found = extra(born=timedelta())
    assert found.record is not None
    theirs = ApiKey("44444444-dddd", f"team-kt{NONCE}", NOW)
    found = seeing(with_record(found, slots={A: found.record.slots[A]}), keys=(found.observed.keys[0], theirs))
    end = next_step(found)
    assert isinstance(end, End)
    assert end.code is Reason.UNPROVEN
    ours = replace(theirs, name=f"bot-b-kt{NONCE}")
    assert next_step(seeing(found, keys=(found.observed.keys[0], ours))) == LookClaim("44444444-dddd")


KEY = "ab" * 32


@pytest.mark.finding(
    "M1", before="any text was a nonce or a digest key", now="patterns; a record that breaks them is bad"
)
@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"digest_key": "zz"}, "digest_key"),
        ({"digest_key": KEY + "\n"}, "digest_key"),
        ({"account": "a/b"}, "account"),
        ({"intent": replace(intent(Op.CREATE, B), nonce="9")}, "intent.nonce"),
        ({"intent": replace(intent(Op.CREATE, B), nonce="")}, "intent.nonce"),
        ({"intent": replace(intent(Op.CREATE, B), nonce=NONCE, spare="../x")}, "intent.spare"),
        ({"intent": replace(intent(Op.CREATE, B, run="a b"), nonce=NONCE)}, "intent.run"),
        ({"slots": {A: Slot("a/../b", "name")}}, "slots.a.uuid"),
        ({"slots": {A: Slot("", "name")}}, "slots.a.uuid"),
        ({"slots": {A: Slot("u-1", "name", digest="live")}}, "slots.a.digest"),
        ({"seen": ("a b",)}, "seen.0"),
    ],
)
def test_a_record_with_values_of_another_form_is_none(change: dict[str, object], place: str) -> None:
    """The place is named, the value is not repeated."""
    record = Record(key="bot", owner="tests", digest_key=KEY)
    assert parse_record(dump(record), where="here") == record
    with pytest.raises(TargetMisfit, match=f"not a record .*at {place}"):
        parse_record(dump(replace(record, **change)), where="here")  # type: ignore[arg-type]


def test_a_claim_with_a_uuid_of_another_form_is_none() -> None:
    """It would become a part of a path."""
    with pytest.raises(TargetMisfit, match="not a claim"):
        parse_claim(dump(Claim("../keys/bot", "tests", "bot")), where="here")


@pytest.mark.finding(
    "B7", before="an API key got a name that another one has", now="exit 4: an operator chooses another name"
)
class TestRename:
    """Two API keys of one name cannot be told apart by it."""

    def _renamed(self, *others: ApiKey) -> State:
        before = called("old-b", live="old-a", live_recorded="old-a")
        return seeing(before, keys=(*before.observed.keys, *others))

    def test_a_name_that_others_have_is_asked_about(self) -> None:
        """Nothing is opened; the API key of that name is named."""
        before = with_record(self._renamed(ApiKey("33333333-cccc", "bot-a", BORN)), retire=None)
        end = next_step(before)
        assert isinstance(end, End)
        assert (end.code, "33333333-cccc" in end.why) == (Reason.NAMESAKE, True)

    def test_a_name_that_others_got_meanwhile_closes_the_intent(self) -> None:
        """So that nothing else waits for it."""
        before = with_record(
            self._renamed(ApiKey("33333333-cccc", "bot-a", BORN)), retire=None, intent=intent(Op.RENAME, None)
        )
        step = next_step(replace(before, run=replace(before.run, leased=before.clock)))
        assert isinstance(step, WriteRecord)
        assert step.record.intent is None

    def test_a_free_name_is_given(self) -> None:
        """As before."""
        step = next_step(
            with_record(
                self._renamed(),
                retire=None,
                slots={
                    A: Slot(UUID[A], "old-a", BORN, digest="live", minted_at=NOW - OLD),
                    B: Slot(UUID[B], "old-b", BORN),
                },
            )
        )
        assert isinstance(step, WriteRecord)
        assert step.record.intent is not None
        assert step.record.intent.op is Op.RENAME
