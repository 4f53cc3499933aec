"""What a stranger's manifest gets of values and API keys that are not its own: nothing, and nothing changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cli.conftest import Stage

PASSWORD = "pg-Sup3rSecretDbPassw0rd"
PAYLOAD = "/bin/sh ./pwn.sh"
FIELD = "MODEL_ACCESS_KEY"
SKIP = {"from": "skip"}
MODEL = {"model": "llama3.3-70b-instruct"}
Place = tuple[str, str, str]


class World:
    """A stranger's repository, and what lies around it."""

    def __init__(self, stage: Stage) -> None:
        """The stranger may write the manifest; the folder is its checkout."""
        self.stage = stage
        self.db: Place = ("vault", f"{stage.prefix}/payments", "PASSWORD")
        self.shop: Place = ("vault", f"{stage.prefix}/shop", FIELD)
        self.records = {"target": "vault", "prefix": f"{stage.prefix}/mine"}
        self.sent = len(stage.sandbox.requests)

    def put(self, place: Place, value: str) -> None:
        """Write a field as its owner does."""
        _, path, field = place
        self.stage.openbao.call("POST", f"secret/data/{path}", {"data": {field: value}})

    def bot(self, adopt: dict[str, str] | None, *places: Place, smoke: object = MODEL, **more: object) -> None:
        """Write the manifest: one key, adopted so and delivered there."""
        deliver = [{"target": target, "path": path, "field": field} for target, path, field in places]
        entry = {"name": "bot", "deliver": deliver, "smoke": smoke, **({"adopt": adopt} if adopt else {}), **more}
        document = {
            "apiVersion": "keyturn/v1",
            "name": "stranger",
            "targets": {
                "vault": {"type": "vault", "address": "${KEYTURN_VAULT}", "mount": "secret"},
                "out": {"type": "dotenv", "root": "./out"},
                "aws": {"type": "dotenv", "root": "./home/.aws"},
            },
            "records": self.records,
            "timing": {"settle": "1s", "request": "1s", "lease": "10s", "propagation": "1s", "delivery": "5s"},
            "keys": {"bot": entry},
        }
        self.stage.manifest.write_text(json.dumps(document))

    def everything(self) -> object:
        """Return all that a run could change: the account, the vault with its versions, the files of the checkout."""
        account = self.stage.sandbox.state
        files = {path: path.read_bytes() for path in self.stage.folder.rglob("*") if path.is_file()}
        return dict(account.keys), dict(account.secrets), self.below(f"{self.stage.prefix}/"), files

    def below(self, folder: str) -> dict[str, Any]:
        """Return every field and version below a path of the vault."""
        call, found = self.stage.openbao.call, {}
        try:
            listed: Any = call("GET", f"secret/metadata/{folder}?list=true")["data"]
        except httpx.HTTPStatusError:
            return {}
        for name in listed["keys"]:
            if name.endswith("/"):
                found.update(self.below(folder + name))
            else:
                found[folder + name] = call("GET", f"secret/data/{folder}{name}")["data"]
        return found

    def asked(self) -> Sequence[str]:
        """Return the inference requests since the start."""
        return [seen.path for seen in self.stage.sandbox.requests[self.sent :] if seen.path.startswith("/v1/")]

    def gets_nothing(self, code: str, *commands: Sequence[str]) -> str:
        """Run commands that all stop with this reason: nothing is sent, shown or changed. Return what was said."""
        before, said = self.everything(), []
        for command in commands or (("plan",), ("apply", "--yes")):
            answer = self.stage.run(*command, code=4)
            said.append(answer.stdout + answer.stderr)
            assert f"[{code}]" in said[-1]
            assert self.everything() == before
        assert self.asked() == []
        assert not any(bait in text for text in said for bait in (PASSWORD, PAYLOAD))
        return said[-1]


