"""Every command against a real sandbox and a real OpenBao: what it prints, what it does, how it exits."""

from __future__ import annotations

import getpass
import json
import re
from typing import TYPE_CHECKING

import jsonschema
import pytest

from keyturn.cli import COMMANDS
from keyturn.cli.schema import KINDS, schema_text

if TYPE_CHECKING:
    from tests.cli.conftest import Stage


def mutations(stage: Stage) -> int:
    """Count the mutating calls that the sandbox saw."""
    return sum(1 for seen in stage.sandbox.requests if seen.mutating)


def valid(document: object, kind: str) -> None:
    """Check a document against its published schema."""
    jsonschema.validate(document, json.loads(schema_text(kind)))


def test_plan_shows_and_changes_nothing(stage: Stage) -> None:
    """A plan names each change; no mutating call is made, and no consumer sees a difference."""
    stage.make_keys()
    shown = stage.run("plan")
    assert "adopt" in shown.stdout
    assert "Nothing" not in shown.stdout
    assert shown.stderr == ""
    assert mutations(stage) == 0


def test_plan_formats(stage: Stage) -> None:
    """JSON is one valid document, markdown is a table."""
    stage.make_keys()
    document = stage.json("plan", "--verify")
    valid(document, "plan")
    assert [key["key"] for key in document["runs"][0]["plans"]] == ["checkout-bot", "report-bot"]
    assert stage.run("plan", "--format", "markdown").stdout.startswith("### keyturn plan: `quickstart`\n")


def test_detailed_exit_code(stage: Stage) -> None:
    """2 says that there are changes and nothing else; 0 that there are none."""
    stage.make_keys()
    stage.run("plan", "--detailed-exitcode", code=2)
    stage.run("apply", "report-bot", "--yes")
    stage.run("plan", "report-bot", "--detailed-exitcode", code=0)


def test_apply_asks_and_without_a_terminal_does_nothing(stage: Stage) -> None:
    """Exit code 4, the plan on stderr, a valid report on stdout, and not one mutating call."""
    stage.make_keys()
    answer = stage.run("apply", "--format", "json", code=4)
    document = json.loads(answer.stdout)
    valid(document, "report")
    assert {report["end"]["code"] for report in document["runs"][0]["reports"]} == {"not-agreed"}
    assert "--yes" in answer.stderr
    assert mutations(stage) == 0


def test_apply_delivers_and_is_then_quiet(stage: Stage) -> None:
    """The delivered secret is alive; once at rest a second apply asks nobody and sends nothing."""
    stage.make_keys()
    document = stage.json("apply", "report-bot", "--yes")
    valid(document, "report")
    delivered = stage.delivered("report")
    assert delivered is not None
    assert stage.alive(delivered)
    before = mutations(stage)
    quiet = stage.run("apply", "report-bot")
    assert "1 ready" in quiet.stdout
    assert mutations(stage) == before


def test_a_reviewed_plan_is_applied_or_refused(stage: Stage) -> None:
    """What was reviewed is done; the same plan a second time is stale and refused with 4."""
    stage.make_keys()
    stage.run("plan", "report-bot", "--out", "plan.json")
    valid(json.loads((stage.folder / "plan.json").read_text()), "plan")
    stage.run("apply", "--plan", "plan.json", "--yes")
    assert stage.delivered("report") is not None
    stage.run("rotate", "report-bot", "--yes")
    stage.run("apply", "--plan", "plan.json", "--yes", code=4)


def test_a_saved_plan_grants_nothing(stage: Stage) -> None:
    """Consent is said on apply's own command line; a plan made with more is refused with 3."""
    stage.make_keys()
    stage.run("plan", "--allow-delete", "2", "--take-over", "--out", "plan.json")
    answer = stage.run("apply", "--plan", "plan.json", "--yes", code=3)
    assert "--allow-delete 2 --take-over" in answer.stderr
    stage.run("apply", "report-bot", "--plan", "plan.json", code=3)
    assert mutations(stage) == 0


def test_rotate_makes_a_new_secret(stage: Stage) -> None:
    """The old secret of an in-place key is dead, the delivered one alive; the history says why."""
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    old = stage.delivered("report")
    valid(stage.json("rotate", "report-bot", "--reason", "left the team", "--yes"), "report")
    new = stage.delivered("report")
    assert old is not None
    assert new is not None
    assert (stage.alive(old), stage.alive(new)) == (False, True)
    assert "generation 2" in stage.run("history", "report-bot").stdout


