"""What arrives in a target that cannot be read, and what is seen of it on the way."""

from __future__ import annotations

import logging

import pytest

from keyturn.core.errors import KeyturnError
from keyturn.core.secret import Secret
from tests.contract.places import WriteOnlyPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW
from tests.contract.test_documents import free


@pytest.mark.parametrize(
    "text",
    ["x" * 10_000, " blanks ", "quotes \" and ' and \\", "two\nlines\r\n\t", "ключ-\U0001f511", "null", "\x7f\x01"],
    ids=range(7),
)
def test_odd_values_arrive(write_only: WriteOnlyPlace, text: str) -> None:
    """A secret is opaque: consumers get every character of it."""
    path = write_only.path()
    write_only.target().write_marked(path, FIELD, Secret(text), "", free)
    assert write_only.held(path, FIELD) == text


def test_nothing_shows_a_secret(write_only: WriteOnlyPlace, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is logged, at any level, nor an error and what hangs on it, nor a target as printed."""
    caplog.set_level(logging.DEBUG)
    target, path = write_only.target(), write_only.path()
    write_only.put(path, FIELD, FOREIGN)
    with pytest.raises(KeyturnError) as conflict:
        target.write_marked(path, FIELD, NEW, "", free)
    write_only.lose_an_answer()
    lost: list[KeyturnError] = []
    try:
        target.write_marked(path, FIELD, NEW, target.read(path, FIELD).version, free)
    except KeyturnError as told:  # unless the target recognises its write without an answer
        lost.append(told)
    shown = f"{target!r} {caplog.text}"
    for error in (conflict.value, *lost):
        shown += f"{error} {error!r} {error.args}"
        assert error.__cause__ is None
        assert error.__context__ is None
    assert not any(secret in shown for secret in (FOREIGN, NEW.reveal()))
