"""What every target that holds secrets does with a delivery."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from keyturn.core.errors import Conflict, InputError, KeyturnError, LeaseLost, TargetMisfit
from keyturn.core.secret import Secret
from tests.contract.places import DeliveryPlace
from tests.contract.test_documents import BAD_PATHS, free

FIELD = "MODEL_ACCESS_KEY"
OLD = Secret("sk-do-old-" + "o" * 54)
NEW = Secret("sk-do-new-" + "n" * 54)
FOREIGN = "sk-do-foreign-" + "f" * 50
BUILT_IN = {"aws-secrets-manager", "do-secrets", "dotenv", "kubernetes", "onepassword", "onepassword-connect", "vault"}
"""The kinds of target whose versions have to tell two places apart; one of a package of its own may have none."""


def never() -> None:
    """A guard for what has to send nothing."""
    pytest.fail("a write was about to be sent")


def test_a_first_write_makes_the_place(deliveries: DeliveryPlace) -> None:
    """An absent field is written and read back, with the version that the write returned."""
    target, path = deliveries.target(), deliveries.path()
    assert target.read(path, FIELD).secret is None
    version = target.write(path, FIELD, NEW, None, free)
    found = target.read(path, FIELD)
    assert found.secret == NEW
    assert found.version == version
    assert deliveries.fields(path) == {FIELD: NEW.reveal()}


def test_a_write_keeps_the_other_fields(deliveries: DeliveryPlace) -> None:
    """Other fields stay as they are, whatever their type."""
    target, path = deliveries.target(), deliveries.path()
    deliveries.seed(path, deliveries.others)
    target.write(path, FIELD, OLD, None, free)
    target.write(path, FIELD, NEW, OLD, free)
    assert deliveries.fields(path) == {**deliveries.others, FIELD: NEW.reveal()}


def test_versions_tell_two_names_of_a_place_from_two_places(deliveries: DeliveryPlace) -> None:
    """Two targets show one place at one version; another place has another one, at once or after a preflight."""
    one, other = deliveries.target(), deliveries.target()
    here, there = deliveries.path(), deliveries.path()
    for path in (here, there):
        one.write(path, FIELD, NEW, None, free)
    before, apart = one.read(here, FIELD).version, one.read(there, FIELD).version
    assert other.read(here, FIELD).version == before
    if one.capabilities.unique_versions:
        assert before != apart
    elif before:
        other.preflight(here, FIELD)
        after = one.read(here, FIELD).version
        assert (after != before, after) == (True, other.read(here, FIELD).version)
        assert one.read(there, FIELD).version == apart
    assert bool(before) is (one.kind in BUILT_IN)


def test_an_earlier_version_can_be_read(deliveries: DeliveryPlace) -> None:
    """The proof that an old secret died needs it; a version that never was is None."""
    target, path = deliveries.target(), deliveries.path()
    first = target.write(path, FIELD, OLD, None, free)
    second = target.write(path, FIELD, NEW, OLD, free)
    kept = target.capabilities.versions
    assert target.read_version(path, FIELD, first) == (OLD if kept else None)
    assert target.read_version(path, FIELD, second) == (NEW if kept else None)
    assert [target.read_version(path, FIELD, version) for version in ("99", "0", "", "x", "-1")] == [None] * 5


@pytest.mark.parametrize(("held", "expected"), [(FOREIGN, OLD), (FOREIGN, None), (None, OLD)])
def test_a_field_that_is_not_as_expected_conflicts(
    deliveries: DeliveryPlace, held: str | None, expected: Secret | None
) -> None:
    """Changed, there already or gone: nothing is written, nothing is sent."""
    target, path = deliveries.target(), deliveries.path()
    before = {"other": "kept", **({FIELD: held} if held else {})}
    deliveries.seed(path, before)
    with pytest.raises(Conflict):
        target.write(path, FIELD, NEW, expected, never)
    assert deliveries.fields(path) == before


def test_a_secret_that_is_there_already_is_not_written_again(deliveries: DeliveryPlace) -> None:
    """After a lost answer the same write asks and rests, whatever it expected."""
    target, path = deliveries.target(), deliveries.path()
    version = target.write(path, FIELD, NEW, None, free)
    assert target.write(path, FIELD, NEW, OLD, never) == version


def test_another_field_changed_meanwhile_is_merged(fenced: DeliveryPlace) -> None:
    """Someone writes another field between our read and our write: both are kept."""
    target, path = fenced.target(), fenced.path()
    fenced.seed(path, {FIELD: OLD.reveal(), "other": "1"})
    sent = count()

    def meddle() -> None:
        if next(sent) == 0:
            fenced.seed(path, {FIELD: OLD.reveal(), "other": "2", "third": "3"})

    target.write(path, FIELD, NEW, OLD, meddle)
    assert fenced.fields(path) == {FIELD: NEW.reveal(), "other": "2", "third": "3"}


def test_merging_gives_up_after_five_tries(fenced: DeliveryPlace) -> None:
    """A path that changes at every try is a conflict; the guard was asked before each write."""
    target, path = fenced.target(), fenced.path()
    sent = count()

    def meddle() -> None:
        fenced.seed(path, {"other": str(next(sent))})

    with pytest.raises(Conflict):
        target.write(path, FIELD, NEW, None, meddle)
    asked = next(sent)
    assert asked >= 5
    assert fenced.fields(path) == {"other": str(asked - 1)}


def test_our_field_changed_meanwhile_conflicts(fenced: DeliveryPlace) -> None:
    """Someone writes our field between our read and our write: theirs stays."""
    target, path = fenced.target(), fenced.path()
    fenced.seed(path, {FIELD: OLD.reveal()})
    with pytest.raises(Conflict):
        target.write(path, FIELD, NEW, OLD, lambda: fenced.seed(path, {FIELD: FOREIGN}))
    with pytest.raises(Conflict):
        target.remove(path, FIELD, OLD, free)
    assert fenced.fields(path) == {FIELD: FOREIGN}


def test_a_refusing_guard_stops_the_write(deliveries: DeliveryPlace) -> None:
    """A run that lost its lease neither writes nor removes."""

    def lost() -> None:
        raise LeaseLost("the lease ran out")

    target, path = deliveries.target(), deliveries.path()
    deliveries.seed(path, {FIELD: OLD.reveal()})
    with pytest.raises(LeaseLost):
        target.write(path, FIELD, NEW, OLD, lost)
    with pytest.raises(LeaseLost):
        target.remove(path, FIELD, OLD, lost)
    assert deliveries.fields(path) == {FIELD: OLD.reveal()}


def test_removing_keeps_the_other_fields_and_may_be_repeated(deliveries: DeliveryPlace) -> None:
    """The field is gone, the others stay; once more is done already."""
    target, path = deliveries.target(), deliveries.path()
    deliveries.seed(path, {**deliveries.others, FIELD: OLD.reveal()})
    target.remove(path, FIELD, OLD, free)
    target.remove(path, FIELD, OLD, free)
    assert deliveries.fields(path) == deliveries.others


def test_the_last_field_can_be_removed_and_written_again(deliveries: DeliveryPlace) -> None:
    """A place without any field is absent for us, and can be filled again."""
    target, path = deliveries.target(), deliveries.path()
    target.write(path, FIELD, OLD, None, free)
    target.remove(path, FIELD, OLD, free)
    assert target.read(path, FIELD).secret is None
    target.write(path, FIELD, NEW, None, free)
    assert target.read(path, FIELD).secret == NEW


def test_removing_from_an_absent_place_makes_nothing(deliveries: DeliveryPlace) -> None:
    """Absent is done."""
    target, path = deliveries.target(), deliveries.path()
    target.remove(path, FIELD, OLD, free)
    assert deliveries.fields(path) is None


def test_preflight_leaves_everything_as_it_is(deliveries: DeliveryPlace) -> None:
    """What is there stays, what is absent stays absent."""
    target, there, absent = deliveries.target(), deliveries.path(), deliveries.path()
    deliveries.seed(there, {**deliveries.others, FIELD: OLD.reveal()})
    target.preflight(there, FIELD)
    target.preflight(absent, FIELD)
    assert deliveries.fields(there) == {**deliveries.others, FIELD: OLD.reveal()}
    assert deliveries.fields(absent) is None


def test_the_first_write_after_a_preflight_reads_nothing(
    prepared: DeliveryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes over what the preflight has left: a new secret is delivered by one write. The next write reads again."""
    target, path = prepared.target(), prepared.path()
    prepared.seed(path, {**prepared.others, FIELD: OLD.reveal()})
    target.preflight(path, FIELD)
    store = getattr(target, "_secrets", None) or target._store  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setattr(store, "read", lambda *_: pytest.fail("it was read once more"))
        version = target.write(path, FIELD, NEW, OLD, free)
    assert prepared.fields(path) == {**prepared.others, FIELD: NEW.reveal()}
    assert target.read(path, FIELD).version == version
    target.write(path, FIELD, OLD, NEW, free)
    assert prepared.fields(path) == {**prepared.others, FIELD: OLD.reveal()}