def test_rotate_compromised_names_the_outage(stage: Stage) -> None:
    """Anyone who is asked has read what it costs, once."""
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    asked = stage.run("rotate", "report-bot", "--compromised", code=4)
    assert asked.stderr.count("that is an outage") == 1
    stage.run("rotate", "report-bot", "--compromised", "--yes")


def test_adopt_keeps_a_secret_from_standard_input(stage: Stage) -> None:
    """The present secret is proven and delivered; nothing is minted."""
    made = stage.sandbox.panel_create("report-bot")
    stage.edit("    name: report-bot\n    adopt: {secret: regenerate}\n", "    name: report-bot\n")
    stage.run("adopt", "report-bot", "--yes", code=3)
    stage.run("adopt", "report-bot", "--secret", "stdin", "--uuid", made.uuid, "--yes", stdin=f"{made.secret}\n")
    assert stage.delivered("report") == made.secret


def test_adopt_is_for_one_key(stage: Stage) -> None:
    """Several keys of a remedy are no puzzle: it says that each takes a command."""
    told = stage.run("adopt", "report-bot", "checkout-bot", "--secret", "existing", code=3).stderr
    assert "adopt is for one key at a time: run it once for each of report-bot, checkout-bot" in told
    assert "KEY" in stage.run("adopt", code=3).stderr


def test_adopt_refuses_an_empty_secret(stage: Stage) -> None:
    """An empty pipe is a mistake, not a secret."""
    answer = stage.run("adopt", "report-bot", "--secret", "stdin", "--yes", code=3)
    assert "there is no secret on standard input" in answer.stderr


def test_smoke(stage: Stage) -> None:
    """Each delivery is tried; one without a secret is a failure; a secret from standard input needs no key."""
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    document = stage.json("smoke", "report-bot")
    valid(document, "smoke")
    assert document["checked"][0]["result"]["verdict"] == "accepted"
    assert "it holds no secret" in stage.run("smoke", code=1).stdout
    secret = stage.delivered("report") or ""
    assert "stdin" in stage.run("smoke", "--secret", "stdin", stdin=secret).stdout
    assert "accepted" in stage.run("smoke", "report-bot", "--secret", "stdin", stdin=secret).stdout


