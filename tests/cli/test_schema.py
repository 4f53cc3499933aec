"""`keyturn schema`, and the schema of manifests in the most used checker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from click.testing import CliRunner

from keyturn.cli import main
from keyturn.cli.schema import KINDS, schema_text
from tests.support.process import bare_environment, run

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/keyturn.yaml"))


def test_without_a_kind_it_lists_them() -> None:
    """Each with where it comes from; a wrong one gets the nearest."""
    listed = CliRunner().invoke(main, ["schema"], prog_name="keyturn")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(KINDS)
    assert listed.stdout.startswith("manifest     a manifest: keys, targets, rotation\n")
    wrong = CliRunner().invoke(main, ["schema", "manifst"], prog_name="keyturn")
    assert wrong.exit_code == 3
    assert "did you mean manifest?" in wrong.stderr
    assert "\\t" not in wrong.stderr


def test_check_jsonschema_accepts_it(tmp_path: Path) -> None:
    """With the manifests of the examples; a misspelt field is told."""
    file = tmp_path / "schema.json"
    file.write_text(schema_text("manifest"))
    check: list[str | Path] = [sys.executable, "-m", "check_jsonschema", "--schemafile", file]
    done = run([*check, *EXAMPLES], env=bare_environment())
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(yaml.safe_load(EXAMPLES[0].read_text()) | {"key": {}}))
    assert "'key' was unexpected" in run([*check, wrong], env=bare_environment()).stdout
    assert json.loads(file.read_text())["title"] == "keyturn"
