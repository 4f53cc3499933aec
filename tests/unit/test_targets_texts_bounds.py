"""L2: a file of secrets that a stranger wrote is read, changed or refused, in linear time and bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from keyturn.targets import dotenv_text, json_text, shell_text

MUCH = 2**20 - 100
HOSTILE = {
    "blanks": "A=x" + " " * 40_000 + "y\n",
    "blanks at the end": "A=x" + " " * MUCH,
    "blanks of 200": ("B=x" + (" " * 200 + "x") * 290 + "\n") * 17,
    "blanks before a command": " " * MUCH + ";",
    "a long line": "A=" + "x" * MUCH,
    "open variables": "A=" + "${" * 8000,
    "open variables on lines": "A=${x\n" * 100_000,
    "open variables in quotes": "A='" + "${a:-" * 99 + "x\n" * 400_000 + "'\n",
    "values that double": "A0=xxxxxxxxxx\n" + "".join(f"A{n}=${{A{n - 1}}}${{A{n - 1}}}\n" for n in range(1, 64)),
    "lines": "B=1\n" * 260_000,
    "empty lines": "A=1  \n" + "\n" * MUCH,
    "quotes": "A='" * (MUCH // 3),
    "escapes": "A='" + "\\'" * (MUCH // 2),
    "members": '{"a": ' * (MUCH // 6),
    "members side by side": "{" + '"a":1,' * (MUCH // 6),
    "digits": '{"a":' + "9" * MUCH + "}",
}


@pytest.mark.finding("L2", before="40,000 blanks: 11 s; `${` 8,000 times: 2.6 s; 1 MiB: hours", now="refused at once")
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_of_a_mebibyte_takes_long(text: str) -> None:
    """Whatever the format is meant to be: the answer, or a ValueError; any other exception is a failure."""
    began = time.process_time()
    uses: tuple[Callable[[], object], ...] = (
        lambda: dotenv_text.read(text, "KEY"),
        lambda: dotenv_text.changed(text, "KEY", "value"),
        lambda: shell_text.read(text, "KEY"),
        lambda: shell_text.changed(text, "KEY", "value"),
        lambda: json_text.changed(text, "KEY", "value"),
    )
    for use in uses:
        with suppress(ValueError):
            use()
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=" + "x" * 65_536, "a line is longer than 64 KiB"),
        ("A=x" + " " * 201 + "y", "more than 200 blanks in a row"),
        ("A=${\n" * 11, "more than 10 variables"),
        ("\n" * 5000, "more than 5000 lines"),
        (HOSTILE["values that double"], "longer than 64 KiB"),
    ],
)
def test_what_is_beyond_a_bound_is_said(text: str, words: str) -> None:
    """One sentence for each bound of a dotenv file."""
    with pytest.raises(ValueError, match=words):
        dotenv_text.read(text, "KEY")


def test_what_is_within_the_bounds_is_read() -> None:
    """A line of 64 KiB, 200 blanks, ten variables without an end."""
    text = "A=" + "x" * 60_000 + "\nB=x" + " " * 200 + "y\n" + "C='${'\n" * 10 + "KEY=found\n"
    assert dotenv_text.read(text, "KEY") == "found"