def test_what_changed_after_a_preflight_is_merged(prepared: DeliveryPlace) -> None:
    """Other fields that someone wrote meanwhile stay, also where two keys share the path."""
    target, path = prepared.target(), prepared.path()
    prepared.seed(path, {FIELD: OLD.reveal(), "other": "1"})
    target.preflight(path, FIELD)
    prepared.seed(path, {FIELD: OLD.reveal(), "other": "2", "SECOND": OLD.reveal()})
    target.write(path, FIELD, NEW, OLD, free)
    assert prepared.fields(path) == {FIELD: NEW.reveal(), "other": "2", "SECOND": OLD.reveal()}
    target.preflight(path, FIELD)
    target.preflight(path, "SECOND")
    target.write(path, FIELD, OLD, NEW, free)
    target.write(path, "SECOND", NEW, OLD, free)
    assert prepared.fields(path) == {FIELD: OLD.reveal(), "other": "2", "SECOND": NEW.reveal()}


@pytest.mark.parametrize("held", [FOREIGN, None])
def test_our_field_changed_after_a_preflight_conflicts(prepared: DeliveryPlace, held: str | None) -> None:
    """What someone wrote or removed meanwhile stays so."""
    target, path = prepared.target(), prepared.path()
    prepared.seed(path, {FIELD: OLD.reveal(), "other": "kept"})
    target.preflight(path, FIELD)
    now = {"other": "kept", **({FIELD: held} if held else {})}
    prepared.seed(path, now)
    with pytest.raises(Conflict):
        target.write(path, FIELD, NEW, OLD, free)
    assert prepared.fields(path) == now


