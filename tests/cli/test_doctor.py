"""`keyturn doctor` on broken set-ups: it names the remedy, and the remedy as printed makes the set-up whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from keyturn.cli import main
from tests.cli.broken import CASES, KEY, Bench, broken_policy, outside, policy
from tests.support.openbao import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Stage
    from tests.support.openbao import OpenBao


@pytest.fixture
def bench(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A stage whose keys are made; what a case hides is found again at the end."""
    stage.make_keys()
    made = Bench(stage, monkeypatch)
    with made.later:
        yield made


def _troubles(document: Any) -> list[Any]:  # noqa: ANN401 - a JSON value
    return [check for check in document["checks"] if check["mark"] in {"warn", "fail"}]


@pytest.mark.parametrize("name", CASES)
def test_the_remedy_is_named_and_works(name: str, bench: Bench) -> None:
    """One cause makes one kind of line; it is followed as printed, and then everything is in order."""
    case = CASES[name]
    args = (*(KEY if case.applied else ()), *(("--verify",) if case.verify else ()))
    if case.applied:
        bench.apply()
    assert _troubles(bench.doctor(*args)) == []
    case.breaks(bench)
    told = bench.doctor(*args)
    troubles = _troubles(told)
    assert told["exit_code"] == case.code, troubles
    assert {check["mark"] for check in troubles} == {case.mark}, troubles
    assert all(check["remedy"] for check in troubles), troubles
    found = [match for check in troubles if (match := re.search(case.remedy, f"{check['what']} {check['remedy']}"))]
    assert found, troubles
    case.fix(bench, found[0])
    after = bench.doctor(*args)
    assert _troubles(after) == []
    assert after["exit_code"] == 0


def test_each_missing_policy_line_is_named(bench: Bench) -> None:
    """A login without any right gets them line by line as printed; with those, apply works."""
    openbao, name = bench.stage.openbao, bench.stage.prefix
    rules: dict[str, list[str]] = {"none": ["deny"]}
    openbao.policy(name, rules)
    bench.export("VAULT_TOKEN", openbao.token(name))
    for _ in range(12):
        lines = [
            (path, json.loads(words))
            for check in _troubles(bench.doctor())
            for path, words in re.findall(r'path "([^"]+)" { capabilities = (\[[^\]]*\]) }', check["remedy"])
        ]
        if not lines:
            break
        rules |= dict(lines)
        openbao.policy(name, rules)
    assert _troubles(bench.doctor()) == []
    assert len(rules) > 4
    bench.stage.run("doctor", "report-bot", code=0)


def test_a_server_that_is_down_then_sealed(bench: Bench, openbao_on_disk: OpenBao) -> None:
    """Two remedies after each other: start it, unseal it."""
    server = openbao_on_disk
    for name in ("VAULT_ADDR", "KEYTURN_VAULT"):
        bench.export(name, server.address)
    bench.export("VAULT_TOKEN", server.root_token)
    assert _troubles(bench.doctor()) == []
    server.stop()
    [down] = _troubles(bench.doctor())
    assert "that the server is running" in down["remedy"]
    server.restart()
    [sealed] = _troubles(bench.doctor())
    assert sealed["remedy"] == "Unseal it and run again."
    server.unseal()
    assert _troubles(bench.doctor()) == []


def test_nothing_is_changed(bench: Bench) -> None:
    """Neither a version in the vault nor anything of the account, and no secret is shown."""
    stage = bench.stage
    bench.apply()
    before = tree(stage.openbao, stage.prefix)
    stage.sandbox.clear_requests()
    for args in (("doctor",), ("doctor", "--verify"), ("doctor", "report-bot", "-vv")):
        stage.run(*args)
    assert tree(stage.openbao, stage.prefix) == before
    assert not any(seen.mutating for seen in stage.sandbox.requests)
    assert stage.sandbox.requests
    secrets = [*stage.sandbox.state.secrets, *stage.sandbox.state.tokens, stage.openbao.root_token]
    assert not [secret for secret in secrets for text in stage.printed if secret in text]


def test_the_faces(bench: Bench) -> None:
    """Text has a line per check and the remedy below; -q shows problems only; an unknown key is wrong usage."""
    stage = bench.stage
    text = stage.run("doctor").stdout
    assert "  ok    the token may list API keys (genai:read): 3 of them\n" in text
    assert "  skip  genai:update, which a rotation needs, cannot be tried without a change\n" in text
    assert text.endswith("\nEverything that was examined is in order.\n")
    assert stage.run("doctor", "-q").stdout == ""
    bench.export("VAULT_TOKEN", "wrong")
    told = stage.run("doctor", "-q", code=5).stdout
    assert told.startswith("target vault\n  fail  the server refuses this token")
    assert "\n        do The token has expired or was revoked: set a new one in VAULT_TOKEN.\n" in told
    assert "did you mean report-bot?" in stage.run("doctor", "report-bat", code=3).stderr


def test_no_credential_leaves_while_the_policy_is_in_doubt(bench: Bench) -> None:
    """A policy that cannot be read, or forbids the manifest, keeps doctor from its targets."""
    for breaks in (broken_policy, outside):
        (bench.stage.folder / "policy.yaml").unlink(missing_ok=True)
        bench.monkeypatch.delenv("KEYTURN_POLICY", raising=False)
        breaks(bench)
        told = bench.doctor()
        assert not [check for check in told["checks"] if check["part"].startswith(("target ", "records"))]
        assert [check["mark"] for check in told["checks"] if check["part"] == "targets"] == ["skip"]


def test_the_policy_in_force_says_what_it_forbids(bench: Bench) -> None:
    """The line names where the rule stands."""
    policy(bench)
    [line] = [check["what"] for check in bench.doctor()["checks"] if check["part"] == "policy"]
    assert re.match(r"policy\.yaml:\d+: owners\.quickstart: in force for quickstart: at most 20 rotations", line)
    assert "it forbids existing, skip, take-over, no-cleaning" in line


def test_without_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder and environment it still says what is first to be done."""
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["doctor"], prog_name="keyturn")
    assert done.exit_code == 5
    assert "`keyturn init` creates a starter" in done.stdout
    assert "Set DIGITALOCEAN_TOKEN" in done.stdout
