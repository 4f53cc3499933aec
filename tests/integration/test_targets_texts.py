"""Dotenv and shell files as their readers see them: `sh` and python-dotenv, on many values."""

from __future__ import annotations

import io
import subprocess

from dotenv import dotenv_values
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


@settings(deadline=None)
@given(LINES, ODD, ODD)
def test_python_dotenv_reads_every_value(lines: list[str], first: str, second: str) -> None:
    """Whatever else is in the file, and after a change, too; the others stay as they were."""
    before = "\n".join(lines)
    text = dotenv_text.changed(dotenv_text.changed(before, "NAME", first), "NAME", second)
    others = dotenv_values(stream=io.StringIO(before))
    assert dotenv_values(stream=io.StringIO(text, newline=None)) == {**others, "NAME": second}
    assert dotenv_text.read(text, "NAME") == second


@settings(deadline=None)
@given(st.lists(ODD, min_size=20, max_size=40))
def test_sh_reads_every_value(values: list[str]) -> None:
    """`sh` itself sources the file and gives the values to a child."""
    text = ""
    for number, value in enumerate(values):
        text = shell_text.changed(text, f"NAME_{number}", value)
    done = subprocess.run(
        ["/bin/sh", "-c", 'eval "$(cat; echo)" && env -0'],
        input=text.encode(),
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        timeout=30,
        check=True,
    )
    pairs = (one.partition(b"=") for one in done.stdout.split(b"\0"))
    found = {name.decode(): value.decode() for name, _, value in pairs if name.startswith(b"NAME_")}
    assert found == {f"NAME_{number}": value for number, value in enumerate(values)}