def test_of_many_writers_of_one_field_one_wins(fenced: DeliveryPlace) -> None:
    """All expect the same old secret: one replaces it, the others conflict."""
    target, path = fenced.target(), fenced.path()
    fenced.seed(path, {FIELD: OLD.reveal()})

    def replace(number: int) -> bool:
        try:
            target.write(path, FIELD, Secret(f"sk-do-{number}"), OLD, free)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = [number for number, done in enumerate(pool.map(replace, range(6))) if done]
    assert len(won) == 1
    assert target.read(path, FIELD).secret == Secret(f"sk-do-{won[0]}")


def test_writers_of_different_fields_all_land(deliveries: DeliveryPlace) -> None:
    """Two keys may share a path: those who try again at a conflict lose nothing."""
    target, path = deliveries.target(), deliveries.path()

    def deliver(number: int) -> None:
        for _ in range(50):
            try:
                target.write(path, f"KEY_{number}", Secret(f"sk-do-{number}"), None, free)
            except Conflict:
                continue
            return
        pytest.fail("overtaken 50 times")

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(deliver, number) for number in range(4)]:
            ended.result()
    assert deliveries.fields(path) == {f"KEY_{number}": f"sk-do-{number}" for number in range(4)}


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000,
        " blanks around ",
        "quotes \" and ' and \\ and `",
        "two\nlines\r\nand\ttab",
        "$HOME ${KEYTURN_X} %s {0} #no comment",
        "ключ-鍵-\U0001f511",
        "null",
        '{"a": 1}',
        "=",
        "-1",
        "\x7f\x01",
    ],
    ids=range(11),
)
def test_large_and_odd_values_come_back(deliveries: DeliveryPlace, text: str) -> None:
    """A secret is opaque: it is stored to the character."""
    target, path = deliveries.target(), deliveries.path()
    target.write(path, FIELD, Secret(text), None, free)
    assert target.read(path, FIELD).secret == Secret(text)


