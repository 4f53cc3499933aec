"""Which notices follow from a run, how they wait, and what is signed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from keyturn.core.errors import Conflict, Forged, InputError, TargetMisfit
from keyturn.core.model import Cause, Desired, DesiredKey, Event, Receiver, RecordsConfig, Rotation, SlotName
from keyturn.core.notify import secrets_of, url_of, variable
from keyturn.core.reasons import Condition, Reason
from keyturn.core.record import Failures, Record, Slot
from keyturn.core.results import End, KeyReport, RunReport
from keyturn.live.notebook import LARGEST, MOST, Notebook, Notes, Waiting
from keyturn.live.notices import Notices
from keyturn.live.signatures import Stored
from keyturn.report.notices import Notice, Told, changes
from keyturn.targets.base import Document
from keyturn.targets.documents import refuse_document

NOW = datetime(2026, 11, 30, 2, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=40)
KEY = DesiredKey("bot", "team", rotation=Rotation(every=timedelta(days=30)))
DESIRED = Desired("team", (), RecordsConfig("local"), (KEY, DesiredKey("two", "team")))


def record(generation: int = 1, minted_at: datetime = NOW, **fields: object) -> Record:
    """Return a record with this generation in its history."""
    history = tuple(
        Event(NOW, f"generation {number} on slot a", cause=Cause("due"), generation=number)
        for number in range(1, generation + 1)
    )
    slots = {SlotName.A: Slot("uuid", "bot", minted_at=minted_at)}
    made = Record("bot", "team", "0" * 64, generation=generation, live=SlotName.A, slots=slots, history=history)
    return replace(made, **fields)  # type: ignore[arg-type] # the fields of a record


def run(*ends: End, rec: Record | None = None, key: str = "bot", told: Told | None = None) -> tuple[list[str], Told]:
    """Return the events that a run tells of one key, and what is told of it afterwards."""
    report = RunReport("team", "run", (KeyReport(key, (), ends[0], conditions=ends, record=rec),))
    found, after = changes(report, DESIRED, {key: told} if told else {}, NOW, 0)
    return [str(one.event) for one in found], after[key]


READY, FAILED = End(Reason.AT_REST), End(Reason.MINT_FAILED, "no")
PARKED = End(Reason.PARKED, "3 runs failed", since=NOW)


def test_only_transitions_are_told() -> None:
    """A failure once, the parking once, the recovery once; then all of it again."""
    failing = record(failures=Failures(1, None, NOW))
    told = run(READY, rec=record())[1]
    heard = []
    for ends, rec in (
        ((READY,), record()),
        ((FAILED,), failing),
        ((End(Reason.PREFLIGHT_FAILED, "no"),), failing),
        ((PARKED, FAILED), failing),
        ((PARKED, FAILED), failing),
        ((FAILED,), record(failures=Failures(1, None, NOW + timedelta(hours=1)))),
        ((READY,), record(2)),
        ((FAILED,), failing),
    ):
        found, told = run(*ends, rec=rec, told=told)
        heard.append(found)
    expected = [[], ["failed"], [], ["parked"], [], ["failed"], ["rotated", "recovered"], ["failed"]]
    assert heard == expected


def test_a_new_secret_of_a_key_that_is_not_well_is_told_once_it_is() -> None:
    """First what is wrong, as `failed`; a condition that harms nobody holds nothing back."""
    hook = End(Reason.HOOK_FAILED, "exit code 7", since=NOW)
    found, told = run(hook, rec=record(2), told=Told(1))
    assert (found, told.generation) == (["failed"], 1)
    assert told.open == (f"failed/failed@{int(NOW.timestamp())}",)
    assert run(hook, rec=record(2), told=told)[0] == []
    assert sorted(run(READY, rec=record(2), told=told)[0]) == ["recovered", "rotated"]
    assert run(End(Reason.OVERLAP), rec=record(2), told=Told(1))[0] == ["rotated"]


def test_an_unparked_key_is_told_again() -> None:
    """The same words, after it was unparked."""
    told = Told(1, ("parked/parked@1", "failed/failed@"))
    assert run(FAILED, told=told)[0] == ["failed"]


@pytest.mark.parametrize(
    ("reason", "event"),
    [
        (Reason.REFUSED, "refused"),
        (Reason.GONE, "refused"),
        (Reason.HAND_OFF, "action-needed"),
        (Reason.TOO_MANY_DELETES, "action-needed"),
        (Reason.LOGIN_REFUSED, "failed"),
        (Reason.NO_ANSWER, "failed"),
        (Reason.DRIFTED, "failed"),
        (Reason.HOOK_FAILED, "failed"),
        (Reason.BACK_OFF, ""),
        (Reason.OVERLAP, ""),
        (Reason.DUE, ""),
        (Reason.INTERRUPTED, ""),
        (Reason.ANOTHER_RUN, ""),
        (Reason.NOT_AGREED, ""),
    ],
)
def test_which_event_follows_from_a_reason(reason: Reason, event: str) -> None:
    """Whatever makes an exit code is told, unless someone knows it."""
    assert run(End(reason, "why"))[0] == ([event] if event else [])


def test_a_reason_that_says_nothing_forgets_nothing() -> None:
    """A run that was stopped neither tells nor counts as a recovery."""
    told = Told(1, ("failed/failed@",))
    assert run(End(Reason.INTERRUPTED), told=told) == ([], told)


def test_every_generation_is_told_and_overdue_rotations() -> None:
    """Also two at once; a rotation that is late by more than a day is told, of a parked key not."""
    assert run(READY, rec=record(3), told=Told(1))[0] == ["rotated", "rotated"]
    late = record(minted_at=LONG_AGO)
    assert run(READY, rec=late, told=Told(1))[0] == ["overdue"]
    assert run(PARKED, rec=late, told=Told(1))[0] == ["parked"]
    assert run(READY, rec=record(minted_at=NOW - timedelta(days=30, hours=23)), told=Told(1))[0] == []


def test_one_cause_is_told_once_and_the_stop_of_a_run_by_its_reason() -> None:
    """Not the word that it stopped; ids differ between notices and are the same for the same run."""
    stop = End(Reason.ANOTHER_TEAM, "the token is another team's")
    halted = End(Reason.RUN_STOPPED, stop.why)
    reports = tuple(KeyReport(key, (), halted, conditions=(halted,)) for key in ("bot", "two"))
    report = RunReport("team", "run", reports, stop=stop)
    (notice,), _ = changes(report, DESIRED, {}, NOW, 7)
    assert (notice.reason, notice.key, notice.keys) == ("another-team", "", ("bot", "two"))
    assert notice.do == "use an account token of the key's own team"
    assert changes(report, DESIRED, {}, NOW + timedelta(hours=1), 7)[0][0].id == notice.id
    assert changes(report, DESIRED, {}, NOW, 8)[0][0].id != notice.id


def test_three_hundred_keys_are_one_notice() -> None:
    """Also if each has other facts; three are told one by one."""

    def run_of(number: int, code: Reason) -> tuple[Notice, ...]:
        names = [f"bot-{index:03}" for index in range(number)]
        ends = [End(code, f"make {name}", make=(name,)) for name in names]
        reports = tuple(KeyReport(name, (), end, conditions=(end,)) for name, end in zip(names, ends, strict=True))
        return changes(RunReport("team", "run", reports), DESIRED, dict.fromkeys(names, Told(1)), NOW, 0)[0]

    assert [one.key for one in run_of(3, Reason.HAND_OFF)] == ["bot-000", "bot-001", "bot-002"]
    (one,) = run_of(300, Reason.HAND_OFF)
    assert (one.key, one.count, len(one.keys)) == ("", 300, 100)
    assert one.text.startswith("300 keys (bot-000, bot-001,")
    assert one.text.endswith("and 280 more): API keys have to be made in the control panel.")
    assert len(Notes("team", outbox=(Waiting(one, ("ops",)),)).bounded().outbox) == 1


def test_a_text_is_one_line_and_hides_what_looks_like_a_secret() -> None:
    """A reason of an operator or a name of the account comes from outside."""
    why = "sk-do-" + "v1" * 20 + "\n::set-output " + "x" * 900
    report = RunReport("team", "run", (KeyReport("bot", (), FAILED, conditions=(End(Reason.FAILED, why),)),))
    (notice,), _ = changes(report, DESIRED, {}, NOW, 0)
    assert "\n" not in notice.text
    assert "[secret]" in notice.text
    assert len(notice.text) <= 500


class Store:
    """A document in memory that can fail."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.version = 0
        self.writes = 0
        self.error: Exception | None = None
        self.race: list[str] = []

    def read(self) -> Document:
        """Return what is there."""
        if self.error:
            raise self.error
        return Document(self.text, str(self.version))

    def write(self, text: str, version: str) -> str:
        """Write over a version; another run may be faster."""
        if self.race:
            self.text, self.version = self.race.pop(), self.version + 1
        if version != str(self.version):
            raise Conflict("modified")
        self.text, self.version, self.writes = text, self.version + 1, self.writes + 1
        return str(self.version)

    @property
    def notebook(self) -> Notebook:
        """The notebook in this store."""
        return Notebook(self.read, self.write, lambda: Stored("p", self.text or "", str(self.version), False), "here")


