"""The example of App Platform and GitHub: delivered, at rest, changed by someone else, and a deployment that fails."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from keyturn.cli import main
from keyturn.core.errors import TargetUnavailable
from keyturn.sandbox import App, Sandbox
from keyturn.targets.app_platform_apps import App as Found
from keyturn.targets.app_platform_apps import Apps
from keyturn.targets.base import Guard
from tests.support.github import GitHub, Kept
from tests.support.openbao import OpenBao

EXAMPLE = Path(__file__).parents[2] / "examples/app-platform"
FIELD = "MODEL_ACCESS_KEY"


@dataclass
class Shop:
    """The example in a folder of its own, with its servers."""

    sandbox: Sandbox
    github: GitHub
    app: str

    def run(self, *args: str, code: int = 0) -> Result:
        """Run a command in this process, to its expected end."""
        result = CliRunner().invoke(main, args, prog_name="keyturn")
        assert result.exit_code == code, (args, result.exit_code, result.stdout, result.stderr)
        return result

    def apply(self, code: int = 0) -> Result:
        """Apply."""
        return self.run("apply", "--yes", code=code)

    @property
    def state(self) -> App:
        """The app as it is."""
        return self.sandbox.state.apps[self.app]

    def spec(self) -> Any:  # noqa: ANN401 - a JSON value
        """Return a copy of the spec, as the API shows it."""
        return json.loads(json.dumps(self.state.spec))

    def shown(self, spec: Any = None) -> str:  # noqa: ANN401 - a JSON value
        """Return the ciphertext of our variable, of this spec or of the present one."""
        envs = (spec or self.spec())["services"][0]["envs"]
        return str(next(one for one in envs if one["key"] == FIELD)["value"])

    def used(self) -> str | None:
        """Return what the component runs with."""
        return self.sandbox.running(self.app, "web")[1].get(FIELD)

    @property
    def kept(self) -> Kept:
        """The secret of the workflows."""
        return self.github.known["/repos/acme/checkout/actions", FIELD]

    def send(self, spec: object) -> None:
        """Send a spec as someone else does."""
        with httpx.Client(base_url=self.sandbox.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {self.sandbox.token}"}
            assert client.put(f"/v2/apps/{self.app}", json={"spec": spec}, headers=headers).status_code == 200

    def written(self) -> tuple[int, int]:
        """Return how often App Platform and GitHub were written to, by anyone, without what was refused."""
        return len(self.state.deployments), sum(one.verb != "GET" and one.status < 400 for one in self.github.asked)


@pytest.fixture
def shop(tmp_path: Path, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The example before its first run, with an overlap of no time."""
    prefix = f"shop-{uuid.uuid4().hex[:12]}"
    text = (EXAMPLE / "keyturn.yaml").read_text().replace("overlap: 24h", "overlap: 1s")
    text = text.replace("apps/checkout", f"{prefix}/checkout").replace(
        "records: {target: vault}", f"records: {{target: vault, prefix: {prefix}/records}}"
    )
    (tmp_path / "keyturn.yaml").write_text(f"{text}\ntiming: {{propagation: 1s}}\n")
    monkeypatch.chdir(tmp_path)
    with Sandbox(seed=1) as sandbox, GitHub() as github:
        for name, value in sandbox.exports.items():
            monkeypatch.setenv(name, value)
        for name, value in {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": openbao.root_token}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KEYTURN_VAULT", openbao.address)
        monkeypatch.setenv("GITHUB_API_URL", github.address)
        manifest = tmp_path / "keyturn.yaml"
        ours = f"{{type: github-secrets, address: '{github.address}'}}"
        manifest.write_text(manifest.read_text().replace("{type: github-secrets}", ours))
        monkeypatch.setenv("GH_TOKEN", github.token())
        monkeypatch.setenv("KEYTURN_ALLOWED_PLACES", "app-platform=checkout*,github-secrets=acme/*")
        for end in "ab":
            sandbox.panel_create(f"checkout-{end}")
        app = sandbox.make_app(yaml.safe_load((EXAMPLE / "app.yaml").read_text()))
        yield Shop(sandbox, github, app.id)


def flat(result: Result) -> str:
    """Return what was printed, in one line."""
    return " ".join(result.stdout.split())


def at_rest(shop: Shop) -> None:
    """Apply until no old secret waits."""
    for _ in range(20):
        shop.apply()
        document = json.loads(shop.run("status", "--format", "json").stdout)
        if document["keys"][0]["condition"] == "ready":
            return
        time.sleep(0.3)
    pytest.fail("it does not converge")