@pytest.mark.finding("B7", before="a field that holds null was overwritten", now="it is an error, as any other type")
def test_a_field_that_holds_no_text_is_an_error(deliveries: DeliveryPlace) -> None:
    """It is neither read nor written over."""
    target, path = deliveries.target(), deliveries.path()
    for value in deliveries.no_texts:
        deliveries.seed(path, {FIELD: value})
        with pytest.raises(TargetMisfit, match="not hold text"):
            target.read(path, FIELD)
        with pytest.raises(TargetMisfit, match="not hold text"):
            target.write(path, FIELD, NEW, None, never)
        with pytest.raises(TargetMisfit, match="not hold text"):
            target.remove(path, FIELD, OLD, never)
        with pytest.raises(TargetMisfit, match="not hold text"):
            target.preflight(path, FIELD)
        assert deliveries.fields(path) == {FIELD: value}


def test_an_empty_text_is_absent(deliveries: DeliveryPlace) -> None:
    """A placeholder that someone left is written over."""
    target, path = deliveries.target(), deliveries.path()
    deliveries.seed(path, {FIELD: ""})
    assert target.read(path, FIELD).secret is None
    target.write(path, FIELD, NEW, None, free)
    assert target.read(path, FIELD).secret == NEW


def test_the_whole_value_is_held_or_refused(deliveries: DeliveryPlace) -> None:
    """A delivery without a field is the whole value, or a mistake of the person who wrote it."""
    target, path = deliveries.target(), deliveries.path()
    if target.capabilities.whole_value:
        target.write(path, "", NEW, None, free)
        assert target.read(path, "").secret == NEW
    else:
        with pytest.raises(InputError, match="field"):
            target.write(path, "", NEW, None, free)
        with pytest.raises(InputError, match="field"):
            target.preflight(path, "")


def test_a_path_that_could_leave_its_place_is_refused(deliveries: DeliveryPlace) -> None:
    """Every call looks at the path first."""
    target = deliveries.target()
    for path in BAD_PATHS:
        with pytest.raises(InputError):
            target.read(path, FIELD)
        with pytest.raises(InputError):
            target.read_version(path, FIELD, "1")
        with pytest.raises(InputError):
            target.write(path, FIELD, NEW, None, never)
        with pytest.raises(InputError):
            target.remove(path, FIELD, OLD, never)
        with pytest.raises(InputError):
            target.preflight(path, FIELD)


def test_nothing_shows_a_secret(deliveries: DeliveryPlace, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is logged, at any level, nor an error and what hangs on it, nor a value as printed."""
    caplog.set_level(logging.DEBUG)
    target, path = deliveries.target(), deliveries.path()
    deliveries.seed(path, {FIELD: FOREIGN})
    with pytest.raises(KeyturnError) as caught:
        target.write(path, FIELD, NEW, OLD, free)
    target.write(path, FIELD, NEW, Secret(FOREIGN), free)
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {target.read(path, FIELD)} {target!r} {caplog.text}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    for secret in (FOREIGN, NEW.reveal(), OLD.reveal()):
        assert secret not in shown
