"""Signatures of records and claims: what they hold together, and what the variable has to be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keyturn.core.errors import Forged, InputError, OwnershipError
from keyturn.core.record import Claim, dump, parse_claim
from keyturn.live.signatures import VARIABLE, Signatures, Stored, unsigned

ONE, TWO = "1a" * 32, "2B" * 32
TEXT = dump(Claim("u-1", "owner", "key"))
PATH = "keyturn/slots/u-1"


def signatures(keys: str = ONE) -> Signatures:
    """Read keys as from the environment."""
    return Signatures.of({VARIABLE: keys})


def stored(keys: str = ONE, over: str = "0", *, counted: bool = True, path: str = PATH) -> Stored:
    """A document as it lies in the store after it was written over a version."""
    text = signatures(keys).sign(TEXT, path, over, counted=counted)
    return Stored(path, text, str(int(over) + 1), counted)


def test_what_was_signed_holds_and_is_read_as_before() -> None:
    """Also by a version that knows no signatures: they are one more field."""
    document = stored()
    signatures().check(document, "here")
    assert parse_claim(document.text, where="here") == Claim("u-1", "owner", "key")
    assert unsigned(document.text) == TEXT


def test_without_a_key_nothing_is_signed_and_a_signed_document_is_refused() -> None:
    """Otherwise a run that lost the variable would take the signatures away without a word."""
    assert not signatures("")
    assert signatures("").sign(TEXT, PATH, "0", counted=True) == TEXT
    signatures("").check(Stored(PATH, TEXT, "1", counted=True), "here")
    with pytest.raises(OwnershipError, match="KEYTURN_RECORD_KEY is not set") as caught:
        signatures("").check(stored(), "here")
    assert f"export {VARIABLE}=off" in str(caught.value)


def test_an_operator_may_give_up_signatures() -> None:
    """With `off` a signed document is read, and written without its signature."""
    assert not signatures("off")
    signatures("off").check(stored(), "here")
    assert signatures("off").sign(TEXT, PATH, "1", counted=True) == TEXT


@pytest.mark.finding(
    "M1", before="nothing detected a forged record", now="an HMAC holds text, path and version together"
)
@pytest.mark.parametrize(
    ("document", "why"),
    [
        (Stored(PATH, TEXT, "1", counted=True), "it has no signature"),
        (replace(stored(), text=stored().text.replace("owner", "other")), "it was changed"),
        (replace(stored(), text=stored().text.replace('"count":1', '"count":2'), version="2"), "it was changed"),
        (replace(stored(), path="keyturn/slots/u-2"), "copied from elsewhere"),
        (replace(stored(), path="other/slots/u-1"), "copied from elsewhere"),
        (stored(TWO), "signed with another key"),
        (replace(stored(), version="7"), "signed as version 1, and now at version 7"),
        (replace(stored(), text=stored().text + " "), "it has no signature"),
    ],
)
def test_whatever_does_not_belong_together_is_refused(document: Stored, why: str) -> None:
    """Text, path, count and key are bound."""
    with pytest.raises(Forged, match=why) as caught:
        signatures().check(document, "here")
    assert ONE not in str(caught.value)


def test_a_store_that_does_not_count_is_watched_within_a_run() -> None:
    """A count that was higher before is a rollback; a fresh process does not know it, as the documentation says."""
    one = signatures()
    first = replace(stored(counted=False), version="a")
    one.check(first, "here")
    second = replace(first, text=one.sign(TEXT, PATH, "a", counted=False), version="b")
    one.check(second, "here")
    with pytest.raises(Forged, match="its count is 1, and was 2 before"):
        one.check(first, "here")
    signatures().check(first, "here")


def test_two_keys_are_accepted_and_the_first_signs() -> None:
    """So that a key can be replaced while several machines run."""
    both = signatures(f"{TWO}, {ONE}")
    both.check(stored(ONE), "here")
    both.check(stored(TWO), "here")
    assert both.current(stored(TWO))
    assert not both.current(stored(ONE))
    assert not both.current(Stored(PATH, TEXT, "1", counted=True))
    again = Stored(PATH, both.sign(TEXT, PATH, "1", counted=True), "2", counted=True)
    signatures(TWO).check(again, "here")


@pytest.mark.parametrize("wrong", ["no-key", "1a" * 31, f"{ONE},{TWO},{ONE}", f"{ONE},", "zz" * 32, f"{ONE} {TWO}"])
def test_a_wrong_key_is_not_shown(wrong: str) -> None:
    """Exit code 3; the sentence names the variable."""
    with pytest.raises(InputError, match=VARIABLE) as caught:
        signatures(wrong)
    assert wrong not in str(caught.value)