@pytest.fixture
def world(stage: Stage) -> World:
    """A stranger's repository beside the payments team's password, and an API key that nobody claims."""
    found = World(stage)
    (stage.folder / "out").mkdir()
    found.put(found.db, PASSWORD)
    stage.make_keys("bot")
    return found


EXISTING, REGENERATE = {"secret": "existing"}, {"secret": "regenerate"}
OUT: Place = ("out", "leak.sh", "X")


@pytest.mark.finding(
    "H1", before="a database password of Vault in a file of the repository", now="exit 4, not read into the run"
)
@pytest.mark.parametrize("smoke", [SKIP, MODEL], ids=["skip", "model"])
def test_a_database_password_is_no_secret_to_adopt(world: World, smoke: object) -> None:
    """Neither by the manifest nor by an operator's command, with and without a smoke-check."""
    world.bot(EXISTING, world.db, OUT, smoke=smoke)
    said = world.gets_nothing("field-in-use", ("plan",), ("plan", "--verify"), ("apply", "--yes"))
    assert "something that keyturn did not write" in said
    world.gets_nothing("field-in-use", ("adopt", "bot", "--yes"))


@pytest.mark.finding(
    "H1", before="a line of the repository in ~/.aws/config, run by the next boto3", now="exit 4, no file is written"
)
@pytest.mark.parametrize(
    ("payload", "code"),
    [(PAYLOAD, "field-in-use"), (f"sk-do-; {PAYLOAD}", "field-in-use"), ("sk-do-x", "not-confirmed")],
)
def test_a_value_of_the_repository_is_planted_nowhere(world: World, payload: str, code: str) -> None:
    """Whatever it looks like: without a smoke-check a manifest alone adopts nothing."""
    folder = world.stage.folder
    (folder / "out/payload.env").write_text(f"CMD='{payload}'\n")
    (folder / "home/.aws").mkdir(parents=True)
    (folder / "home/.aws/config").write_text("")
    world.bot(EXISTING, ("out", "payload.env", "CMD"), ("aws", "config", "credential_process"), smoke=SKIP)
    world.gets_nothing(code)


@pytest.mark.finding(
    "H1", before="consumers of the shop got the secret of mallory's key", now="exit 4: an operator has to confirm it"
)
def test_the_accepted_secret_of_an_unrelated_key_is_copied_by_no_manifest(world: World) -> None:
    """An accepted secret proves possession, not whose it is: the message names where it is and where it would go."""
    hers: Place = ("vault", f"{world.stage.prefix}/mallory", FIELD)
    world.put(hers, world.stage.sandbox.panel_create("key-of-mallory").secret)
    world.bot(EXISTING, hers, world.shop)
    said = world.gets_nothing("not-confirmed")
    assert (
        f"the secret that {':'.join(hers[:2])}#{FIELD} holds would be copied to vault:{world.shop[1]}#{FIELD}" in said
    )
    assert "`keyturn adopt bot` takes it" in said


@pytest.mark.finding(
    "H1", before="a smoke-check that is switched off proves every secret", now="then only an operator's command adopts"
)
def test_without_a_smoke_check_only_an_operator_adopts(world: World) -> None:
    """The same entry by the command: its plan names the source and the copies, and the secret stays as it is."""
    secret = world.stage.sandbox.panel_create("other").secret
    world.put(world.shop, secret)
    world.bot(EXISTING, world.shop, OUT, smoke=SKIP)
    world.gets_nothing("not-confirmed")
    said = world.stage.run("adopt", "bot", "--yes").stderr
    assert f"with the secret found at vault:{world.shop[1]}#{FIELD}; it is copied to out:leak.sh#X" in said
    assert (world.stage.folder / "out/leak.sh").read_text().strip().endswith(secret)


