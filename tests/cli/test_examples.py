"""Every example is run: the commands of the workflows, line for line, against the sandbox and OpenBao."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Stage

WORKFLOWS = Path(__file__).parent.parent.parent / "examples/github-actions"
STUB = (
    '#!/bin/sh\necho "$0 $*" >> "$STUB_LOG"\nfor word; do [ -f "$word" ] && cat "$word" >> "$STUB_LOG"; done; exit 0\n'
)


class Runner:
    """A CI machine: bash, keyturn, and stubs that note what they are asked instead of installing or commenting."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.log = stage.folder / "stub.log"
        self.summary = stage.folder / "summary.md"
        tools = stage.folder / "bin"
        tools.mkdir()
        for name in ("pip", "gh"):
            (tools / name).write_text(STUB)
            (tools / name).chmod(stat.S_IRWXU)
        (tools / "keyturn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m keyturn.cli "$@"\n')
        (tools / "keyturn").chmod(stat.S_IRWXU)
        self.env = bare_environment(
            PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
            STUB_LOG=str(self.log),
            GITHUB_STEP_SUMMARY=str(self.summary),
        )

    def step(self, script: str, **variables: str) -> CompletedProcess[str]:
        """Run one step as the real runner does: `bash -e`, in the folder of the checkout."""
        done = run(["bash", "-e", "-c", script], env=self.env | variables, cwd=self.stage.folder)
        self.stage.printed += [done.stdout, done.stderr]
        return done

    def job(self, file: str, job: str, **secrets: str) -> dict[str, CompletedProcess[str]]:
        """Run all steps of a job; `secrets` are what its expressions in `env:` come to."""
        public = {name: value for name, value in self.stage.variables.items() if not name.endswith("_TOKEN")}
        done = {}
        for step in workflow(file)["jobs"][job]["steps"]:
            if "run" in step:
                given = {name: secrets[name] for name in step.get("env", {})}
                done[step["name"]] = self.step(step["run"], **public, **given)
        return done


def workflow(file: str) -> dict[str, Any]:
    """Return a workflow as GitHub reads it."""
    loaded: dict[str, Any] = yaml.safe_load((WORKFLOWS / file).read_text())
    return loaded


@pytest.fixture
def secrets(stage: Stage) -> dict[str, str]:
    """What the environments of the repository hold."""
    names = {"DIGITALOCEAN_TOKEN", "VAULT_TOKEN"}
    return {name: value for name, value in stage.variables.items() if name in names}


def test_a_pull_request_gets_its_plan_as_a_comment(stage: Stage, secrets: dict[str, str]) -> None:
    """The comment is the plan's table; nothing was changed."""
    stage.make_keys()
    machine = Runner(stage)
    done = machine.job("plan.yml", "plan", **secrets, GH_TOKEN="unused", PULL_REQUEST="7")
    assert {name: answer.returncode for name, answer in done.items()} == {"Install": 0, "Plan": 0}
    log = machine.log.read_text()
    assert "gh pr comment 7 --body-file plan.md --edit-last --create-if-none\n### keyturn plan: `quickstart`" in log
    assert not any(seen.mutating for seen in stage.sandbox.requests)


def test_a_fork_is_validated_without_credentials(stage: Stage) -> None:
    """The job for forks names no secret, reaches no server, and tells a mistake."""
    machine = Runner(stage)
    done = machine.job("plan.yml", "validate")
    assert done["Validate"].returncode == 0
    assert "secrets." not in str(workflow("plan.yml")["jobs"]["validate"])
    stage.edit("strategy: in-place", "strategy: sideways")
    assert machine.job("plan.yml", "validate")["Validate"].returncode == 3
    assert len(stage.sandbox.requests) == 0


def test_a_merge_is_applied_and_the_night_keeps_it_so(stage: Stage, secrets: dict[str, str]) -> None:
    """The merge delivers; the night finds every secret accepted; a delete needs its number."""
    stage.make_keys()
    machine = Runner(stage)
    assert machine.job("apply.yml", "apply", **secrets, ALLOW_DELETE="0")["Apply"].returncode == 0
    assert stage.delivered("report") is not None
    night = machine.job("nightly.yml", "apply", **secrets)
    assert {answer.returncode for answer in night.values()} == {0}
    assert machine.summary.read_text().count("### keyturn: `quickstart`") == 2
    stage.edit("    name: report-bot\n", "    state: absent\n")
    assert machine.job("apply.yml", "apply", **secrets, ALLOW_DELETE="0")["Apply"].returncode == 4
    assert machine.job("apply.yml", "apply", **secrets, ALLOW_DELETE="1")["Apply"].returncode == 0
    assert stage.delivered("report") is None


@pytest.mark.parametrize("file", ["plan.yml", "apply.yml", "nightly.yml"])
def test_workflows_are_safe(file: str) -> None:
    """No expression stands in a script, jobs may only read the repository, and a run that writes is never cancelled."""
    loaded = workflow(file)
    assert loaded["permissions"] == {"contents": "read"}
    for job in loaded["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
    if file != "plan.yml":
        assert loaded["concurrency"] == {"group": "keyturn", "cancel-in-progress": False}
    else:
        assert "head.repo.full_name == github.repository" in loaded["jobs"]["plan"]["if"]


def test_the_readme_names_every_workflow() -> None:
    """No file is forgotten in the table."""
    named = re.findall(r"\]\((\w+\.yml)\)", (WORKFLOWS / "README.md").read_text())
    assert sorted(named) == sorted(path.name for path in WORKFLOWS.glob("*.yml"))