def notice(number: int, text: str = "text") -> Notice:
    """Return a notice."""
    from keyturn.report.notices import Event as What

    return Notice(f"ntc_{number}", NOW, What.FAILED, "bot", "team", Condition.FAILED, "failed", text, "", None, "run")


def test_what_waits_is_bounded_and_counted() -> None:
    """In number and in bytes; the oldest go, and each receiver that lacks them is told how many."""
    many = Notes("team", outbox=tuple(Waiting(notice(number), ("ops",)) for number in range(MOST + 3))).bounded()
    assert (len(many.outbox), many.dropped) == (MOST, {"ops": 3})
    assert many.outbox[0].notice.id == "ntc_3"
    large = Notes("team", outbox=tuple(Waiting(notice(number, "x" * 1000), ("a", "b")) for number in range(60)))
    assert 20 < len(large.bounded().outbox) < LARGEST // 1000
    assert large.bounded().dropped == dict.fromkeys("ab", 60 - len(large.bounded().outbox))
    assert many.without({"ops": frozenset({"ntc_50"})}, frozenset({"ops"})).dropped == {}
    assert many.without({}, frozenset()) == replace(many, outbox=(), dropped={})


def test_the_notebook_changes_by_compare_and_set() -> None:
    """A race is repeated on what the other run wrote; rest writes nothing; a foreign or forged document is known."""
    store = Store()
    book = store.notebook
    book.change("team", lambda notes: replace(notes, made=notes.made + 1))
    assert store.text is not None
    store.race = [store.text.replace('"made": 1', '"made": 5')]
    assert book.change("team", lambda notes: replace(notes, made=notes.made + 1)).made == 6
    writes = store.writes
    book.change("team", lambda notes: notes)
    assert store.writes == writes
    assert book.open("other") == (Notes("other", lost="they are those of another owner"), str(store.version))
    with pytest.raises(TargetMisfit, match="so nothing is delivered to it"):
        refuse_document({"document": store.text}, "here")
    store.error = Forged("its signature does not hold")
    assert book.open("team") == (Notes("team", lost="its signature does not hold"), str(store.version))