@pytest.mark.finding("H2", before="regenerate overwrote a database password", now="exit 4 until --take-over")
def test_consent_to_an_api_key_is_none_to_its_field(world: World) -> None:
    """The payments team keeps its password, and the API key its secret."""
    world.bot(REGENERATE, world.db)
    said = world.gets_nothing("field-in-use")
    assert "--take-over` replaces the value" in said
    world.gets_nothing("field-in-use", ("adopt", "bot", "--yes"))
    world.stage.run("apply", "--yes", "--take-over")
    assert PASSWORD not in json.dumps(world.below(f"{world.stage.prefix}/payments"))


@pytest.mark.finding(
    "H2",
    before="a changed records.prefix regenerated every live secret",
    now="exit 4: the records may be somewhere else",
)
def test_other_records_make_no_key_new(stage: Stage) -> None:
    """A typo in `records` is told as what it is; consumers keep their secrets."""
    stage.make_keys()
    stage.run("apply", "--yes")
    before = stage.delivered("checkout"), stage.delivered("report")
    alive = {secret: stage.alive(secret) for secret in stage.sandbox.state.secrets}
    stage.edit(f"prefix: {stage.prefix}/records", f"prefix: {stage.prefix}/recods")
    said = stage.run("apply", "--yes", code=4).stdout
    assert said.count("[secret-in-use]") == 2
    assert "records know nothing of it: they may be somewhere else" in said
    assert "correct `records`" in said
    assert (stage.delivered("checkout"), stage.delivered("report")) == before
    assert {secret: stage.alive(secret) for secret in stage.sandbox.state.secrets} == alive
    stage.edit(f"prefix: {stage.prefix}/recods", f"prefix: {stage.prefix}/records")
    assert stage.json("apply", "--yes")["exit_code"] == 0


@pytest.mark.finding(
    "H3", before="another team's API key, named by its uuid, was regenerated and renamed", now="exit 4, untouched"
)
@pytest.mark.parametrize("adopt", [REGENERATE, EXISTING], ids=["regenerate", "existing"])
def test_a_manifest_alone_adopts_no_api_key_of_another_name(world: World, adopt: dict[str, str]) -> None:
    """Its records are elsewhere, so no claim protects the production key; its name does."""
    prod = world.stage.sandbox.panel_create("prod")
    world.bot({**adopt, "a": prod.uuid}, world.shop)
    said = world.gets_nothing("not-confirmed")
    assert f"{prod.uuid} is called 'prod', and the entry asks for 'bot'" in said


def test_a_claimed_api_key_is_adopted_by_no_other_key(world: World) -> None:
    """Not by an operator's command either, without a take-over."""
    world.bot(REGENERATE, world.shop)
    world.stage.run("apply", "--yes")
    found = world.stage.manifest.read_text().replace('"bot": {', '"second": {').replace(FIELD, "OTHER")
    world.stage.manifest.write_text(found)
    world.sent = len(world.stage.sandbox.requests)
    world.gets_nothing("claimed", ("plan",), ("apply", "--yes"), ("adopt", "second", "--yes"))


@pytest.mark.finding(
    "H5", before="a plan sent a database password to the inference API", now="not sent, not even with --verify"
)
@pytest.mark.parametrize("adopt", [EXISTING, REGENERATE, None], ids=["existing", "regenerate", "new"])
def test_a_plan_sends_nothing_that_is_not_a_key(world: World, adopt: dict[str, str] | None) -> None:
    """Of a key to adopt and of a new one; nor does `smoke`."""
    world.bot(adopt, world.db, **({} if adopt else {"name": "brand-new"}))
    world.gets_nothing("field-in-use", ("plan",), ("plan", "--verify"))
    world.stage.run("plan", "--explain", "bot", code=4)
    told = world.stage.json("smoke", code=None)["checked"][0]["result"]
    assert (told["verdict"], told["detail"]) == ("skipped", "the value is not a secret of this key, so it is not tried")
    world.stage.run("status", "--verify", code=None)
    assert world.asked() == []


