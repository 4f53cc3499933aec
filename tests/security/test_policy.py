"""A stranger's manifest against an operator's policy: both places are told, and nothing changes, byte for byte."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.openbao import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Stage

RULE = """
  stranger:
    records: {{target: vault, prefix: {prefix}/stranger-records}}
    names: ["stranger-*"]
    targets:
      vault: {{type: vault, address: {address}}}
    deliver: ["vault:{prefix}/stranger/*#KEY"]
"""
MANIFEST = """
apiVersion: keyturn/v1
name: stranger
targets:
  vault: {{type: vault, address: "${{KEYTURN_VAULT}}"}}
records: {{target: vault, prefix: {prefix}/stranger-records}}
limits: {{rotations_per_run: 20}}
timing: {{lease: 90s, settle: 30s, request: 30s}}
keys:
  bot:
    name: stranger-bot
    adopt: {{secret: regenerate}}
    clean_targets: true
    deliver: [{{target: vault, path: {prefix}/stranger/bot, field: KEY}}]
    smoke: {{model: llama3.3-70b-instruct}}
"""


@dataclass
class Scene:
    """A victim with two keys at rest, the operator's policy, and the folder of a stranger's repository."""

    stage: Stage
    folder: Path
    policy: Path

    @property
    def manifest(self) -> Path:
        """The stranger's manifest."""
        return self.folder / "keyturn.yaml"

    def edit(self, before: str, after: str) -> None:
        """Change the stranger's manifest."""
        text = self.manifest.read_text()
        assert before in text
        self.manifest.write_text(text.replace(before, after))

    def reset(self) -> None:
        """Write the manifest that the policy allows."""
        self.manifest.write_text(MANIFEST.format(prefix=self.stage.prefix))

    def uuid(self, name: str) -> str:
        """Return the uuid of an API key."""
        return next(key.uuid for key in self.stage.sandbox.state.keys.values() if key.name == name)

    def everything(self) -> tuple[object, ...]:
        """Return all that a run could change: the account, each version in Vault, other files of the folder."""
        files = {path.name: path.read_bytes() for path in self.folder.rglob("*") if path != self.manifest}
        return self.stage.sandbox.state, tree(self.stage.openbao, self.stage.prefix), files

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Hold that nothing was changed meanwhile."""
        before = self.everything()
        yield
        assert self.everything() == before

    def refused(self, *said: str, commands: tuple[tuple[str, ...], ...] = (("plan",), ("apply", "--yes"))) -> None:
        """Run commands on the stranger's manifest: each ends with 4 and says this."""
        for command in commands:
            done = self.stage.run(*command, "-f", str(self.manifest), code=4)
            for text in said:
                assert text in done.stdout + done.stderr, (command, text, done.stdout, done.stderr)


def place(file: Path, text: str) -> str:
    """Return `file:line` of the first line that holds a text."""
    lines = file.read_text().splitlines()
    return f"{file}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.fixture