FORGED = {
    "nobody": ('["chat"]', "[]"),
    "a name that no receiver has": ('["chat"]', '["chat\\u001b[2J"]'),
    "another owner": ('"owner": "team", "condition"', '"owner": "other", "condition"'),
    "a text": ('"text": "text"', '"text": "a\\nb"'),
    "a long text": ('"text": "text"', f'"text": "{"x" * 501}"'),
    "a negative count": ('"made": 1', '"made": -1'),
    "a negative generation": ('"generation": 1', '"generation": -9'),
    "an absurd count": ('"made": 1', f'"made": {"9" * 5000}'),
    "a negative loss": ('"dropped": {}', '"dropped": {"chat": -5}'),
    "no JSON": ("{", ""),
    "deep JSON": ('"keys": {', f'"keys": {"[" * 5000}'),
    "another kind": ('"kind": "notices"', '"kind": "record"'),
}


@pytest.mark.finding(
    "D4", before="a notice that waits for `to: []` was lost without a word", now="begun again, and said"
)
@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_notebook_mutes_nobody_and_is_said(forged: tuple[str, str]) -> None:
    """What keyturn never writes makes it count for nothing: what is wrong is told, and the report says it."""
    store = Store()
    hearing = replace(DESIRED, receivers=(Receiver("slack", "chat", ("failed", "parked")),))
    whole = Notes("team", {"bot": Told(1, ("failed/failed@",))}, (Waiting(notice(1), ("chat",)),), 1)
    store.notebook.change("team", lambda _: whole)
    assert store.text is not None
    assert forged[0] in store.text
    store.text = store.text.replace(*forged)
    assert "forged or damaged" in Notices(hearing, store.notebook, {}).waiting()[0]
    Notices(hearing, store.notebook, {}).begin(lambda _: record(1))
    report = RunReport("team", "run", (KeyReport("bot", (), FAILED, conditions=(FAILED,), record=record(1)),))
    said = Notices(hearing, store.notebook, {}).end(report, whole=True).notes
    assert "forged or damaged, and were begun again; what waited in them is lost: " in said[0]
    assert "1 notice waits for receiver chat" in said[1]
    (waiting,) = store.notebook.open("team")[0].outbox
    assert (waiting.notice.event, waiting.notice.text, waiting.to) == ("failed", "bot: no", ("chat",))
    assert "forged" not in repr(Notices(hearing, store.notebook, {}).end(report, whole=True).notes), "it is said once"