@pytest.mark.finding("H5", before="a plan tried every secret that it found", now="only recorded ones, or with --verify")
def test_a_plan_sends_no_secret_that_it_merely_found(world: World) -> None:
    """It says on what the adoption depends; apply proves it before it adopts."""
    secret = next(key.secret for key in world.stage.sandbox.state.keys.values() if key.name == "bot")
    world.put(world.shop, secret)
    world.bot(EXISTING, world.shop)
    place = f"vault:{world.shop[1]}#{FIELD}"
    said = world.stage.run("plan").stdout
    assert f"takes over 'bot' with the secret found at {place} if the API accepts it" in said
    assert world.asked() == []
    assert "if the API accepts it" not in world.stage.run("plan", "--verify").stdout
    assert world.asked() != []
    world.stage.run("apply", "--yes")
    assert world.stage.sandbox.accepts(secret)


def test_a_refused_secret_is_planned_and_not_adopted(world: World) -> None:
    """What a plan assumes, apply proves: nothing is recorded for a secret that the API refuses."""
    world.put(world.shop, "sk-do-of-nobody")
    world.bot(EXISTING, world.shop)
    world.stage.run("plan")
    before = world.everything()
    assert "[present-secret-refused]" in world.stage.run("apply", "--yes", code=1).stdout
    assert world.everything() == before


@pytest.mark.finding("M3", before="another owner's record was overwritten by a secret", now="its path is refused")
def test_nothing_is_delivered_into_a_record(world: World) -> None:
    """Whatever the field: a path that holds a record or a claim is no place for a secret."""
    world.bot(REGENERATE, world.shop)
    world.stage.run("apply", "--yes")
    (uuid,) = (key.uuid for key in world.stage.sandbox.state.keys.values() if key.name == "bot")
    world.records = {"target": "vault", "prefix": f"{world.stage.prefix}/elsewhere"}
    world.stage.make_keys("robot")
    mine = f"{world.stage.prefix}/mine"
    for place in (("vault", f"{mine}/keys/bot", "document"), ("vault", f"{mine}/slots/{uuid}", "NEW")):
        world.bot(REGENERATE, place, name="robot")
        before = world.everything()
        said = world.stage.run("apply", "--yes", "--take-over", code=1).stdout
        assert "this path holds a record of keyturn, so nothing is delivered to it" in said
        assert world.everything() == before


@pytest.mark.finding("H5", before="`smoke --secret stdin` sent whatever it was given", now="exit 3, not sent")
@pytest.mark.parametrize("command", [("smoke",), ("adopt", "bot", "--yes")], ids=["smoke", "adopt"])
def test_a_given_secret_has_to_look_like_a_key(
    world: World, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One paragraph that names the variable; with the variable it is tried."""
    world.bot(EXISTING, world.shop)
    answer = world.stage.run(*command, "--secret", "stdin", stdin=PASSWORD, code=3)
    assert "does not look like a model access key; nothing was sent or changed" in answer.stderr
    assert "KEYTURN_KEY_PREFIXES" in answer.stderr
    assert PASSWORD not in answer.stderr + answer.stdout
    assert world.asked() == []
    monkeypatch.setenv("KEYTURN_KEY_PREFIXES", "inference-, pg-S")
    world.stage.run(*command, "--secret", "stdin", stdin=PASSWORD, code=1)
    assert world.asked() != []
    monkeypatch.setenv("KEYTURN_KEY_PREFIXES", "p")
    assert "cannot be a prefix of model access keys" in world.stage.run(*command, code=3).stderr


def test_the_head_of_a_plan_says_that_the_team_is_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without account:read, in text, markdown and JSON alike."""
    token = world.stage.sandbox.add_token(scopes=("genai:read", "genai:update")).value
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", token)
    world.bot(REGENERATE, world.shop)
    told = "The account token may not read its team (scope account:read)."
    text = world.stage.run("plan").stdout
    assert text.index(told) < text.index("\n  bot")
    page = world.stage.run("plan", "--format", "markdown").stdout
    assert page.index(told) < page.index("| key")
    (run,) = world.stage.json("plan")["runs"]
    assert run["notes"][0].startswith(told)