def test_the_plan_says_what_a_delivery_sets_off(shop: Shop) -> None:
    """Before the first run: the deployment; no old secret is there yet."""
    shop.sandbox.change(deployment=2)
    shop.send(shop.spec())
    time.sleep(2.5)
    said = "starts a deployment of the app checkout (all its components), about 1 minute"
    shown = flat(shop.run("plan"))
    assert said in shown
    assert shown.index("vault:") < shown.index("apps:")
    assert "the old secret lives" not in shown
    document = json.loads(shop.run("plan", "--format", "json").stdout)
    changes = document["runs"][0]["plans"][0]["changes"]
    [why] = [one["why"] for one in changes if (one["delivery"] or {}).get("target") == "apps"]
    assert said in why
    assert shop.written() == (2, 0)


def test_the_key_arrives_in_both_and_at_rest_nothing_is_sent(shop: Shop) -> None:
    """The component and a step of a workflow hold the same accepted secret; `apply` then deploys nothing."""
    before = shop.spec()
    at_rest(shop)
    held = shop.used()
    assert held is not None
    assert held == shop.kept.value
    assert shop.sandbox.accepts(held)
    after = shop.spec()
    [variable] = [one for one in after["services"][0]["envs"] if one["key"] == FIELD]
    assert variable.pop("value").startswith("EV[1:")
    assert after == before
    written = shop.written()
    shop.apply()
    shop.run("apply", "--yes", "--verify")
    shop.run("status", "--verify")
    assert shop.written() == written


def test_what_somebody_else_changes_is_restored_and_nothing_else(shop: Shop) -> None:
    """Ours gets its value back; the other changes of the same hand stay, to the byte."""
    at_rest(shop)
    held, theirs = shop.used(), shop.spec()
    theirs["services"][0]["instance_count"] = 7
    for one in theirs["services"][0]["envs"]:
        one["value"] = "changed by another hand"
    shop.send(theirs)
    shop.github.ahead += 5
    shop.github.put("/repos/acme/checkout/actions", FIELD, "changed by another hand")
    changed = shop.spec()
    shop.run("apply", "--yes", "--verify")
    assert (shop.used(), shop.kept.value) == (held, held)
    fresh = shop.spec()
    assert shop.shown(fresh) != shop.shown(changed)
    assert json.dumps(fresh).replace(shop.shown(fresh), "") == json.dumps(changed).replace(shop.shown(changed), "")


def test_a_failed_deployment_keeps_the_old_secret_alive(shop: Shop) -> None:
    """It is told with its phase, whatever the overlap; after a repair the old secret dies."""
    at_rest(shop)
    old = shop.used()
    assert old is not None
    shop.sandbox.change(deployment_end="ERROR")
    shop.run("rotate", "checkout", "--yes", code=1)
    told = shop.apply(code=1)
    deployment = shop.state.deployments[-1].id
    shop.apply(code=1)
    assert shop.run("history", "checkout").stdout.count(f"deployment {deployment} is ERROR") == 1
    assert f"deployment {deployment} is ERROR" in told.stdout
    assert f"deployment {deployment} is ERROR" in shop.run("status", code=1).stdout
    assert shop.sandbox.accepts(old)
    assert shop.used() == old
    shop.sandbox.change(deployment_end="ACTIVE")
    shop.send(shop.spec())
    at_rest(shop)
    assert not shop.sandbox.accepts(old)
    assert shop.used() == shop.kept.value != old


def test_a_deployment_under_way_is_waited_for(shop: Shop) -> None:
    """Nothing is wrong, nothing is retired, and the next run goes on."""
    at_rest(shop)
    old = shop.used()
    assert old is not None
    shop.sandbox.change(deployment=3600)
    shop.run("rotate", "checkout", "--yes")
    shop.apply()
    assert shop.sandbox.accepts(old)
    assert "PENDING_BUILD" in shop.run("status").stdout
    shop.sandbox.end_deployment(shop.app)
    at_rest(shop)
    assert not shop.sandbox.accepts(old)


