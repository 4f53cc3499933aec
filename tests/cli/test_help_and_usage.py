"""The front door: help, versions, usage errors, and how little of keyturn it loads."""

from __future__ import annotations

import sys

import click
import pytest
from click.testing import CliRunner

from keyturn import __version__
from keyturn.cli import COMMANDS, main
from keyturn.cli.schema import KINDS
from keyturn.report.documents import KINDS as DOCUMENT_KINDS
from tests.support.process import bare_environment, run

HEAVY = ("boto3", "httpx", "hvac", "pydantic", "rich", "starlette", "yaml")
PROBE = f"""
import sys
sys.argv = ["keyturn", *sys.argv[1:]]
from keyturn.cli import main
try:
    main(prog_name="keyturn")
finally:
    print("LOADED", *sorted(set({HEAVY!r}) & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize("args", [["-h"], ["--version"], *([name, "-h"] for name in COMMANDS)], ids=" ".join)
def test_help_loads_no_heavy_library(args: list[str]) -> None:
    """Help is instant: neither YAML, HTTP, validation nor colours are loaded for it."""
    answer = run([sys.executable, "-c", PROBE, *args])
    assert (answer.returncode, answer.stderr) == (0, "LOADED\n")
    assert "keyturn" in answer.stdout


@pytest.mark.parametrize(
    ("words", "number", "found"),
    [("keyturn ro", "1", "rotate"), ("keyturn plan --det", "2", "--detailed-exitcode")],
)
def test_shell_completion_loads_no_heavy_library(words: str, number: str, found: str) -> None:
    """A tab key waits for nothing but click."""
    env = bare_environment(_KEYTURN_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=number)
    answer = run([sys.executable, "-c", PROBE], env=env)
    assert answer.stderr == "LOADED\n"
    assert found in answer.stdout


def test_the_table_of_commands_is_complete() -> None:
    """Each command of the table loads, has a help text, and answers to its name."""
    context = click.Context(main)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        assert (command.name, bool(command.help)) == (name, True)
        assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_version() -> None:
    """The version is the package's."""
    assert CliRunner().invoke(main, ["--version"]).stdout == f"keyturn {__version__}\n"


@pytest.mark.parametrize(
    "args",
    [
        ["nothing"],
        ["plan", "--nothing"],
        ["plan", "--format", "xml"],
        ["rotate"],
        ["apply", "--lock-timeout", "soon"],
        ["apply", "--allow-delete", "-1"],
        ["apply", "--plan", "missing.json"],
        ["adopt", "bot", "--uuid", "1", "--uuid", "2", "--uuid", "3"],
        ["smoke", "a", "b", "--secret", "stdin"],
        ["-x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_3(args: list[str]) -> None:
    """2 would mean changes, so click's own code for wrong usage is not used; stdout stays empty."""
    answer = CliRunner().invoke(main, args)
    assert (answer.exit_code, answer.stdout) == (3, "")
    assert "Error: " in answer.stderr


def test_no_command_shows_the_help_and_is_3() -> None:
    """`keyturn` alone is no command."""
    answer = CliRunner().invoke(main, [])
    assert answer.exit_code == 3
    assert "Commands:" in answer.stderr


def test_wrong_usage_repeats_no_raw_escape() -> None:
    """What was typed reaches the terminal as text."""
    answer = CliRunner().invoke(main, ["plan", "--x\x1b[31m\n::error::y"])
    assert answer.exit_code == 3
    assert "\x1b" not in answer.stderr
    assert not any(line.lstrip().startswith("::") for line in answer.stderr.splitlines())


def test_every_kind_of_document_has_a_schema_to_print() -> None:
    """`keyturn schema` knows what the reports know, the manifest and the policy."""
    assert set(KINDS) == {"manifest", "policy", *DOCUMENT_KINDS}
