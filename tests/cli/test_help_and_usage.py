"""The front door: help, versions, usage errors, and how little of keyturn it loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import jsonschema
import pytest
from click.testing import CliRunner

from keyturn import __version__
from keyturn.cli import COMMANDS, main
from keyturn.cli.root import SIGINT_CODE, SIGTERM_CODE, WRONG_USAGE
from keyturn.cli.schema import KINDS, schema_text
from keyturn.report.documents import KINDS as DOCUMENT_KINDS
from tests.support.process import bare_environment, run, start

HEAVY = ("boto3", "httpx", "pydantic", "rich", "starlette", "yaml")
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


@pytest.mark.parametrize("args", [[], ["help"], ["-h"], ["--help"]], ids=" ".join)
def test_no_command_shows_the_help(args: list[str]) -> None:
    """`keyturn` alone is no mistake: the help, on stdout, and 0."""
    answer = CliRunner().invoke(main, args, prog_name="keyturn")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.stdout.startswith("Usage: keyturn [OPTIONS] COMMAND")
    assert "Commands:" in answer.stdout


@pytest.mark.parametrize("args", [["version"], ["-V"], ["--version"]], ids=" ".join)
def test_versions(args: list[str]) -> None:
    """However it is asked for."""
    assert CliRunner().invoke(main, args).stdout == f"keyturn {__version__}\n"


def test_the_help_names_every_exit_code() -> None:
    """Those of signals, too."""
    shown = " ".join(CliRunner().invoke(main, ["-h"]).stdout.partition("Exit codes: ")[2].split())
    codes = (0, WRONG_USAGE, SIGINT_CODE, SIGTERM_CODE, 1, 2, 4, 5)
    assert [code for code in codes if not re.search(rf"(^|; ){code} \w", shown)] == []


@pytest.mark.parametrize("args", [["completion"], ["completion", "ksh"]], ids=" ".join)
def test_a_missing_choice_is_one_sentence(args: list[str]) -> None:
    """With the choices, and no tab on the screen."""
    answer = CliRunner().invoke(main, args)
    assert answer.exit_code == 3
    assert "bash" in answer.stderr.splitlines()[-1]
    assert "\t" not in answer.stderr
    assert "\\" not in answer.stderr


def test_help_of_a_command() -> None:
    """`keyturn help plan` is `keyturn plan --help`; of no command it is wrong usage."""
    help_, option = (CliRunner().invoke(main, args).stdout for args in (["help", "plan"], ["plan", "-h"]))
    assert help_ == option
    assert CliRunner().invoke(main, ["help", "plna"]).exit_code == 3


@pytest.mark.parametrize(("typed", "meant"), [("stauts", "status"), ("aply", "apply"), ("Plan", "plan")])
def test_an_unknown_command_gets_a_suggestion(typed: str, meant: str) -> None:
    """The nearest name, and nothing for a name that is near to none."""
    answer = CliRunner().invoke(main, [typed])
    assert f"There is no command {typed!r}. Did you mean {meant!r}?" in answer.stderr
    assert "Did you mean" not in CliRunner().invoke(main, ["xyzzy"]).stderr


@pytest.mark.parametrize(
    "before", [["-f", "MANIFEST"], ["--file=MANIFEST"], ["-fMANIFEST"], ["-q", "--no-color", "-f", "MANIFEST"]]
)
def test_shared_options_may_stand_before_the_command(before: list[str], tmp_path: Path) -> None:
    """They mean the same there; an option of one command only does not work there, and the error says so."""
    (tmp_path / "other.yaml").write_text("a: b: c")
    args = [part.replace("MANIFEST", str(tmp_path / "other.yaml")) for part in before]
    answer = CliRunner().invoke(main, [*args, "validate"])
    assert answer.exit_code == 3
    assert f"{tmp_path}/other.yaml:1:5: not YAML" in answer.stderr
    wrong = CliRunner().invoke(main, ["--explain", *args, "plan"])
    assert wrong.exit_code == 3
    assert "written behind it: keyturn COMMAND [OPTIONS]" in wrong.stderr


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["plan", "-f", "missing.yaml"], "missing.yaml: there is no such file"),
        (["apply", "--nothing"], "No such option"),
        (["status", "--verify", "-f", "wrong.yaml"], "wrong.yaml:1:5: not YAML"),
        (["smoke", "a", "b", "--secret", "stdin"], "tests one secret"),
        (["rotate"], "name one KEY or more"),
        (["forget"], "Missing argument"),
        (["history", "-f", "missing.yaml", "bot"], "missing.yaml: there is no such file"),
    ],
)
def test_an_error_is_a_document_too(
    args: list[str], error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--format json` always leaves one document on stdout, valid against its schema, with the exit code."""
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text("a: b: c")
    answer = CliRunner().invoke(main, [*args, "--format", "json"])
    document = json.loads(answer.stdout)
    jsonschema.validate(document, json.loads(schema_text("error")))
    assert answer.exit_code == document["exit_code"] == 3
    assert error in document["error"]
    assert error in answer.stderr
    for mistake in document["mistakes"]:
        assert mistake["file"] in {"missing.yaml", "wrong.yaml"}


def test_the_kinds_of_target_are_a_document_too() -> None:
    """With every setting of the text."""
    document = json.loads(CliRunner().invoke(main, ["targets", "--format", "json"]).stdout)
    jsonschema.validate(document, json.loads(schema_text("targets")))
    text = CliRunner().invoke(main, ["targets"]).stdout
    assert "app-platform: deliveries only, write-only, takes effect with a deployment" in text
    assert "github-secrets: deliveries only, write-only\n" in text
    apps = next(kind for kind in document["targets"] if kind["type"] == "app-platform")
    words = ("compare_and_set", "versions", "records", "deliveries", "reads", "marks", "effect")
    assert [word for word in words if apps[word]] == ["deliveries", "marks", "effect"]
    assert {kind["type"] for kind in document["targets"]} >= {"vault", "dotenv"}
    assert all(setting["name"] in text for kind in document["targets"] for setting in kind["settings"])


@pytest.mark.parametrize("args", [["-h"], ["targets"], ["targets", "--format", "json"]], ids=" ".join)
def test_a_full_disk_is_told_in_one_sentence(args: list[str]) -> None:
    """What cannot be written is 1, without a traceback."""
    command = [sys.executable, "-m", "keyturn.cli", *args]
    with Path("/dev/full").open("w") as full, start(command, stdout=full.fileno(), stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        said = child.stderr.read()
        assert child.wait(30) == 1
    assert said == "Error: the output could not be written: No space left on device.\n"


def test_wrong_usage_repeats_no_raw_escape() -> None:
    """What was typed reaches the terminal as text."""
    answer = CliRunner().invoke(main, ["plan", "--x\x1b[31m\n::error::y"])
    assert answer.exit_code == 3
    assert "\x1b" not in answer.stderr
    assert not any(line.lstrip().startswith("::") for line in answer.stderr.splitlines())


def test_every_kind_of_document_has_a_schema_to_print() -> None:
    """`keyturn schema` knows what the reports know, the manifest and the policy."""
    assert set(KINDS) == {"manifest", "policy", *DOCUMENT_KINDS}
