"""The action at the root: its steps, line for line, as GitHub's runner would start them."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.blocks import ROOT
from tests.cli.test_examples import Runner
from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Stage

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: dict[str, dict[str, Any]] = {step["name"]: step for step in ACTION["runs"]["steps"] if "name" in step}
README = (ROOT / "examples/github-actions/README.md").read_text()
HOSTILE = '"; touch "$RUNNER_TEMP/pwned"; $(touch "$RUNNER_TEMP/pwned") `touch "$RUNNER_TEMP/pwned"`'


class Machine(Runner):
    """A runner with the action checked out and its environment installed."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.outputs = stage.folder / "outputs"
        self.env |= {"GITHUB_OUTPUT": str(self.outputs), "GITHUB_ENV": str(stage.folder / "environment")}
        installed = self.temp / "keyturn/bin"
        installed.mkdir(parents=True)
        (installed / "keyturn").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m keyturn.cli "$@"\n')
        (installed / "keyturn").chmod(stat.S_IRWXU)

    def use(self, name: str, **inputs: str) -> CompletedProcess[str]:
        """Run one step with inputs; each variable of the step that is an input gets it."""
        given = {key: str(one.get("default", "")) for key, one in ACTION["inputs"].items()} | inputs
        variables = {}
        for variable, expression in STEPS[name].get("env", {}).items():
            meant = re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", expression)
            if meant:
                variables[variable] = given[meant[1]]
        public = {key: value for key, value in self.stage.variables.items() if key != "VAULT_TOKEN"}
        login = {"VAULT_JWT_FILE": str(self.temp / "vault.jwt"), "KEYTURN_VAULT_ROLE": "keyturn", "PULL_REQUEST": "7"}
        token = {"STUB_JWT": self.identity("keyturn"), "SOURCE": str(ROOT)}
        return self.step(STEPS[name]["run"], **public | login | token | variables)

    def exit_code(self) -> str:
        """Return the last output of the action."""
        return self.outputs.read_text().splitlines()[-1]


def test_it_plans_applies_and_tells(stage: Stage) -> None:
    """Each command writes the summary and the output; the plan is commented; the policy's text is heeded."""
    stage.make_keys()
    machine = Machine(stage)
    assert machine.use("Identity token", **{"vault-audience": "https://vault.example.com:8200"}).returncode == 0
    assert "audience=https://vault.example.com:8200" in machine.log.read_text()
    assert (stage.folder / "environment").read_text() == f"VAULT_JWT_FILE={machine.temp}/vault.jwt\n"
    policy = machine.policy("keyturn")

    assert machine.use("Run", command="validate").returncode == 0
    done = machine.use("Run", command="plan", policy=policy)
    assert (done.returncode, machine.exit_code()) == (0, "exit-code=0"), done.stderr
    machine.env["STUB_COMMENTS"] = ""
    assert machine.use("Comment").returncode == 0
    assert "<!-- keyturn plan -->\n### keyturn plan: `quickstart`" in machine.log.read_text()
    assert not any(seen.mutating for seen in stage.sandbox.requests)

    assert machine.use("Run", command="apply", policy=policy, verify="true").returncode == 0
    assert stage.delivered("report") is not None
    assert machine.use("Run", command="status", policy=policy).returncode == 0
    summary = machine.summary.read_text()
    for part in ("### keyturn plan: `quickstart`", "### keyturn: `quickstart`", "### keyturn status\n"):
        assert part in summary
    assert "report-bot" in summary.partition("### keyturn status\n")[2]


def test_a_wrong_input_is_told(stage: Stage) -> None:
    """No such command, an empty policy, no such extra."""
    machine = Machine(stage)
    assert machine.use("Run", command="destroy").returncode == 3
    assert machine.exit_code() == "exit-code=3"
    assert machine.use("Run", command="validate", policy="").returncode == 3
    assert "there is no extra" in machine.use("Install", extras="vault ../../evil").stdout


def test_no_input_reaches_the_shell(stage: Stage) -> None:
    """A hostile value of every input is only text; keyturn itself is not started."""
    machine = Machine(stage)
    (machine.temp / "keyturn/bin/keyturn").write_text("#!/bin/sh\nexit 0\n")
    inputs = dict.fromkeys(ACTION["inputs"], HOSTILE)
    for name in STEPS:
        machine.use(name, **inputs)
    for command in ("validate", "plan", "apply", "status"):
        machine.use("Run", **inputs | {"command": command})
    assert not (machine.temp / "pwned").exists()
    assert len(stage.sandbox.requests) == 0


def test_no_expression_is_in_a_script() -> None:
    """GitHub would paste it there before the shell starts. Actions are named by commit."""
    for step in ACTION["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "run" not in step or step["shell"] == "bash"
        assert "uses" not in step or re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
    text = (ROOT / "action.yml").read_text()
    assert re.findall(r"uses: (?!actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$).*", text, re.MULTILINE) == []


def test_a_checkout_replaces_no_module(tmp_path: Path) -> None:
    """The step that installs runs elsewhere, and Python ignores the directory that it starts in."""
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == "Install"]
    assert step["working-directory"] == "${{ runner.temp }}"
    calls = re.findall(r"python\"? (-\S+)", step["run"])
    assert calls == ["-I", "-I"]
    (tmp_path / "venv.py").write_text("raise SystemExit('of the checkout')")
    assert run([sys.executable, "-I", "-m", "venv", "--help"], cwd=tmp_path).returncode == 0


def test_the_page_has_every_input() -> None:
    """With its default, in the action's order."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| .+ \|$", README.partition("## With the action")[2], re.MULTILINE)
    known = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
    assert [name for name, _ in rows] and sorted(name for name, _ in rows) == sorted(known)  # noqa: PT018
    for name, default in rows:
        assert default.strip("`") == known[name] or default in {"–", "the job's"}, name


def test_it_installs_from_its_own_checkout(tmp_path: Path) -> None:
    """The libraries by the locks, with hashes; then this repository alone, which is done for real."""
    tools = tmp_path / "bin"
    tools.mkdir()
    log = tmp_path / "log"
    fake = tmp_path / "keyturn/bin"
    stub = (
        f'#!/bin/sh\ncase "$*" in "-I -m venv "*) mkdir -p "{fake}"; cp "$0" "{fake}/python";;'
        f' *) echo "$*" >> "{log}";; esac\n'
    )
    (tools / "python").write_text(stub)
    (tools / "python").chmod(stat.S_IRWXU)
    env = bare_environment(RUNNER_TEMP=str(tmp_path), EXTRAS="vault aws", SOURCE=str(ROOT))
    done = run(["bash", "-e", "-c", STEPS["Install"]["run"]], env=env | {"PATH": f"{tools}:/usr/bin:/bin"})
    assert done.returncode == 0, done.stderr
    libraries, itself = log.read_text().splitlines()
    locks = re.findall(r"-r (\S+)", libraries)
    assert [Path(lock).name for lock in locks] == ["build.txt", "runtime-vault.txt", "runtime-aws.txt"]
    assert all(Path(lock).is_file() for lock in locks)
    assert "--require-hashes --only-binary :all:" in libraries
    target = tmp_path / "installed"
    pip = [sys.executable, *itself.split(), "--no-index", "--target", str(target)]
    done = run(pip, env=bare_environment(), cwd=tmp_path, seconds=120)
    assert done.returncode == 0, done.stderr
    assert (target / "keyturn/cli/starter.yaml").is_file()
    assert "vault" in next(target.glob("keyturn-*.dist-info/entry_points.txt")).read_text()
