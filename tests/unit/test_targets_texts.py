"""Dotenv and shell files: every value comes back to those who read them, and every other line stays."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.targets import dotenv_text, shell_text

ODD = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\"'\\${}#=\n\r \t`:-"), min_size=1
)
LINES = st.lists(
    st.sampled_from(
        [
            "",
            "# a comment 'with \"quotes",
            "A=1",
            "export B='two words' # why",
            'C="x\\ny"',
            "D='several\nlines'",
            "E=",
            "F=$HOME",
        ]
    ),
    max_size=6,
    unique=True,
)

DOTENV = [
    ("", "NAME=v\n"),
    ("A=1", "A=1\nNAME=v\n"),
    ("A=1\r\n", "A=1\r\nNAME=v\r\n"),
    ("NAME=old\n", "NAME=v\n"),
    ("NAME=old", "NAME=v"),
    ("\n# why\n\nexport NAME = 'old' # kept\nB=2\n", "\n# why\n\nexport NAME = v # kept\nB=2\n"),
    ('NAME="old\nof two lines"  # kept\r\nB=2', "NAME=v  # kept\r\nB=2"),
    ("NAME=\nB=2\n", "NAME=v\nB=2\n"),
    ("NAME= # kept\n", "NAME=v # kept\n"),
    ("NAME\nB=2\n", "NAME=v\nB=2\n"),
    ("NAME=two words # kept\n", "NAME=v # kept\n"),
    ("this is no line of such a file\nNAME=old\n", "this is no line of such a file\nNAME=v\n"),
]


@pytest.mark.parametrize(("before", "after"), DOTENV)
def test_only_the_value_of_a_dotenv_file_changes(before: str, after: str) -> None:
    """Blank lines, comments, `export`, blanks, kinds of line ends, lines that nobody understands."""
    assert dotenv_text.changed(before, "NAME", "v") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("NAME=old\n", ""),
        ("A=1\n\n# why\nNAME=old # gone\n\nB=2\n", "A=1\n\n# why\n\nB=2\n"),
        ("A=1\n", "A=1\n"),
        ("A=1\nNAME=old", "A=1\n"),
    ],
)
def test_a_name_is_taken_out_with_its_line(before: str, after: str) -> None:
    """Comments above it stay."""
    assert dotenv_text.changed(before, "NAME", None) == after
    assert shell_text.changed(before, "NAME", None) == after


@settings(deadline=None)
@given(LINES, ODD, ODD)
def test_a_shell_file_gives_every_value_back(lines: list[str], first: str, second: str) -> None:
    """To keyturn; the next test asks a shell."""
    before = "\n".join(lines)
    text = shell_text.changed(shell_text.changed(before, "NAME", first), "NAME", second)
    assert shell_text.read(text, "NAME") == second
    gone = shell_text.changed(text, "NAME", None)
    assert gone.rstrip("\n") == before.rstrip("\n")


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("plain", "plain"),
        ("''", ""),
        ("a'b c'd", "ab cd"),
        ('"a\\"b\\\\c\\$d\\e"', 'a"b\\c$d\\e'),
        ("a\\ b\\'c", "a b'c"),
        ("a#b", "a#b"),
        ("'$HOME'", "$HOME"),
        ("a~b", "a~b"),
    ],
)
def test_words_of_a_shell_are_understood(word: str, value: str) -> None:
    """As `sh` understands them."""
    assert shell_text.read(f"NAME={word} # why\n", "NAME") == value


@pytest.mark.parametrize("word", ["$HOME", '"a$b"', "~", "~/x", "a:~"])
def test_a_value_that_the_shell_would_expand_is_not_taken_for_text(word: str) -> None:
    """It is neither read nor, unseen, written over."""
    with pytest.raises(ValueError, match="would expand"):
        shell_text.read(f"NAME={word}\n", "NAME")


@pytest.mark.parametrize(
    "line",
    ["if true; then", "NAME=$(cat x)", "NAME=`cat x`", 'NAME="$(cat x)"', "A=1 B=2", "NAME='open", "A=1\r", "rm x"],
)
def test_a_program_is_not_changed(line: str) -> None:
    """The line is named, and not shown."""
    with pytest.raises(ValueError, match="line 2 is not a plain assignment"):
        shell_text.changed(f"A=1\n{line}\n", "NAME", "v")


def test_a_name_that_is_set_twice_is_refused() -> None:
    """Readers differ about which of them counts."""
    for form in (dotenv_text, shell_text):
        with pytest.raises(ValueError, match="twice"):
            form.changed("NAME=1\nNAME=2\n", "NAME", "v")
        with pytest.raises(ValueError, match="twice"):
            form.read("NAME=1\nNAME=2\n", "NAME")


def test_variables_within_a_dotenv_file_are_resolved() -> None:
    """From the file itself; where only the reader's environment knows them, nobody can tell the value."""
    assert dotenv_text.read("A=1\nNAME=x${A}${B:-2}\n", "NAME") == "x12"
    with pytest.raises(ValueError, match="refers to another variable"):
        dotenv_text.read("NAME=${KEYTURN_ELSEWHERE}\n", "NAME")
