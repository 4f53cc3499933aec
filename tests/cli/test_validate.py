"""`keyturn validate`: needs no environment, and in json is one document, also when it finds mistakes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema

from keyturn.cli.schema import schema_text
from tests.support.process import bare_environment, run

KEYTURN = (sys.executable, "-m", "keyturn.cli")


def validated(folder: Path, *args: str, code: int, **variables: str) -> Any:  # noqa: ANN401 - a JSON value
    """Validate in an environment with these variables only, and return the document."""
    done = run([*KEYTURN, "validate", "--format", "json", *args], env=bare_environment(**variables), cwd=folder)
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)
    jsonschema.validate(found, json.loads(schema_text("validation")))
    assert found["exit_code"] == code
    return found


def test_without_an_environment(tmp_path: Path) -> None:
    """What is missing in the environment is told beside, with the exit code 0, and goes with the variable."""
    run([*KEYTURN, "init"], env=bare_environment(), cwd=tmp_path)
    found = validated(tmp_path, code=0)
    assert found["manifests"] == [{"owner": "platform-keys", "keys": 1, "targets": 1}]
    [unsure] = found["unsure"]
    assert (unsure["line"], unsure["path"]) == (10, "targets.vault.address")
    assert validated(tmp_path, code=0, VAULT_ADDR="http://127.0.0.1:8200")["unsure"] == []


def test_mistakes_and_violations(tmp_path: Path) -> None:
    """Each with its place; the exit code is 3 for the manifest, 4 for the policy."""
    assert validated(tmp_path, code=3)["mistakes"][0]["text"].startswith("there is no such file")
    run([*KEYTURN, "init"], env=bare_environment(), cwd=tmp_path)
    run([*KEYTURN, "policy", "init", "--out", "policy.yaml"], env=bare_environment(), cwd=tmp_path)
    assert validated(tmp_path, "--policy", "policy.yaml", code=0)["violations"] == []
    text = (tmp_path / "keyturn.yaml").read_text()
    (tmp_path / "keyturn.yaml").write_text(text.replace("field: MODEL_ACCESS_KEY", "field: OTHER"))
    [violation] = validated(tmp_path, "--policy", "policy.yaml", code=4)["violations"]
    assert violation["path"] == "keys.checkout-bot.deliver[0]"
    (tmp_path / "keyturn.yaml").write_text(text.replace("mount:", "mounth:"))
    [mistake] = validated(tmp_path, code=3)["mistakes"]
    assert "did you mean mount?" in mistake["text"]
