"""`keyturn init`: what it writes is valid at once, from nothing and from an account."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from keyturn.cli.schema import schema_text
from keyturn.sandbox import Sandbox
from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

KEYTURN = (sys.executable, "-m", "keyturn.cli")
NAMES = ("checkout", "report bot", "twin", "twin", "#hash: {a}", "spare-1", "line\nbreak")


def test_the_schema_that_the_first_line_names_is_there(tmp_path: Path) -> None:
    """In an environment without variables: the manifest is valid for keyturn and for its schema."""
    env = bare_environment()
    assert run([*KEYTURN, "init"], env=env, cwd=tmp_path).returncode == 0
    text = (tmp_path / "keyturn.yaml").read_text()
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert found
    schema = json.loads((tmp_path / found[1]).read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(text))
    assert run([*KEYTURN, "validate", "-f", "."], env=env, cwd=tmp_path).returncode == 0


def test_from_zero_to_a_plan_with_the_vault_of_the_environment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is edited or exported in between; a namespace of the environment is written too."""
    monkeypatch.delenv("KEYTURN_VAULT")
    stage.run("init", "-f", "new.yaml")
    assert stage.run("validate", "-f", "new.yaml").stderr == ""
    [key] = stage.json("plan", "-f", "new.yaml", code=None)["runs"][0]["plans"]
    assert key["key"] == "checkout-bot"
    monkeypatch.setenv("VAULT_NAMESPACE", "team/a/")
    stage.run("init", "-f", "there.yaml")
    vault = yaml.safe_load((stage.folder / "there.yaml").read_text())["targets"]["vault"]
    assert vault == {"type": "vault", "address": stage.openbao.address, "namespace": "team/a", "mount": "secret"}
    assert stage.run("validate", "-f", "there.yaml").stderr == ""


def test_nothing_is_overwritten(stage: Stage) -> None:
    """Neither a manifest nor the schema; a second manifest uses the schema that is there."""
    before = stage.manifest.read_text()
    assert "already exists" in stage.run("init", code=3).stderr
    assert stage.manifest.read_text() == before
    (stage.folder / "keyturn.schema.json").write_text("{}")
    assert "which was there already" in stage.run("init", "-f", "two.yaml").stderr
    assert (stage.folder / "keyturn.schema.json").read_text() == "{}"


def test_where_it_may_not_write(stage: Stage) -> None:
    """It says what to type, and that works."""
    told = stage.run("init", "-f", "not/there/keyturn.yaml", code=3).stderr
    found = re.search(r"mkdir -p (\S+)\.\n", told)
    assert found
    Path(found[1]).mkdir(parents=True)
    stage.run("init", "-f", "not/there/keyturn.yaml")
    assert "Name another file" in stage.run("init", "-f", "keyturn.yaml/x.yaml", code=3).stderr
    assert stage.run("init", "--records", ".", code=3).stderr.endswith("--records belongs to --from-account\n")


def test_an_account_becomes_a_manifest(stage: Stage) -> None:
    """Each API key has its entry; nothing filled in, the plan adopts each once its secret is where the draft says."""
    stage.make_keys(*NAMES)
    told = stage.run("init", "--from-account", "-f", "account/keyturn.yaml", code=3).stderr
    assert "mkdir -p account" in told
    (stage.folder / "account").mkdir()
    args = ("-f", "account/keyturn.yaml")
    assert "Wrote 6 entries; 1 API key is left out." in stage.run("init", "--from-account", *args).stderr
    assert stage.run("validate", *args).stdout == "my-keys: 6 keys, 1 target. OK.\n"
    assert not [seen for seen in stage.sandbox.requests if seen.mutating]
    codes = {key["key"]: key["end"]["code"] for key in stage.json("plan", *args, code=4)["runs"][0]["plans"]}
    usual = {"checkout", "report-bot", "twin", "hash-a"}
    assert codes == dict.fromkeys(usual, "no-present-secret") | dict.fromkeys(("twin-2", "line-break"), "not-confirmed")
    other = (stage.folder / "account/keyturn.yaml").read_text().replace("secret: existing", "secret: regenerate")
    (stage.folder / "other.yaml").write_text(other)
    assert stage.run("plan", "-f", "other.yaml", code=4).stdout.count("its present secret dies") == len(usual)
    document = yaml.safe_load((stage.folder / "account/keyturn.yaml").read_text())
    uuids = [entry["adopt"]["a"] for entry in document["keys"].values()]
    for entry in document["keys"].values():
        [place] = entry["deliver"]
        secret = stage.sandbox.state.keys[entry["adopt"]["a"]].secret
        stage.openbao.call("POST", f"secret/data/{place['path']}", {"data": {place["field"]: secret}})
    try:
        plans = {plan["key"]: plan for plan in stage.json("plan", *args, code=4)["runs"][0]["plans"]}
        assert all(plans[key]["changes"][0]["change"] == "adopt" for key in usual)
        stage.run("adopt", "line-break", *args, "--yes")
        assert "line-break" in {key.name for key in stage.sandbox.state.live_keys("sandbox")}
    finally:
        for entry in document["keys"].values():
            stage.openbao.call("DELETE", f"secret/metadata/{entry['deliver'][0]['path']}")
        for record in (*(f"keys/{key}" for key in document["keys"]), *(f"slots/{key}" for key in uuids)):
            stage.openbao.call("DELETE", f"secret/metadata/keyturn/{record}")


def test_owned_keys_are_left_out(stage: Stage) -> None:
    """Those that the records of another manifest own, each with a comment."""
    stage.make_keys("report-bot", "new-bot")
    stage.run("apply", "report-bot", "--yes")
    told = stage.run("init", "--from-account", "--records", "keyturn.yaml", "-f", "rest.yaml").stderr
    assert "Wrote 1 entry; 1 API key is left out." in told
    text = (stage.folder / "rest.yaml").read_text()
    assert list(yaml.safe_load(text)["keys"]) == ["new-bot"]
    assert re.search(r"# Left out: report-bot \([0-9a-f-]{36}\) belongs to the key report-bot of quickstart\n", text)


def test_without_a_token(tmp_path: Path) -> None:
    """It says which token it needs, and writes nothing."""
    done = run([*KEYTURN, "init", "--from-account"], env=bare_environment(), cwd=tmp_path)
    assert done.returncode == 5
    assert "Set DIGITALOCEAN_TOKEN" in done.stderr
    assert not list(tmp_path.iterdir())


def test_in_a_bare_environment_the_draft_is_valid(tmp_path: Path) -> None:
    """Only the token is there; validate then runs without any variable."""
    with Sandbox() as sandbox:
        sandbox.panel_create("bot")
        env = bare_environment(**sandbox.exports)
        assert run([*KEYTURN, "init", "--from-account"], env=env, cwd=tmp_path).returncode == 0
    done = run([*KEYTURN, "validate"], env=bare_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    schema = json.loads(schema_text("manifest"))
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load((tmp_path / "keyturn.yaml").read_text()))