def scene(stage: Stage, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Apply the victim's manifest under the policy that `policy init` drafts, and add a rule for the stranger."""
    stage.make_keys()
    stage.sandbox.panel_create("stranger-bot")
    folder, policy = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("operator") / "policy.yaml"
    stage.run("policy", "init", "--out", str(policy))
    with policy.open("a") as file:
        file.write(RULE.format(prefix=stage.prefix, address=stage.openbao.address))
    monkeypatch.setenv("KEYTURN_POLICY", str(policy))
    stage.run("apply", "--yes")
    found = Scene(stage, folder, policy)
    found.reset()
    monkeypatch.chdir(folder)
    return found


def test_what_the_policy_names_works(scene: Scene) -> None:
    """The stranger's own key is adopted and delivered, and the plan says which rule held it."""
    plan = scene.stage.run("plan", "-f", str(scene.manifest))
    assert f"  policy   {place(scene.policy, '  stranger:')}: owners.stranger\n" in re.sub(" {3,}", "   ", plan.stdout)
    scene.stage.run("apply", "--yes", "-f", str(scene.manifest))
    held: Any = scene.stage.openbao.call("GET", f"secret/data/{scene.stage.prefix}/stranger/bot")
    assert scene.stage.sandbox.accepts(held["data"]["data"]["KEY"])


ATTACKS: dict[str, tuple[Callable[[Scene], None], str, str]] = {
    "the owner is impersonated": (
        lambda scene: scene.edit("name: stranger\n", "name: quickstart\n"),
        "prefix: {prefix}/stranger-records",
        "prefix: {prefix}/records",
    ),
    "an owner of one's own": (
        lambda scene: scene.edit("name: stranger\n", "name: nobody-knows\n"),
        "name: nobody-knows",
        "owners:",
    ),
    "other records": (
        lambda scene: scene.edit("/stranger-records}", "/records}"),
        "records: {{target",
        "prefix: {prefix}/stranger-records",
    ),
    "the name of a production key": (
        lambda scene: scene.edit("name: stranger-bot", "name: report-bot"),
        "name: report-bot",
        'names: ["stranger-*"]',
    ),
    "another team's place": (
        lambda scene: scene.edit("/stranger/bot", "/report"),
        "deliver:",
        'deliver: ["vault:',
    ),
    "another mount": (
        lambda scene: scene.edit('"${KEYTURN_VAULT}"', '"${KEYTURN_VAULT}", mount: sys'),
        "mount: sys",
        "vault: {{type: vault",
    ),
    "one's own target": (
        lambda scene: scene.edit("targets:\n", "targets:\n  out: {type: dotenv, root: .}\n"),
        "out: {{type",
        "targets:",
    ),
}


@pytest.mark.finding(
    "H3", before="any manifest is any owner and takes any key", now="exit 4 with both places, nothing changed"
)
def test_a_manifest_cannot_leave_its_rule(scene: Scene) -> None:
    """Each attack is told with its line in the manifest and the rule's line in the policy; the API is not asked."""
    with scene.untouched():
        commands = (("validate",), ("plan",), ("apply", "--yes"))
        requests = len(scene.stage.sandbox.requests)
        for change, in_manifest, in_policy in ATTACKS.values():
            scene.reset()
            change(scene)
            words = [text.format(prefix=scene.stage.prefix) for text in (in_manifest, in_policy)]
            scene.refused(place(scene.manifest, words[0]), str(scene.policy), commands=commands)
            done = scene.stage.run("validate", "-f", str(scene.manifest), code=4)
            rules = _rule_lines(scene, words[1])
            assert any(f"policy: {rule}:" in done.stderr for rule in rules), (rules, done.stderr)
        for command in (
            ("rotate", "bot", "--yes"),
            ("adopt", "bot", "--yes"),
            ("status",),
            ("history", "bot"),
            ("smoke",),
        ):
            scene.refused(commands=(command,))
        assert len(scene.stage.sandbox.requests) == requests


def _rule_lines(scene: Scene, text: str) -> list[str]:
    lines = scene.policy.read_text().splitlines()
    return [f"{scene.policy}:{number}" for number, line in enumerate(lines, 1) if text in line]


BRAKES = {
    "rotations_per_run: 20": "rotations_per_run: 100000",
    "lease: 90s": "lease: 60s",
    "settle: 30s, request: 30s": "settle: 1s, request: 1s",
    "smoke: {model: llama3.3-70b-instruct}": "smoke: {from: skip}",
    "adopt: {secret: regenerate}": "adopt: {secret: existing}",
    "clean_targets: true": "clean_targets: false",
}


@pytest.mark.finding("M6", before="the manifest sets its own brakes", now="the policy's ceilings and floors hold")
@pytest.mark.finding("H3", before="a manifest allows itself existing, skip and more", now="only what the policy allows")
def test_a_manifest_cannot_release_its_own_brakes(scene: Scene) -> None:
    """Not one of them: the line of the setting and the rule are told. All together: one line each, sorted by place."""
    with scene.untouched():
        for before, after in BRAKES.items():
            scene.reset()
            scene.edit(before, after)
            scene.refused(f"{place(scene.manifest, after)}:", f"(policy: {scene.policy}:")
        scene.reset()
        for before, after in BRAKES.items():
            scene.edit(before, after)
        scene.edit('"${KEYTURN_VAULT}"', '"${KEYTURN_VAULT}", mount: other')
        done = scene.stage.run("validate", "-f", str(scene.manifest), code=4)
        told = done.stderr.splitlines()
        assert len(told) == len([*BRAKES, "request", "mount"]), done.stderr
        assert [int(line.split(":")[1]) for line in told] == sorted(int(line.split(":")[1]) for line in told)


@pytest.mark.finding("H3", before="a production key is regenerated by its uuid", now="its name is outside: exit 4")
def test_a_production_key_is_not_adopted_by_its_uuid(scene: Scene) -> None:
    """By the manifest, which asks for another name, and by the command; the secret lives."""
    with scene.untouched():
        uuid, secret = scene.uuid("report-bot"), scene.stage.delivered("report")
        said = (
            f"the API key {uuid}",
            "'report-bot' matches no pattern of the policy",
            place(scene.policy, "stranger-*"),
        )
        adopt = ("adopt", "bot", "--uuid", uuid, "--secret", "regenerate", "--yes")
        scene.refused(*said, commands=(adopt,))
        scene.edit("{secret: regenerate}", f"{{secret: regenerate, a: {uuid}}}")
        scene.refused(*said)
        assert scene.stage.alive(str(secret))


@pytest.mark.finding("M6", before="flags release every brake", now="only up to the policy's numbers")
def test_a_command_cannot_allow_more_than_the_policy(scene: Scene) -> None:
    """One paragraph, with the rule's place."""
    with scene.untouched():
        for command, said in (
            (("apply", "--yes", "--allow-rotations", "21"), "21 rotations, adoptions and heals in one run, only 20"),
            (("apply", "--yes", "--allow-delete", "1"), "1 deletes of API keys in one run, only 0"),
            (("apply", "--yes", "--take-over"), "to take over keys, fields or records of others"),
            (("adopt", "bot", "--secret", "existing", "--yes"), "to adopt an API key with its present secret"),
        ):
            scene.refused(said, f"({scene.policy}:", commands=(command,))


def test_a_policy_that_cannot_be_read_stops_every_command(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 3, as a wrong manifest: a missing policy is never no policy."""
    monkeypatch.setenv("KEYTURN_POLICY", str(tmp_path / "gone.yaml"))
    with scene.untouched():
        for command in (("validate",), ("plan",), ("apply", "--yes"), ("status",)):
            done = scene.stage.run(*command, "-f", str(scene.manifest), code=3)
            assert "there is no such policy" in done.stderr


def test_without_a_policy_the_plan_says_so(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In text, markdown and JSON, once."""
    monkeypatch.delenv("KEYTURN_POLICY")
    none = "none, so nothing limits what this manifest may do"
    for form in ("text", "markdown"):
        assert scene.stage.run("plan", "-f", str(scene.manifest), "--format", form).stdout.count(none) == 1
    assert scene.stage.json("plan", "-f", str(scene.manifest))["runs"][0]["policy"] == ""


@pytest.mark.parametrize("command", [("validate",), ("plan",), ("sign", "--yes"), ("history", "checkout-bot")])
def test_an_empty_name_is_not_taken_for_no_policy(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A variable that a workflow left empty must not open the wall."""
    monkeypatch.setenv("KEYTURN_POLICY", "")
    assert "the name of the policy is empty" in stage.run(*command, code=3).stderr
    monkeypatch.delenv("KEYTURN_POLICY")
    assert "the name of the policy is empty" in stage.run(*command, "--policy", "", code=3).stderr


def test_a_signature_is_subject_to_the_policy(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keyturn sign` vouches for documents, so it is refused to an owner whom the policy does not name."""
    stage.make_keys()
    stage.run("apply", "--yes")
    policy = stage.folder / "policy.yaml"
    stage.run("policy", "init", "--out", str(policy))
    monkeypatch.setenv("KEYTURN_RECORD_KEY", "0" * 64)
    stage.edit("name: quickstart", "name: stranger")
    assert "names no owner 'stranger'" in stage.run("sign", "--yes", "--policy", str(policy), code=4).stderr


@pytest.mark.finding("M2", before="a link inside of the manifest's directory moved a delivery", now="refused, exit 3")
def test_a_link_does_not_move_a_directory_of_secrets(stage: Stage) -> None:
    """The policy compares real paths, so a link would move its rule as well."""
    (stage.folder / "public").mkdir()
    (stage.folder / "secrets").symlink_to("public")
    stage.edit("targets:\n", "targets:\n  env: {type: dotenv, root: ./secrets}\n")
    assert "a symbolic link is on the way to this directory" in stage.run("validate", code=3).stderr
    stage.edit("root: ./secrets", "root: ./public/../public")
    stage.run("validate")
