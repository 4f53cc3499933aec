"""The examples for schedulers, run: the pipeline's scripts, the service's start, the arguments of the pod."""

from __future__ import annotations

import ctypes
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.blocks import ROOT
from tests.cli.test_examples import Runner
from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Stage

PIPELINE = ROOT / "examples/gitlab/keyturn.gitlab-ci.yml"
START = ROOT / "examples/systemd/keyturn-run"
POD = ROOT / "examples/kubernetes/cronjob.yaml"
PR_SET_MDWE = 65  # linux/prctl.h: as MemoryDenyWriteExecute= of systemd


class Reference(yaml.SafeLoader):
    """Reads GitLab's `!reference [job, field]` as that list."""


Reference.add_constructor("!reference", lambda loader, node: {"reference": loader.construct_sequence(node)})  # type: ignore[arg-type]


class Pipeline(Runner):
    """GitLab's runner: the lines of before_script and script in one shell that stops at the first failure."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.loaded: dict[str, Any] = yaml.load(PIPELINE.read_text(), Reference)  # noqa: S506 - a SafeLoader
        self.env |= {"TMPDIR": str(self.temp)}

    def lines(self, job: str, field: str) -> list[str]:
        """Return the lines of a field, with those that it extends or refers to."""
        one = self.loaded[job]
        found: list[str] = []
        for line in one.get(field) or self.loaded[one["extends"]].get(field, []):
            found += self.lines(*line["reference"]) if isinstance(line, dict) else [line]
        return found

    def run_job(self, job: str, token: str) -> CompletedProcess[str]:
        """Run a job with what its environment's variables hold."""
        role = self.loaded[job].get("variables", {}).get("KEYTURN_VAULT_ROLE", "")
        public = {name: value for name, value in self.stage.variables.items() if not name.endswith("_TOKEN")}
        if role:
            policy = self.stage.folder / "policy-of-the-environment.yaml"
            policy.write_text(self.policy(role))
            public |= {"KEYTURN_VAULT_ROLE": role, "POLICY_FILE": str(policy), "VAULT_ID_TOKEN": self.identity(role)}
            public["DIGITALOCEAN_TOKEN"] = token
        script = "\n".join([*self.lines(job, "before_script"), *self.lines(job, "script")])
        return self.step(script, **public)


def test_the_pipeline_validates_plans_and_applies(stage: Stage) -> None:
    """With identity tokens and a policy per environment; the plan changes nothing and is an artifact."""
    stage.make_keys()
    machine = Pipeline(stage)
    token = stage.sandbox.token
    assert machine.run_job("keyturn validate", token).returncode == 0
    done = machine.run_job("keyturn plan", token)
    assert done.returncode == 0, done.stderr
    assert "keyturn plan: `quickstart`" in (stage.folder / "plan.md").read_text()
    assert not any(seen.mutating for seen in stage.sandbox.requests)
    done = machine.run_job("keyturn apply", token)
    assert done.returncode == 0, done.stderr
    assert stage.delivered("report") is not None
    assert "--require-hashes --only-binary :all:" in machine.log.read_text()
    left = next(machine.temp.glob("tmp.*/vault.jwt"))
    assert stat.S_IMODE(left.stat().st_mode) == 0o600


def test_the_service_logs_in_by_an_approle(stage: Stage) -> None:
    """Started as systemd starts it: credentials as files, no other variable of a secret, no writable code memory."""
    bao, mount = stage.openbao, f"approle-{stage.prefix}"
    bao.call("POST", f"sys/auth/{mount}", {"type": "approle"})
    bao.policy(f"service-{stage.prefix}", {"secret/*": ["create", "read", "update", "list"]})
    bao.call("POST", f"auth/{mount}/role/keyturn", {"token_policies": [f"service-{stage.prefix}"]})
    role: Any = bao.call("GET", f"auth/{mount}/role/keyturn/role-id")["data"]
    secret: Any = bao.call("POST", f"auth/{mount}/role/keyturn/secret-id", {})["data"]
    stage.edit("    mount: secret\n", f"    mount: secret\n    auth: {{method: approle, mount: {mount}}}\n")
    stage.make_keys()

    credentials = stage.folder / "credentials"
    credentials.mkdir()
    held = {"DIGITALOCEAN_TOKEN": stage.sandbox.token, "VAULT_ROLE_ID": role["role_id"]}
    for name, value in {**held, "VAULT_SECRET_ID": secret["secret_id"]}.items():
        (credentials / name).write_text(f"{value}\n")
    program = stage.folder / "keyturn"
    strict = f"import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0); "
    strict += 'os.execv(sys.executable, [sys.executable, "-m", "keyturn.cli", *sys.argv[1:]])'
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c \'{strict}\' "$@"\n')
    program.chmod(stat.S_IRWXU)
    public = {name: value for name, value in stage.variables.items() if not name.endswith("_TOKEN")}
    env = bare_environment(
        CREDENTIALS_DIRECTORY=str(credentials),
        KEYTURN=str(program),
        VAULT_AUTH_MOUNT=mount,
        XDG_RUNTIME_DIR=str(stage.folder),
        **public,
    )
    [start] = re.findall(r"^ExecStart=\S+ (.*)$", (START.parent / "keyturn.service").read_text(), re.MULTILINE)
    done = run(["sh", START, *start.split()], env=env, cwd=stage.folder, seconds=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert stage.delivered("report") is not None


def test_this_kernel_denies_writable_code() -> None:
    """So that the test above can fail: a mapping that may be written and executed is refused after the call."""
    program = "import ctypes, mmap; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); mmap.mmap(-1, 4096, prot=7)"
    if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) < 0:  # PR_GET_MDWE, since Linux 6.3
        pytest.skip("the kernel is older than 6.3")
    assert "PermissionError" in run([sys.executable, "-c", program]).stderr


def test_the_arguments_of_the_pod_work(stage: Stage, tmp_path: Path) -> None:
    """With the files of the ConfigMap, and nothing written outside of the folders that the pod may write."""
    spec = yaml.safe_load(POD.read_text())["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    stage.make_keys()
    mounted, runtime = tmp_path / "etc", tmp_path / "run"
    mounted.mkdir()
    runtime.mkdir()
    (mounted / "keyturn.yaml").write_text(stage.manifest.read_text())
    stage.run("policy", "init", "--out", str(mounted / "policy.yaml"))
    places = {"/etc/keyturn": str(mounted), "/run/keyturn": str(runtime)}

    def here(text: str) -> str:
        for inside, outside in places.items():
            text = text.replace(inside, outside)
        return text

    named = {one["name"]: here(one.get("value", "")) for one in container["env"]}
    assert named.keys() == {"VAULT_ADDR", "VAULT_JWT_FILE", "KEYTURN_POLICY", "XDG_RUNTIME_DIR", "DIGITALOCEAN_TOKEN"}
    env = bare_environment(**named | stage.variables)
    words = [here(word) for word in container["args"]]
    before = sorted(path.name for path in stage.folder.iterdir())
    done = run([sys.executable, "-m", "keyturn.cli", *words], env=env, cwd=stage.folder, seconds=120)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert stage.delivered("report") is not None
    assert sorted(path.name for path in stage.folder.iterdir()) == before