def test_smoke_blames_the_vault_that_refuses_its_token(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the inference API, which was not asked; the cause and its remedy are said once."""
    stage.make_keys()
    stage.run("apply", "--yes")
    monkeypatch.setenv("VAULT_TOKEN", "wrong")
    told = stage.run("smoke", code=5).stdout
    assert told.count("skipped: it could not be read\n") == 2
    assert told.count("set a new one in VAULT_TOKEN") == 1
    assert "unreachable" not in told
    assert "status page" not in told


def test_smoke_tries_every_format_but_an_account_token(stage: Stage) -> None:
    """Older and newer model access keys are sent and judged; a personal token of the account is not sent anywhere."""
    for secret in ("sk-do-" + "x" * 64, "doo_v1_" + "0" * 64):
        before = len(stage.sandbox.requests)
        document = stage.json("smoke", "--secret", "stdin", code=1, stdin=secret)
        valid(document, "smoke")
        result = document["checked"][0]["result"]
        assert result["verdict"] == "refused"
        assert "HTTP 401" in result["detail"]
        assert any(seen.path == "/v1/models" for seen in stage.sandbox.requests[before:])
    before = len(stage.sandbox.requests)
    answer = stage.run("smoke", "--secret", "stdin", code=3, stdin="dop_v1_" + "0" * 64)
    assert "a token of the account" in answer.stderr
    assert len(stage.sandbox.requests) == before


def test_a_misspelt_model_is_told_with_its_remedy(stage: Stage) -> None:
    """By smoke, status and apply alike, each once; nothing is minted for it."""
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    before = stage.delivered("report")
    stage.edit("model: openai-gpt-oss-20b", "model: openai-gpt-os-20b")
    remedy = "change `smoke.model` or `smoke.expect_models`"
    for command in (["smoke"], ["status", "--verify"], ["apply", "--yes", "--verify"]):
        text = stage.run(*command, "report-bot", code=1).stdout
        assert "lacks openai-gpt-os-20b; near: openai-gpt-oss-20b, openai-gpt-oss-120b" in text
        assert text.count(remedy) == 1
    assert stage.delivered("report") == before


def test_status(stage: Stage) -> None:
    """Every key has a row; `--all` lists what nobody owns."""
    stage.make_keys()
    stage.make_keys("a-stray")
    stage.run("apply", "report-bot", "--yes")
    document = stage.json("status", "--all", "--verify", code=None)
    valid(document, "status")
    assert [key["key"] for key in document["keys"]] == ["checkout-bot", "report-bot"]
    assert {key["name"] for key in document["unowned"]} >= {"a-stray"}
    assert "report-bot" not in {key["name"] for key in document["unowned"]}
    assert "KEY" in stage.run("status", code=None).stdout
    valid(stage.json("history", "report-bot"), "history")


def test_deletes_need_a_number(stage: Stage) -> None:
    """Without `--allow-delete` the brake holds, exit code 4; with it the key and its delivery are gone."""
    stage.make_keys()
    stage.run("apply", "report-bot", "--yes")
    stage.edit("    name: report-bot\n", "    state: absent\n")
    stage.run("apply", "report-bot", "--yes", code=4)
    assert stage.delivered("report") is not None
    stage.run("apply", "report-bot", "--yes", "--allow-delete", "1")
    assert stage.delivered("report") is None


def test_an_unknown_key_gets_a_suggestion(stage: Stage) -> None:
    """Exit code 3 and the nearest id, for every command that takes one."""
    for args in (["plan"], ["apply"], ["rotate"], ["adopt"], ["smoke"], ["status"], ["history"], ["apply", "--unpark"]):
        answer = stage.run(*args, "report-bott", code=3)
        assert "report-bot'?" in answer.stderr, args
    assert stage.sandbox.requests == ()


def test_the_history_of_all_keys_says_who_and_why(stage: Stage) -> None:
    """Which keys were rotated for an incident: one command, in text and in JSON; also of a key without an entry."""
    stage.make_keys()
    stage.run("apply", "report-bot", "checkout-bot", "--yes", code=None)
    stage.run("rotate", "report-bot", "--reason", "INC-42", "--yes")
    lines = stage.run("history", "--all", "--since", "1h").stdout.splitlines()
    (rotated,) = [line for line in lines if "INC-42" in line]
    assert "report-bot" in rotated
    assert rotated.endswith("asked by " + getpass.getuser() + ": INC-42")
    document = stage.json("history", "--all")
    valid(document, "histories")
    causes = [event["cause"] for key in document["keys"] for event in key["events"] if event["cause"]]
    assert "INC-42" in [cause["reason"] for cause in causes]
    stage.edit("  report-bot: #", "  renamed-bot: #")
    assert "INC-42" in stage.run("history", "report-bot").stdout
    assert "name one KEY or more, or say --all" in stage.run("history", code=3).stderr
    assert "must be a duration" in stage.run("history", "--all", "--since", "soon", code=3).stderr


def test_a_plan_explains_its_decisions(stage: Stage) -> None:
    """Each with its sentence, the policies asked in their order, and the one that decided."""
    stage.make_keys()
    text = stage.run("plan", "--explain", "report-bot", code=None).stdout
    assert text.startswith("report-bot\n  1. ")
    assert "asked: chain.decided → move.moved_away → ownership.team → ownership.owner → " in text
    document = stage.json("plan", "--explain", "report-bot", code=None)
    valid(document, "explanation")
    last = document["keys"][0]["decisions"][-1]
    assert (last["kind"], last["asked"][0]) == ("End", "chain.decided")
    assert "--explain needs a KEY" in stage.run("plan", "--explain", code=3).stderr


def test_a_key_without_history(stage: Stage) -> None:
    """No record is no crash."""
    assert "no history yet" in stage.run("history", "report-bot", code=1).stderr


def test_validate_tells_every_mistake_with_its_place(stage: Stage) -> None:
    """Each line starts with file, line and column, the form that editors follow."""
    assert stage.run("validate").stdout == "quickstart: 2 keys, 1 target. OK.\n"
    stage.edit("strategy: in-place", "strategy: in-plaice")
    stage.edit("model: llama3.3-70b-instruct", "modell: llama3.3-70b-instruct")
    answer = stage.run("validate", code=3)
    assert [line.split(":")[0] for line in answer.stderr.splitlines()].count("keyturn.yaml") >= 2


def test_a_directory_means_all_its_manifests(stage: Stage) -> None:
    """Both manifests are planned; a key is found in whichever has it."""
    stage.make_keys()
    text = stage.manifest.read_text()
    second = text.replace("name: quickstart", "name: second").replace("checkout-bot", "other").replace("report", "more")
    (stage.folder / "second.yaml").write_text(second.replace("checkout", "other"))
    document = stage.json("plan", "-f", ".", code=None)
    assert [run["owner"] for run in document["runs"]] == ["quickstart", "second"]
    assert [run["owner"] for run in stage.json("plan", "-f", ".", "report-bot")["runs"]] == ["quickstart"]


def test_no_manifest(stage: Stage) -> None:
    """Exit code 3, and how to get one."""
    stage.manifest.unlink()
    assert "keyturn init" in stage.run("plan", code=3).stderr


def test_init_writes_a_valid_manifest_once(stage: Stage) -> None:
    """The starter is valid as it is, and nothing is overwritten."""
    stage.run("init", code=3)
    stage.run("init", "-f", "new.yaml")
    stage.run("validate", "-f", "new.yaml")
    stage.run("init", "-f", "missing/new.yaml", code=3)


def test_no_token_is_5(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing login has an exit code of its own."""
    monkeypatch.delenv("DIGITALOCEAN_TOKEN")
    assert "DIGITALOCEAN_TOKEN" in stage.run("plan", code=5).stderr


def test_targets_lists_what_is_installed(stage: Stage) -> None:
    """Each kind has what it can do, and its settings."""
    listed = stage.run("targets").stdout
    assert "vault: compare-and-set, versions, records\n" in listed
    assert "  address" in listed


@pytest.mark.parametrize("kind", KINDS)
def test_schema(stage: Stage, kind: str) -> None:
    """Each schema is one JSON document, valid as a schema."""
    jsonschema.Draft202012Validator.check_schema(json.loads(stage.run("schema", kind).stdout))


QUIET = {
    "init": ["-f", "new.yaml"],
    "policy": ["init", "--out", "policy.yaml"],
    "validate": [],
    "plan": ["report-bot"],
    "apply": ["report-bot", "--yes"],
    "rotate": ["--only", "refused", "--yes"],
    "adopt": ["report-bot", "--yes"],
    "forget": None,
    "smoke": [],
    "status": [],
    "schedule": [],
    "run": None,
    "operator": None,
    "history": ["report-bot"],
    "doctor": [],
    "sign": [],
    "targets": [],
    "sandbox": None,
    "schema": ["plan"],
    "completion": ["bash"],
    "demo": None,
}
"""The commands as they are called at rest; those without arguments change something, or run until they are stopped."""
FILES = {"schema", "completion"}
"""They print a file: `-q` leaves it whole."""


def test_quiet_is_silent_at_rest_for_every_command(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says what needs someone as soon as there is something; JSON stays whole."""
    assert set(QUIET) == set(COMMANDS), "decide what -q means for a new command"
    monkeypatch.setenv("KEYTURN_RECORD_KEY", "1a" * 32)
    stage.make_keys()
    stage.run("apply", "--yes", code=None)
    for name, args in QUIET.items():
        if args is not None:
            answer = stage.run(name, *args, "-q")
            assert bool(answer.stdout) == (name in FILES), (name, answer.stdout)
            assert answer.stderr == "", name
    assert stage.json("history", "report-bot", "-q")["events"]
    assert stage.json("schedule", "-q")["coming"]
    assert stage.run("history", "--all", "-q").stdout == ""
    stage.openbao.call("POST", f"secret/data/{stage.prefix}/report", {"data": {"MODEL_ACCESS_KEY": "oops"}})
    told = stage.run("status", "--verify", "-q", code=1).stdout
    assert "1 key: 1 drifted; 1 key of other conditions not shown" in told
    assert "checkout-bot" not in told


def test_the_plan_and_the_apply_say_by_whom_a_key_is_rotated(stage: Stage) -> None:
    """In the same words."""
    stage.make_keys()
    whose = re.compile(r"asked by [\w-]+")
    planned = whose.findall(stage.run("plan", "report-bot").stdout)
    assert planned == [f"asked by {getpass.getuser()}"]
    assert whose.findall(stage.run("status", "report-bot", code=None).stdout) == planned
    assert set(whose.findall(stage.run("apply", "report-bot", "--yes").stderr)) == set(planned)


def test_quiet_and_verbose(stage: Stage) -> None:
    """`-q` leaves only what needs someone, at rest nothing; `-v` and `-vv` add log records to stderr."""
    stage.make_keys()
    first = stage.run("apply", "report-bot", "--yes", "-q")
    assert "report-bot  adopted (slot a); rotated to generation 1 on slot a; delivered to 1 place; " in first.stdout
    assert first.stderr == ""
    for command in (["plan"], ["apply", "--yes"], ["apply", "--yes", "--verify"]):
        quiet = stage.run(*command, "report-bot", "-q")
        assert (quiet.stdout, quiet.stderr) == ("", "")
    loud = stage.run("plan", "report-bot", "-vv")
    assert "Nothing to do for 1 key." in loud.stdout
    assert "httpx" in loud.stderr
