"""Each code block of the pages is what it says: commands parse, JSON and Python parse, install words are true."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement

from keyturn.cli import main
from tests import pending
from tests.blocks import ROOT, SHELL, blocks, calls, is_pending, mistake, pages

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
KNOWN = SHELL | {
    "",
    "console",
    "go",
    "hcl",
    "ini",
    "json",
    "mermaid",
    "python",
    "text",
    "toml",
    "typescript",
    "yaml",
    "yml",
    "dockerfile",
}
INSTALL = re.compile(
    r"(?:pip3? install|pipx (?:install|run)|uv (?:pip|tool) install|uvx|pipx --spec|uv tool run)"
    r"(?P<words>[^\n`|]*)"
)
BARE = re.compile(r"(?<![\w./'-])['\"]?(?:pulumi[-_])?keyturn(?:\[[\w,]*\])?(?:[=<>~!][^ '\"]*)?['\"]?(?= |$)")
"""The name of the distribution alone, or with extras or a version: it would come from a package index."""


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_call_of_keyturn_exists(page: Path) -> None:
    """Command, options and values of options, in blocks and in code spans."""
    wrong = [
        f"{place}: keyturn {' '.join(words)}: {why}" for place, words in calls(page) if (why := mistake(main, words))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["aply"], "there is no command aply"),
        (["apply", "--yess"], "apply has no option --yess"),
        (["plan", "--format", "xml"], "--format takes no xml"),
        (["plan", "--out"], "--out lacks its value"),
        (["policy", "init", "--out", "FILE"], ""),
        (["plan", "--format=json", "-vv"], ""),
    ],
)
def test_a_wrong_call_is_noticed(words: list[str], why: str) -> None:
    """So that the test above can fail."""
    assert mistake(main, words) == why


def test_calls_are_found() -> None:
    """The commands of the page that begins everything are among them."""
    found = [words[0] for _, words in calls(ROOT / "docs/start.md") if words]
    assert {"validate", "plan", "apply", "smoke", "status", "rotate", "history"} <= set(found)


def test_what_is_pending_is_not_there_yet() -> None:
    """A word that exists has to leave the list: from then on, the tests hold the pages to it."""
    context = click.Context(main)
    there = [name for name in pending.COMMANDS if main.get_command(context, name)]
    for entry in (*pending.OPTIONS, *pending.VALUES):
        name, flag, *value = entry.split()
        command = main.get_command(context, name)
        known = {opt: one for one in command.params for opt in one.opts} if command else {}
        choices = getattr(known[flag].type, "choices", ()) if flag in known else ()
        there += [entry] if flag in known and (not value or value[0] in choices) else []
    schema = (ROOT / "schemas/manifest.v1.json").read_text()
    there += [field for field in pending.FIELDS if f'"{field}": {{' in schema]
    assert there == []
    assert is_pending(["nothing"]) is False


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_parse(page: Path) -> None:
    """JSON is JSON and Python compiles; every language is one that a test looks at or that nothing can be said of."""
    for block in blocks(page):
        assert block.language in KNOWN, f"{block.place}: a block of the language {block.language!r}"
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text, block.place)
        elif block.language == "toml":
            tomllib.loads(block.text)


def installs(text: str) -> list[str]:
    """Return the installs by the bare name in a text."""
    found = []
    for call in INSTALL.finditer(text):
        words = re.sub(r"--from +'[^']*'|--from +\S+", "--from X", call["words"])
        at_a_place = re.sub(r"['\"]?keyturn(?:\[[\w,]*\])? @ (?:git\+|file:)\S+", "", words)
        if "uvx" in call[0] or "run" in call[0].split():
            at_a_place = at_a_place.replace("--from X keyturn", "")
        found += [call[0]] if BARE.search(at_a_place) else []
    return found


def test_no_text_installs_the_bare_name() -> None:
    """The name is in no package index: anyone may register it there. Pages, examples, messages, files at the top."""
    texts = [path for path in ROOT.iterdir() if path.is_file() and path.suffix in {".md", ".yml", ".yaml", ""}]
    texts += [path for path in (ROOT / "examples").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    texts += [*(ROOT / "docs").rglob("*.md")]
    texts += [path for wing in ("reconcile", "provider") for path in (ROOT / wing).rglob("*.py")]
    found = {str(path.relative_to(ROOT)): installs(path.read_text(errors="replace")) for path in texts}
    assert {name: calls for name, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "line",
    [
        "pip install keyturn",
        "pip install 'keyturn[vault]'",
        "pip install --upgrade keyturn==1.0",
        "pipx install keyturn",
        "uv tool install 'keyturn[vault]'",
        "uvx keyturn plan",
        "uv pip install pulumi-keyturn",
        "run `pip install keyturn`",
    ],
)
def test_an_install_of_the_bare_name_is_noticed(line: str) -> None:
    """So that the test above can fail."""
    assert installs(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install './keyturn[vault]'",
        "pip install '.[vault]'",
        "uvx --from './keyturn[vault]' keyturn plan",
        "uv tool install 'keyturn[vault] @ git+https://git.example.com/platform/keyturn@v0.1.0'",
        "uvx --from 'keyturn[vault] @ git+https://git.example.com/platform/keyturn@v0.1.0' keyturn plan",
        "pip install --require-hashes -r requirements-vault.txt",
        "pip install --no-deps /opt/keyturn/keyturn-0.1.0-py3-none-any.whl",
    ],
)
def test_an_install_from_a_place_is_not(line: str) -> None:
    """A checkout, a git server, a release."""
    assert installs(line) == []


def test_the_install_words_of_start_are_requirements() -> None:
    """Each names an extra of ours, and a place that is no index."""
    text = (ROOT / "docs/start.md").read_text()
    named = re.findall(r"'((?:\./)?keyturn\[[^']+)'", text)
    assert len(named) >= 8
    for words in named:
        if words.startswith("./"):
            assert re.fullmatch(r"\./keyturn\[(\w+)\]", words)[1] in EXTRAS  # type: ignore[index]
        else:
            asked = Requirement(words)
            assert asked.url
            assert asked.url.startswith("git+https://git.example.com/")
            assert asked.extras <= EXTRAS