def test_a_change_that_was_undone_is_told_at_the_end_of_the_run(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if every delivery is written by then: the run ends with 1, and the next one with 0."""
    replace, theirs = Apps.replace, shop.spec()
    theirs["services"][0]["instance_count"] = 7
    writes = iter([1, 2])

    def raced(self: Apps, app: str, found: Found, spec: str, guard: Guard) -> Found:
        number = next(writes, 3)
        if number == 1:
            shop.send(theirs)
        elif number == 2:
            raise TargetUnavailable("could not update the app", ambiguous=True)
        return replace(self, app, found, spec, guard)

    monkeypatch.setattr(Apps, "replace", raced)
    told = " ".join(shop.apply(code=1).stdout.split())
    assert "may have undone what someone else changed in this app at the same moment" in told
    assert f"(deployment {shop.state.deployments[1].id})" in told
    assert shop.spec()["services"][0]["instance_count"] != theirs["services"][0]["instance_count"]
    at_rest(shop)


@pytest.mark.parametrize(
    "command", ["plan", "apply --yes", "rotate checkout --yes", "rotate checkout --compromised --yes"]
)
def test_a_place_that_is_not_permitted_ends_every_command_before_a_request(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Exit code 3, and one line to type that permits all of them; `validate` only warns."""
    monkeypatch.delenv("KEYTURN_ALLOWED_PLACES")
    sent = len(shop.sandbox.requests)
    told = shop.run(*command.split(), code=3).stderr
    assert told.count("the environment does not permit the place") == 2
    assert told.count("export KEYTURN_ALLOWED_PLACES='app-platform=checkout/web,github-secrets=acme/checkout'") == 1
    assert (len(shop.sandbox.requests), len(shop.github.asked)) == (sent, 0)
    warned = shop.run("validate")
    assert "does not permit the place checkout/web" in warned.stdout + warned.stderr
    monkeypatch.setenv("KEYTURN_ALLOWED_PLACES", "app-platform=checkout/*,github-secrets=acme")
    told = shop.run(*command.split(), code=3).stderr
    assert 'export KEYTURN_ALLOWED_PLACES="$KEYTURN_ALLOWED_PLACES,github-secrets=acme/checkout"' in told


def test_at_rest_a_place_that_is_not_permitted_any_more_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only if there is something to do."""
    at_rest(shop)
    monkeypatch.delenv("KEYTURN_ALLOWED_PLACES")
    shop.run("plan", code=3)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("path: checkout/web", "path: checkout/web/x", "it has the form APP or APP/COMPONENT"),
        ("path: acme/checkout", "path: acme/Checkout", "in lower case"),
        (f"acme/checkout, field: {FIELD}", "acme/checkout, field: model_key", "cannot have the name 'model_key'"),
    ],
)
def test_what_cannot_be_a_place_is_found_without_the_network(shop: Shop, right: str, wrong: str, told: str) -> None:
    """By `validate`, with its line."""
    manifest = Path("keyturn.yaml")
    text = manifest.read_text()
    assert right in text
    manifest.write_text(text.replace(right, wrong))
    assert told in shop.run("validate", code=3).stderr


def test_a_component_that_is_gone_is_told_at_once(shop: Shop) -> None:
    """No run waits for what only an operator can change."""
    at_rest(shop)
    spec = shop.spec()
    spec["services"][0]["name"] = "web2"
    shop.send(spec)
    shop.github.ahead += 5
    shop.github.put("/repos/acme/checkout/actions", FIELD, "changed by another hand")
    began, why = time.monotonic(), "the app has no component web (it has web2)"
    assert why in flat(shop.run("plan", "--verify", code=1))
    assert why in flat(shop.run("apply", "--yes", "--verify", code=1))
    assert time.monotonic() - began < 60  # timing.delivery is 5 minutes
    assert shop.sandbox.accepts(shop.kept.value)
    written = shop.written()
    for command in (("plan",), ("status",), ("apply", "--yes")):
        told = flat(shop.run(*command, code=1))
        assert why in told, command
        assert "delivers to" not in told, command
    assert shop.written() == written
    events = shop.run("history", "checkout").stdout
    assert events.count("holds nothing: ") == 1
    spec["services"][0]["name"] = "web"
    shop.send(spec)
    at_rest(shop)
    assert shop.used() == shop.kept.value


def test_an_app_that_is_gone_is_told_and_not_waited_for(shop: Shop) -> None:
    """Another place is repaired all the same."""
    at_rest(shop)
    shop.send({**shop.spec(), "name": "renamed"})
    shop.github.ahead += 5
    shop.github.put("/repos/acme/checkout/actions", FIELD, "changed by another hand")
    began = time.monotonic()
    for command in (("plan", "--verify"), ("status", "--verify"), ("apply", "--yes", "--verify")):
        assert "there is no app checkout" in flat(shop.run(*command, code=1)), command
    assert time.monotonic() - began < 60
    assert shop.sandbox.accepts(shop.kept.value)


def test_a_rollback_is_told(shop: Shop) -> None:
    """The app is refused then: what to do is not what is to be done after a failed deployment."""
    at_rest(shop)
    shop.run("rotate", "checkout", "--yes")
    at_rest(shop)
    shop.sandbox.roll_back(shop.app)
    assert not shop.sandbox.accepts(str(shop.used()))
    told = flat(shop.run("status", "--verify", code=1))
    assert "the app runs another spec since deployment" in told
    assert "(rolled back?): revert the rollback, or deploy the app again" in told


def test_doctor_examines_both(shop: Shop) -> None:
    """Without a write, and it says so."""
    told = shop.run("doctor").stdout
    assert told.count("ready for a write, as far as can be told without one") == 2
    assert shop.written() == (1, 0)
