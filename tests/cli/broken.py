"""Broken set-ups for the tests of `keyturn doctor`: how each breaks, and how an operator follows what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from keyturn.cli.schema import schema_text
from keyturn.live import live_world
from keyturn.sandbox.state import SCOPES, USUAL

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

MODEL = "llama3.3-70b-instruct"
OTHER_MODEL = "openai-gpt-oss-20b"
SIGN = "ab" * 32
KEY = ("report-bot",)
FILES = """
apiVersion: keyturn/v1
name: files
targets: {env: {type: dotenv, root: ./secrets}}
records: {target: local}
keys:
  report-bot:
    adopt: {secret: regenerate}
    rotation: {strategy: in-place}
    deliver: [{target: env, path: report.env, field: API_KEY}]
    smoke: {model: llama3.3-70b-instruct}
timing: {settle: 1s, request: 1s, lease: 10s, propagation: 1s, delivery: 10s}
"""


@dataclass
class Bench:
    """A stage, what a case changes around it, and its last examination."""

    stage: Stage
    monkeypatch: pytest.MonkeyPatch
    later: ExitStack = field(default_factory=ExitStack)

    def export(self, name: str, value: str) -> None:
        """Set a variable."""
        self.monkeypatch.setenv(name, value)

    def token(self, *scopes: str, team: str = "sandbox") -> None:
        """Use a new account token."""
        self.export("DIGITALOCEAN_TOKEN", self.stage.sandbox.add_token("", scopes=scopes, team=team).value)

    def doctor(self, *args: str) -> Any:  # noqa: ANN401 - a JSON value
        """Examine, hold the document to its schema, and the text to the document."""
        found = json.loads(self.stage.run("doctor", *args, "--format", "json", code=None).stdout)
        jsonschema.validate(found, json.loads(schema_text("doctor")))
        return found

    def apply(self) -> None:
        """Let one key be adopted and delivered."""
        self.stage.run("apply", "report-bot", "--yes")


Fix = Callable[[Bench, re.Match[str]], object]


@dataclass(frozen=True)
class Case:
    """How a set-up is broken, what has to be printed, and how an operator follows it."""

    breaks: Callable[[Bench], object]
    remedy: str
    fix: Fix
    code: int
    applied: bool = False
    verify: bool = False
    mark: str = "fail"


def _files(bench: Bench) -> None:
    bench.stage.manifest.write_text(FILES)
    bench.monkeypatch.delenv("KEYTURN_VAULT")


def _tracked(bench: Bench) -> None:
    _files(bench)
    folder = bench.stage.folder
    (folder / "secrets").mkdir()
    bench.apply()
    for args in (["init", "-q"], ["add", "-f", ".keyturn"]):
        subprocess.run(["git", *args], cwd=folder, check=True)  # noqa: S607 - the git of the path


def _untrack(bench: Bench, found: re.Match[str]) -> None:
    subprocess.run(found[1].split(), cwd=bench.stage.folder, check=True, stdout=subprocess.DEVNULL)


def _without_dotenv(bench: Bench) -> None:
    _files(bench)
    (bench.stage.folder / "secrets").mkdir()
    hiding = bench.later.enter_context(pytest.MonkeyPatch.context())
    for name in {"dotenv", *(name for name in sys.modules if name.startswith("dotenv."))}:
        hiding.setitem(sys.modules, name, None)  # `from dotenv.parser import …` does not look at `dotenv`
    hiding.delitem(sys.modules, "keyturn.targets.dotenv_text", raising=False)
    hiding.delattr("keyturn.targets.dotenv_text", raising=False)  # `from keyturn.targets import …` looks here first


def _old_engine(bench: Bench) -> None:
    mount = f"{bench.stage.prefix}-v1"
    bench.stage.openbao.call("POST", f"sys/mounts/{mount}", {"type": "kv", "options": {"version": "1"}})
    bench.stage.edit("mount: secret", f"mount: {mount}")


def _upgraded(bench: Bench, found: re.Match[str]) -> None:
    bench.stage.openbao.call("POST", f"sys/mounts/{found[1]}/tune", {"options": {"version": "2"}})
    bench.stage.openbao.wait_for_engine(found[1])


def _set_clock(bench: Bench, _: re.Match[str]) -> None:
    ahead = timedelta(seconds=bench.stage.sandbox.now - time.time())
    bench.monkeypatch.setattr(live_world, "_now", lambda: datetime.now(UTC) + ahead)


def _blocked(bench: Bench) -> None:
    bench.token(*SCOPES)
    bench.stage.sandbox.change(balance="blocked")


def policy(bench: Bench) -> None:
    """Put the drafted policy in force."""
    bench.stage.run("policy", "init", "--out", "policy.yaml")
    bench.export("KEYTURN_POLICY", "policy.yaml")


def outside(bench: Bench) -> None:
    """Let the manifest do what the policy forbids."""
    policy(bench)
    bench.stage.edit("/report, field: MODEL_ACCESS_KEY", "/report, field: OTHER")


def broken_policy(bench: Bench) -> None:
    """Name a policy that cannot be read."""
    (bench.stage.folder / "policy.yaml").write_text("apiVersion: keyturn-policy/v1\nowner: {}\n")
    bench.export("KEYTURN_POLICY", "policy.yaml")


def _new_policy(bench: Bench, found: re.Match[str]) -> None:
    (bench.stage.folder / "policy.yaml").unlink()
    bench.stage.run(*found[1].replace("FILE", "policy.yaml").split()[1:])


def _signed(bench: Bench) -> None:
    bench.export("KEYTURN_RECORD_KEY", SIGN)
    bench.apply()
    bench.monkeypatch.delenv("KEYTURN_RECORD_KEY")


def _export(bench: Bench, found: re.Match[str]) -> None:
    """Follow `export A=value` and `export A="$B"; unset B`."""
    name, value = found[1], found[2]
    bench.export(name, os.path.expandvars(re.sub(r":-[^}]*", "", value.strip('"'))))
    if found.re.groups > 2:
        bench.monkeypatch.delenv(found[3])


def _type(bench: Bench, found: re.Match[str], *more: str) -> None:
    bench.stage.run(*found[1].split()[1:], *more)


def _dead(bench: Bench) -> None:
    uuid = next(key.uuid for key in bench.stage.sandbox.state.live_keys("sandbox") if key.name == "report-bot")
    bench.stage.edit("propagation: 5s", "propagation: 1s")
    bench.stage.sandbox.by_hand("regenerate", uuid)


def _other_team(bench: Bench) -> None:
    bench.token(*USUAL, team="theirs")


def _their_own(bench: Bench, found: re.Match[str]) -> None:
    bench.export("DIGITALOCEAN_TOKEN", bench.stage.sandbox.token)
    assert f"of the team {found[1]} (" in json.dumps(bench.doctor())


def _scoped(bench: Bench, found: re.Match[str]) -> None:
    bench.token(*found.groups())


def _without_key(bench: Bench) -> None:
    uuid = next(key.uuid for key in bench.stage.sandbox.state.live_keys("sandbox") if key.name == "report-bot")
    bench.stage.sandbox.by_hand("delete", uuid)


def _made(bench: Bench, found: re.Match[str]) -> None:
    """Note the names, then make what the next examination names."""
    bench.stage.run(*found[1].split()[1:], "--yes", code=1)
    [told] = [check for check in bench.doctor()["checks"] if check["mark"] == "fail"]
    assert "make the API key in the control panel, with exactly this name" in told["remedy"]
    bench.stage.make_keys(*re.findall(r"'([^']+)'", told["what"]))


CASES: dict[str, Case] = {
    "no token": Case(
        lambda bench: bench.monkeypatch.delenv("DIGITALOCEAN_TOKEN"),
        r"Set DIGITALOCEAN_TOKEN to a token with the scopes (genai:read), (genai:update) and (account:read)",
        _scoped,
        5,
    ),
    "wrong token": Case(
        lambda bench: bench.export("DIGITALOCEAN_TOKEN", "dop_v1_" + "0" * 64),
        "Create a new token in the control panel",
        lambda bench, _: bench.token(*USUAL),
        5,
    ),
    "no genai:read": Case(
        lambda bench: bench.token("account:read"),
        r"needs the scope genai:read. Create a token with the scopes (genai:read), (genai:update) and (account:read)",
        _scoped,
        5,
    ),
    "no account:read": Case(
        lambda bench: bench.token("genai:read", "genai:update"),
        r"Create a token with the scopes (genai:read), (genai:update) and (account:read)",
        _scoped,
        0,
        mark="warn",
    ),
    "another team": Case(_other_team, r"Use a token of the team ([0-9a-f-]{36})\.", _their_own, 4, applied=True),
    "no VAULT_ADDR": Case(
        lambda bench: bench.monkeypatch.delenv("VAULT_ADDR"), r"type: export (\w+)=([^ ,]+)", _export, 3
    ),
    "no VAULT_TOKEN": Case(
        lambda bench: bench.monkeypatch.delenv("VAULT_TOKEN"),
        "Set it: the login to Vault needs it",
        lambda bench, _: bench.export("VAULT_TOKEN", bench.stage.openbao.root_token),
        5,
    ),
    "wrong login": Case(
        lambda bench: bench.export("VAULT_TOKEN", "wrong"),
        "set a new one in (VAULT_TOKEN)",
        lambda bench, found: bench.export(found[1], bench.stage.openbao.root_token),
        5,
    ),
    "missing extra": Case(_without_dotenv, r"Install keyturn\[dotenv\]", lambda bench, _: bench.later.close(), 3),
    "wrong mount": Case(
        lambda bench: bench.stage.edit("mount: secret", "mount: secrets"),
        "Check `(mount)`",
        lambda bench, _: bench.stage.edit("mount: secrets", "mount: secret"),
        1,
    ),
    "KV version 1": Case(_old_engine, r"upgrade this one: vault kv enable-versioning (\S+)\.", _upgraded, 1),
    "clock": Case(lambda bench: bench.stage.sandbox.advance(600), "Set the clock of this machine", _set_clock, 1),
    "model retired": Case(
        lambda bench: bench.stage.sandbox.change(retired=[OTHER_MODEL]),
        "change `smoke.model`",
        lambda bench, _: bench.stage.edit(f"model: {OTHER_MODEL}", f"model: {MODEL}"),
        1,
        applied=True,
        verify=True,
    ),
    "no balance": Case(
        _blocked, "Add balance to the account", lambda bench, _: bench.stage.sandbox.change(balance="ok"), 1
    ),
    "no directory": Case(
        _files, "Create it: keyturn creates only files", lambda bench, _: (bench.stage.folder / "secrets").mkdir(), 1
    ),
    "records in git": Case(_tracked, r"\((git rm -r --cached \.keyturn)\)", _untrack, 3),
    "broken policy": Case(broken_policy, "`(keyturn policy init --out FILE)`", _new_policy, 3),
    "outside the policy": Case(
        outside,
        "Change the manifest",
        lambda bench, _: bench.stage.edit("field: OTHER", "field: MODEL_ACCESS_KEY"),
        4,
    ),
    "misspelt variable": Case(
        lambda bench: bench.export("KEYTURN_RECORDKEY", SIGN),
        r'type: export (\w+)=("\$\w+"); unset (\w+)',
        _export,
        0,
        mark="warn",
    ),
    "record key lost": Case(
        _signed, "Set (KEYTURN_RECORD_KEY) to the key", lambda bench, found: bench.export(found[1], SIGN), 4
    ),
    "not signed": Case(
        lambda bench: bench.export("KEYTURN_RECORD_KEY", SIGN),
        "if what it says is right: (keyturn sign report-bot)",
        lambda bench, found: _type(bench, found, "--yes"),
        4,
        applied=True,
    ),
    "no API key": Case(_without_key, "`(keyturn apply report-bot)`, which notes what to make", _made, 1),
    "no manifest": Case(
        lambda bench: bench.stage.manifest.rename(bench.stage.folder / "away"),
        "`(keyturn init)` creates",
        lambda bench, _: (bench.stage.folder / "away").rename(bench.stage.manifest),
        3,
    ),
    "secret refused": Case(
        _dead,
        "`(keyturn apply report-bot --verify)`",
        lambda bench, found: _type(bench, found, "--yes"),
        1,
        applied=True,
        verify=True,
    ),
}
