"""Every example is run: the commands of the workflows, line for line, against the sandbox and OpenBao."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Stage

WORKFLOWS = Path(__file__).parent.parent.parent / "examples/github-actions"
FILES = ("plan.yml", "apply.yml", "nightly.yml")
NOTE = '#!/bin/sh\necho "${0##*/} $*" >> "$STUB_LOG"\n'
STUBS = {
    "pip": NOTE,
    "gh": NOTE + 'for word; do file=${word#body=@}; [ -f "$file" ] && cat "$file" >> "$STUB_LOG"; done\n'
    'case "$*" in *--paginate*) printf "%s" "$STUB_COMMENTS";; esac\n',
    "curl": NOTE + 'printf \'{"value": "%s"}\' "$STUB_JWT"\n',
    "jq": f'#!/bin/sh\nexec "{sys.executable}" -c \'import json, sys; print(json.load(sys.stdin)["value"])\'\n',
    "keyturn": f'#!/bin/sh\nexec "{sys.executable}" -m keyturn.cli "$@"\n',
}


class Runner:
    """A CI machine: bash, keyturn, and stubs that note what they are asked instead of installing or commenting.

    The forge's identity tokens are signed by a key of ours, and the OpenBao trusts them as the README says.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.log = stage.folder / "stub.log"
        self.summary = stage.folder / "summary.md"
        self.temp = stage.folder / "temp"
        self.temp.mkdir()
        tools = stage.folder / "bin"
        tools.mkdir()
        for name, script in STUBS.items():
            (tools / name).write_text(script)
            (tools / name).chmod(stat.S_IRWXU)
        self.env = bare_environment(
            PATH=f"{tools}{os.pathsep}{os.environ['PATH']}",
            STUB_LOG=str(self.log),
            GITHUB_STEP_SUMMARY=str(self.summary),
            GITHUB_REPOSITORY="acme/keys",
            RUNNER_TEMP=str(self.temp),
            VAULT_AUTH_MOUNT=f"jwt-{stage.prefix}",
            ACTIONS_ID_TOKEN_REQUEST_TOKEN="request-token",
            ACTIONS_ID_TOKEN_REQUEST_URL="https://forge.example/token?v=2",
        )
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._trust()

    def _trust(self) -> None:
        """Set up the login, and the manifest's use of it: one role for each environment."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        bao, mount = self.stage.openbao, f"jwt-{self.stage.prefix}"
        bao.call("POST", f"sys/auth/{mount}", {"type": "jwt"})
        bao.call("POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
        both = {"keyturn-plan": ["read", "list"], "keyturn": ["create", "read", "update", "list"]}
        for role, may in both.items():
            policy = f"{role}-{self.stage.prefix}"
            bao.policy(policy, {"secret/*": may})
            bao.call(
                "POST",
                f"auth/{mount}/role/{role}",
                {
                    "role_type": "jwt",
                    "user_claim": "sub",
                    "bound_audiences": [self.stage.openbao.address],
                    "bound_claims": {"repository": "acme/keys", "environment": role},
                    "token_policies": [policy],
                    "token_no_default_policy": True,
                },
            )
        role = 'role: "${KEYTURN_VAULT_ROLE}"'
        self.stage.edit(
            "    mount: secret\n", f"    mount: secret\n    auth: {{method: jwt, mount: {mount}, {role}}}\n"
        )

    def identity(self, environment: str) -> str:
        """Sign what the forge says of a job."""
        now = int(time.time())
        claims = {"sub": f"repo:acme/keys:environment:{environment}", "repository": "acme/keys", "iat": now}
        claims |= {"environment": environment, "aud": self.stage.openbao.address, "exp": now + 300}
        return jwt.encode(claims, self._key, algorithm="RS256")

    def policy(self, role: str) -> str:
        """Return what an operator put into the variable of an environment: drafted once, with one delete allowed."""
        draft = self.stage.folder / f"policy-{role}.yaml"
        if role and not draft.exists():
            public = {"KEYTURN_VAULT": self.stage.openbao.address, "KEYTURN_VAULT_ROLE": role}
            assert self.step(f'keyturn policy init --out "{draft}"', **public).returncode == 0
            draft.write_text(draft.read_text().replace("deletes: 0", "deletes: 1"))
        return draft.read_text() if role else ""

    def step(self, script: str, **variables: str) -> CompletedProcess[str]:
        """Run one step as the real runner does: `bash -e`, in the folder of the checkout."""
        done = run(["bash", "-e", "-c", script], env=self.env | variables, cwd=self.stage.folder)
        self.stage.printed += [done.stdout, done.stderr]
        return done

    def job(self, file: str, job: str, **secrets: str) -> dict[str, CompletedProcess[str]]:
        """Run all steps of a job; `secrets` are what its expressions in `env:` come to."""
        loaded = workflow(file)
        public = {name: value for name, value in self.stage.variables.items() if not name.endswith("_TOKEN")}
        public |= {name: value for name, value in loaded["env"].items() if name != "VAULT_ADDR"}
        given = secrets | {"VAULT_JWT_FILE": str(self.temp / "vault.jwt")}
        one, done = loaded["jobs"][job], {}
        given |= {"KEYTURN_POLICY": str(self.temp / "policy.yaml"), "POLICY": self.policy(one.get("environment", ""))}
        public["STUB_JWT"] = self.identity(one["environment"]) if "environment" in one else ""
        for step in one["steps"]:
            if "run" in step:
                done[step["name"]] = self.step(
                    step["run"], **public, **{name: given[name] for name in step.get("env", {})}
                )
        return done


def workflow(file: str) -> dict[str, Any]:
    """Return a workflow as GitHub reads it."""
    loaded: dict[str, Any] = yaml.safe_load((WORKFLOWS / file).read_text())
    return loaded


@pytest.fixture
def secrets(stage: Stage) -> dict[str, str]:
    """What the environments of the repository hold, and what an expression gives."""
    return {
        "DIGITALOCEAN_TOKEN": stage.variables["DIGITALOCEAN_TOKEN"],
        "GH_TOKEN": "unused",
        "PULL_REQUEST": "7",
        "ALLOW_DELETE": "0",
    }


def test_a_pull_request_gets_its_plan_as_a_comment(stage: Stage, secrets: dict[str, str]) -> None:
    """With a login that only reads; the next run edits that comment, not another one; nothing was changed."""
    stage.make_keys()
    machine = Runner(stage)
    planted = stage.folder / "plan.md"
    planted.symlink_to(stage.folder / "victim")
    for comments, asked in (
        ("", "POST repos/acme/keys/issues/7/comments"),
        ("41\n42\n", "PATCH repos/acme/keys/issues/comments/42"),
    ):
        machine.env["STUB_COMMENTS"] = comments
        machine.log.write_text("")
        done = machine.job("plan.yml", "plan", **secrets)
        assert {name: answer.returncode for name, answer in done.items()} == {
            "Install": 0,
            "Identity token": 0,
            "Policy": 0,
            "Plan": 0,
            "Comment": 0,
        }, done
        log = machine.log.read_text()
        body = f"--field body=@{machine.temp}/comment.md"
        assert f"gh api --silent --method {asked} {body}\n<!-- keyturn plan -->\n### keyturn plan: `quickstart`" in log
        assert "https://forge.example/token?v=2&audience=" in log
    assert stat.S_IMODE((machine.temp / "vault.jwt").stat().st_mode) == 0o600
    assert not (stage.folder / "victim").exists()
    assert not any(seen.mutating for seen in stage.sandbox.requests)


def test_a_login_of_the_plan_cannot_apply(stage: Stage, secrets: dict[str, str]) -> None:
    """Neither with its own role, which only reads, nor with the other one, which is bound to the other environment."""
    stage.make_keys()
    machine = Runner(stage)
    machine.job("plan.yml", "plan", **secrets)
    public = {name: value for name, value in stage.variables.items() if name != "VAULT_TOKEN"}
    public["VAULT_JWT_FILE"] = str(machine.temp / "vault.jwt")
    for role, code in (("keyturn-plan", {1, 5}), ("keyturn", {5})):
        assert machine.step("keyturn apply --yes", KEYTURN_VAULT_ROLE=role, **public).returncode in code
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
    assert machine.job("apply.yml", "apply", **secrets)["Apply"].returncode == 0
    assert stage.delivered("report") is not None
    night = machine.job("nightly.yml", "apply", **secrets)
    assert {answer.returncode for answer in night.values()} == {0}
    assert machine.summary.read_text().count("### keyturn: `quickstart`") == 2
    stage.edit("    name: report-bot\n", "    state: absent\n")
    assert machine.job("apply.yml", "apply", **secrets)["Apply"].returncode == 4
    assert machine.job("apply.yml", "apply", **secrets | {"ALLOW_DELETE": "1"})["Apply"].returncode == 0
    assert stage.delivered("report") is None


def test_a_policy_that_nobody_wrote_stops_the_run(stage: Stage, secrets: dict[str, str]) -> None:
    """An environment without the variable: the run ends with 3, not without a policy."""
    machine = Runner(stage)
    assert machine.step('printf "%s\\n" "$POLICY" > "$RUNNER_TEMP/policy.yaml"', POLICY="").returncode == 0
    public = stage.variables | {"KEYTURN_POLICY": str(machine.temp / "policy.yaml"), "KEYTURN_VAULT_ROLE": "keyturn"}
    assert machine.step("keyturn apply --yes", **public).returncode == 3
    assert len(stage.sandbox.requests) == 0


@pytest.mark.parametrize("file", FILES)
def test_workflows_are_safe(file: str) -> None:
    """No expression stands in a script, no job may write the repository, and a run that writes is never cancelled."""
    loaded = workflow(file)
    assert loaded["permissions"] == {}
    for name, job in loaded["jobs"].items():
        allowed = {"contents": "read"}
        if name != "validate":
            allowed["id-token"] = "write"
        if file == "plan.yml" and name == "plan":
            allowed["pull-requests"] = "write"
        assert job["permissions"] == allowed
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            assert step.get("with", {}).get("persist-credentials", False) is False
    if file != "plan.yml":
        assert loaded["concurrency"] == {"group": "keyturn", "cancel-in-progress": False}
    else:
        assert "head.repo.full_name == github.repository" in loaded["jobs"]["plan"]["if"]


@pytest.mark.finding(
    "H7",
    before="the workflows installed an unregistered name, unpinned, and actions by tags, beside tokens that may write",
    now="actions by commit, every package by hash from a lock that the release ships, no package built",
)
@pytest.mark.parametrize("file", FILES)
def test_workflows_run_only_what_is_pinned(file: str) -> None:
    """An action by its commit, with the version as a comment; each `pip install` by hashes."""
    text = (WORKFLOWS / file).read_text()
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert [use for use in uses if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    installs = re.findall(r"pip install .*", text)
    assert installs
    assert {"--require-hashes --only-binary :all:" in install for install in installs} == {True}
    assert "VAULT_TOKEN" not in text


@pytest.mark.finding(
    "H7",
    before="README, pages and messages said `pip install keyturn`, a name that anyone may register",
    now="the README installs a release file by its checksum; no page installs the bare name",
)
def test_no_page_installs_a_name_that_anyone_may_register() -> None:
    """Neither a page, nor an example, nor a message."""
    root = WORKFLOWS.parents[1]
    pages = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*")]
    pages += [*(root / "reconcile").rglob("*.py"), *(root / "provider").rglob("*.py")]
    bare = re.compile(r"pip install [^\n]*?['\" ](?:pulumi[-_])?keyturn(?!(?:\[[a-z]+\])? @ git\+https:)(?![\w./-])")
    found = [str(page) for page in pages if page.is_file() and bare.search(page.read_text(errors="replace"))]
    assert found == []
    readme = (root / "README.md").read_text()
    assert "sha256sum --check --ignore-missing SHA256SUMS" in readme
    assert "pip install --require-hashes -f . -r requirements-vault.txt" in readme


@pytest.mark.finding(
    "M7",
    before="a pull request could change the workflow that uses the secrets; plan.md followed a link; --edit-last",
    now="required reviewers, code owners, OIDC, no stored token, files outside the checkout, its own comment",
)
def test_the_readme_says_what_the_forge_does_not_protect() -> None:
    """That a branch runs its own workflow, and what to do about it; the owners guard the workflows and the manifest."""
    readme = (WORKFLOWS / "README.md").read_text()
    assert "A pull request from a branch runs its own version of `plan.yml`" in readme
    assert "required reviewers" in readme
    owned = [line.split()[0] for line in (WORKFLOWS / "CODEOWNERS").read_text().splitlines() if line[:1] == "/"]
    assert owned == ["/.github/", "/keyturn.yaml"]
    plan = (WORKFLOWS / "plan.yml").read_text()
    assert "--edit-last" not in plan
    assert re.findall(r"[^/\w]plan\.md", plan) == []


def test_the_readme_names_every_workflow() -> None:
    """No file is forgotten in the table."""
    named = re.findall(r"^\| \[[^]]+\]\(([\w-]+\.yml)\)", (WORKFLOWS / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in WORKFLOWS.glob("*.yml"))