def test_the_notebook_of_a_later_version_is_left_alone() -> None:
    """What is wrong is told all the same, whatever the event, under one id per day."""
    store = Store()
    store.text = '{"kind": "notices", "schema": 2, "owner": "team", "book": []}'
    notices = Notices(replace(DESIRED, receivers=(Receiver("slack", "chat", ("parked",)),)), store.notebook, {})
    notices.begin(lambda _: None)
    report = RunReport("team", "run", (KeyReport("bot", (), PARKED, conditions=(PARKED,)),))
    said = notices.end(report, whole=True).notes
    assert "a later keyturn wrote these notes" in said[0]
    assert "Receiver chat: " in said[1], "the parked key was not held back"
    assert store.writes == 0


@pytest.mark.finding("D4", before="a generation in the notebook muted all later rotations", now="the record counts")
def test_more_rotations_were_told_than_there_were() -> None:
    """The notebook was forged, or the record restored: the rotation of this run is told, and the next ones."""
    mints = KeyReport("bot", (), READY, conditions=(READY,), record=record(5), mints=1)
    found, after = changes(RunReport("team", "run", (mints,)), DESIRED, {"bot": Told(10**9)}, NOW, 0)
    assert [one.event for one in found] == ["rotated"]
    assert after["bot"] == Told(5)
    store = Store()
    store.notebook.change("team", lambda notes: replace(notes, keys={"bot": Told(10**9)}))
    notices = Notices(replace(DESIRED, receivers=(Receiver("slack", "chat", ("failed",)),)), store.notebook, {})
    said = notices.end(RunReport("team", "run", (mints,)), whole=True).notes
    assert said == ("The notes of notices knew more rotations than the records have, and follow the records now: bot",)


def test_the_count_of_notices_rolled_back_repeats_no_id() -> None:
    """A receiver ignores an id that it has seen."""
    report = RunReport("team", "run", (KeyReport("bot", (), FAILED, conditions=(FAILED,)),))
    (one,), _ = changes(report, DESIRED, {}, NOW, 0)
    (two,), _ = changes(replace(report, run="later"), DESIRED, {}, NOW, 0)
    assert one.id != two.id


def test_nothing_is_read_without_receivers_and_nothing_is_ever_raised() -> None:
    """A store that fails is said."""
    store = Store()
    report = RunReport("team", "run", (KeyReport("bot", (), READY, conditions=(READY,)),))
    store.error = InputError("must not be read")
    quiet = Notices(DESIRED, store.notebook, {})
    quiet.begin(lambda _: None)
    assert quiet.end(report, whole=True) == report
    assert quiet.waiting() == []
    hearing = replace(DESIRED, receivers=(Receiver("slack", "chat", ("failed",)),))
    loud = Notices(hearing, store.notebook, {})
    loud.begin(lambda _: None)
    assert "must not be read" in loud.end(report, whole=True).notes[0]
    assert "must not be read" in loud.waiting()[0]


def test_what_was_told_is_noted_before_anything_is_done() -> None:
    """One record that cannot be read keeps no other key from being noted; what is noted is not read again."""
    store = Store()
    notices = Notices(replace(DESIRED, receivers=(Receiver("slack", "chat", ("failed",)),)), store.notebook, {})

    def read(key: str) -> Record:
        if key == "two":
            raise TargetMisfit("not a record")
        return record(7)

    notices.begin(read)
    assert store.notebook.open("team")[0].keys == {"bot": Told(7)}
    notices.begin(lambda key: record(9) if key == "two" else pytest.fail("it was noted already"))
    assert store.notebook.open("team")[0].keys == {"bot": Told(7), "two": Told(9)}


def test_the_variables_of_receivers() -> None:
    """Their names come from the receiver, and what they hold is never repeated."""
    assert variable("my-ops", "URL") == "KEYTURN_NOTIFY_MY_OPS_URL"
    two = {"KEYTURN_NOTIFY_OPS_SECRET": "whsec_" + "QUFB" * 8 + ",whsec_" + "QkJC" * 8}
    assert secrets_of("ops", two) == (b"A" * 24, b"B" * 24)
    for wrong in ("QUFB" * 8, "whsec_QUFB", "whsec_" + "QUFB" * 40, "whsec_!!!!" + "QUFB" * 8):
        with pytest.raises(InputError) as caught:
            secrets_of("ops", {"KEYTURN_NOTIFY_OPS_SECRET": wrong})
        assert wrong not in str(caught.value)
    for wrong in ("", "http://example.com/x-hook", "https://u:p@example.com/x-hook"):
        with pytest.raises(InputError) as caught:
            url_of("ops", {"KEYTURN_NOTIFY_OPS_URL": wrong})
        assert "x-hook" not in str(caught.value)
