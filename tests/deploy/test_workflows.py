"""The action, the workflows and the pipeline, as the linters of their hosts see them."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blocks import ROOT
from tests.support.process import run

WORKFLOWS = sorted((ROOT / "examples/github-actions").glob("*.yml"))
PIPELINE = ROOT / "examples/gitlab/keyturn.gitlab-ci.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
USES = """on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@08eba0b27e820071cde6df949e0beb9ba4906955
      - uses: ./
        with: {command: plan, %s: "x"}
"""


def schema(name: str, *files: Path, transform: str = "") -> str:
    """Return what check-jsonschema says of files; empty if they are valid."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", name]
    command += ["--data-transform", transform] if transform else []
    done = run([*command, *files], seconds=60)
    return done.stdout + done.stderr if done.returncode else ""


def lint(linter: Path, *files: Path, cwd: Path = ROOT) -> str:
    """Return what actionlint says of workflows; empty if nothing. No other program is started by it."""
    done = run([linter, "-no-color", "-shellcheck=", "-pyflakes=", *files], cwd=cwd)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def test_the_linter_accepts_every_workflow(workflow_linter: Path) -> None:
    """Expressions, contexts, events, permissions, names of inputs."""
    assert len(WORKFLOWS) == 4
    assert lint(workflow_linter, *WORKFLOWS) == ""


def test_the_linter_catches_what_it_should(workflow_linter: Path, tmp_path: Path) -> None:
    """A context that is not there, and an expression of a stranger in a script."""
    text = WORKFLOWS[0].read_text()
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        text.replace("run: keyturn apply", "run: echo ${{ github.head_ref }} ${{ nonsense.x }} && keyturn apply")
    )
    said = lint(workflow_linter, wrong)
    assert "nonsense" in said
    assert "potentially untrusted" in said


def test_the_linter_accepts_a_use_of_the_action(workflow_linter: Path, tmp_path: Path) -> None:
    """It reads action.yml for that: an input that exists is fine, one that does not is told."""
    (tmp_path / ".git").mkdir()
    folder = tmp_path / ".github/workflows"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "action.yml", tmp_path / "action.yml")
    for name, expected in (("manifest", ""), ("manifests", "manifests")):
        (folder / "use.yml").write_text(USES % name)
        said = lint(workflow_linter, folder / "use.yml", cwd=tmp_path)
        assert (expected in said) if expected else said == "", said


def test_the_schemas_accept_all_of_them() -> None:
    """Those of GitHub's workflows and actions, and of GitLab's pipelines."""
    assert schema("vendor.github-actions", ROOT / "action.yml") == ""
    assert schema("vendor.github-workflows", *WORKFLOWS) == ""
    assert schema("vendor.gitlab-ci", PIPELINE, transform="gitlab-ci") == ""


def test_a_schema_catches_what_it_should(tmp_path: Path) -> None:
    """A step of an action that has no shell."""
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / "action.yml").read_text().replace("      shell: bash\n", "", 1))
    assert "shell" in schema("vendor.github-actions", wrong)


def scripts() -> Iterator[tuple[str, str]]:
    """Yield each shell script of the action, the workflows and the pipeline."""
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    for number, step in enumerate(action["runs"]["steps"]):
        yield f"action.yml-{number}", step.get("run", "")
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            for number, step in enumerate(job["steps"]):
                yield f"{path.name}-{name}-{number}", step.get("run", "")
    for path in (ROOT / "examples/systemd").glob("keyturn-run"):
        yield path.name, path.read_text()


@pytest.mark.parametrize(("place", "script"), [one for one in scripts() if one[1]])
def test_bash_can_parse_it(place: str, script: str) -> None:
    """No quote or bracket is left open."""
    assert run(["bash", "-n", "-c", script]).stderr == ""


def test_the_hook_of_pre_commit_is_one() -> None:
    """It names a script of this distribution, without a file as an argument, and files that are manifests."""
    hook: dict[str, Any]
    [hook] = yaml.safe_load(HOOKS.read_text())
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    for name, wanted in (("keyturn.yaml", True), ("ops/keyturn.yml", True), ("docker-keyturn.yaml", False)):
        assert bool(re.search(hook["files"], name)) is wanted
    program, *words = hook["entry"].split()
    bad = run([sys.executable, "-m", f"{program}.cli", *words, "-f", ROOT / "Makefile"])
    good = run([sys.executable, "-m", f"{program}.cli", *words, "-f", ROOT / "examples/quickstart/keyturn.yaml"])
    assert (bad.returncode, good.returncode) == (3, 0)
