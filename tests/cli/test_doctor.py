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


@pytest.mark.parametrize("given", ["", "deliveries", "records"])
def test_all_missing_policy_lines_are_named_at_once(bench: Bench, given: str) -> None:
    """A login without rights, or without those of one half, gets the smallest policy as printed; then all is good."""
    openbao, name = bench.stage.openbao, bench.stage.prefix
    data = ["create", "read", "update"]
    smallest = {
        "deliveries": {f"secret/data/{name}/checkout": data, f"secret/data/{name}/report": data},
        "records": {
            f"secret/data/{name}/records/*": data,
            f"secret/metadata/{name}/records/*": ["list"],
            "secret/config": ["read"],
        },
    }
    rules = smallest.get(given, {"none": ["deny"]})
    openbao.policy(name, rules)
    bench.export("VAULT_TOKEN", openbao.token(name))
    told = bench.doctor()
    lines = [
        (path, json.loads(words))
        for check in _troubles(told)
        for path, words in re.findall(
            r'^path "([^"]+)" { capabilities = (\[[^\]]*\]) }$', check["remedy"], re.MULTILINE
        )
    ]
    missing = [line for part, found in smallest.items() if part != given for line in found.items()]
    assert lines == missing
    openbao.policy(name, rules | dict(lines))
    assert _troubles(bench.doctor()) == []
    bench.stage.run("doctor", "report-bot", code=0)


def test_a_wrong_clock_is_one_problem(bench: Bench) -> None:
    """The account's part tells it, and each key does not tell it again."""
    bench.apply()
    bench.stage.sandbox.advance(3600)
    told = bench.doctor()
    [only] = _troubles(told)
    assert "60 min behind the API's" in only["what"]
    assert [check["what"] for check in told["checks"] if "until the clock is right" in check["what"]]


def test_a_policy_that_is_not_there_has_one_remedy(bench: Bench) -> None:
    """What to do is said once, and not that a missing file be corrected."""
    bench.export("KEYTURN_POLICY", "nope.yaml")
    [only] = _troubles(bench.doctor())
    assert only["what"] == "nope.yaml: there is no such policy"
    assert only["remedy"] == "`keyturn policy init --out FILE` writes one"


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


def test_programs_that_cannot_be_started(bench: Bench) -> None:
    """A hook or a receiver whose program is missing is told before the old secret is dead for it."""
    stage = bench.stage
    gone, plain, script, good = (stage.folder / name for name in ("gone", "plain", "script", "good"))
    for file, text, mode in ((plain, "", 0o644), (script, "#!/no/such/python\n", 0o755), (good, "#!/bin/sh\n", 0o755)):
        file.write_text(text)
        file.chmod(mode)
    stage.edit("\nkeys:\n", f"\nnotify:\n  - {{type: command, command: [{script}, x]}}\n\nkeys:\n")
    stage.edit("    name: checkout-bot #", f"    after_delivery: {{command: [{gone}, x]}}\n    name: checkout-bot #")
    stage.edit("    name: report-bot\n", f"    after_delivery: {{command: [{plain}]}}\n    name: report-bot\n")
    bench.export("KEYTURN_ALLOWED_COMMANDS", ":".join(map(str, (gone, plain, script, good))))
    told = _troubles(bench.doctor())
    assert [check["what"] for check in told] == [
        f"after_delivery of checkout-bot: {gone} cannot be started: No such file or directory",
        f"after_delivery of report-bot: {plain} cannot be started: this user may not execute it",
        f"notify.command: {script} cannot be started: its interpreter /no/such/python cannot be executed",
    ]
    assert {check["exit_code"] for check in told} == {1}
    assert all("Install" in check["remedy"] for check in told)
    for file in (gone, plain, script):
        stage.edit(str(file), str(good))
    [check] = [check for check in bench.doctor()["checks"] if check["part"] == "programs"]
    assert check["mark"] == "ok"
    assert str(good) in check["what"]
