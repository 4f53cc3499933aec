"""Forged, copied and rolled back records: what they make keyturn do to the API keys of others."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.sandbox.state import Key
    from tests.cli.conftest import Stage

KEY = "KEYTURN_RECORD_KEY"
ONE, TWO = "1a" * 32, "2B" * 32
BOT = "checkout-bot"
PAST, FUTURE = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
NONCE = "0badcafe"


class Vault:
    """Who may write the paths of the records, and nothing else."""

    def __init__(self, stage: Stage) -> None:
        """Attack this stage."""
        self.stage = stage

    def text(self, name: str) -> str:
        """Return a document, such as `keys/checkout-bot`."""
        found: Any = self.stage.openbao.call("GET", f"secret/data/{self.stage.prefix}/records/{name}")
        return str(found["data"]["data"]["document"])

    def put(self, name: str, text: str, prefix: str = "") -> None:
        """Write a document."""
        place = f"secret/data/{prefix or self.stage.prefix}/records/{name}"
        self.stage.openbao.call("POST", place, {"data": {"document": text}})

    def forge(self, change: Callable[[dict[str, Any]], None], name: str = f"keys/{BOT}") -> None:
        """Change a record."""
        record = json.loads(self.text(name))
        change(record)
        self.put(name, json.dumps(record))

    def claim(self, key: Key) -> None:
        """Claim an API key for the bot."""
        self.put(f"slots/{key.uuid}", json.dumps({"uuid": key.uuid, "owner": "quickstart", "key": BOT}))


OVERLAP = 3.1
"""Seconds after which the quickstart's overlap of an adoption is over."""


@pytest.fixture
def vault(stage: Stage) -> Vault:
    """Both keys at rest."""
    stage.make_keys()
    stage.run("apply", "--yes")
    return Vault(stage)


def _untouched(stage: Stage, *keys: Key) -> None:
    """Check that these API keys still exist, with their names and secrets."""
    for key in keys:
        now = stage.sandbox.state.keys[key.uuid]
        assert (now.name, now.deleted_at) == (key.name, None)
        assert stage.alive(key.secret)


def _intent(op: str, slot: str | None, nonce: str, since: str) -> dict[str, Any]:
    return {"op": op, "slot": slot, "nonce": nonce, "run": "0" * 32, "since": since, "lease_until": PAST}


@pytest.mark.finding(
    "M1", before="a forged retire killed the secret of any API key", now="exit 4, until an operator allows that key"
)
@pytest.mark.parametrize("named", ["checkout-bot-b", "prod-search"])
@pytest.mark.parametrize("is_open", [False, True], ids=["planned", "open"])
def test_a_forged_retire_does_not_kill_the_secret_of_another_team(
    stage: Stage, vault: Vault, named: str, is_open: bool
) -> None:
    """The API key has no name of the entry: neither its secret nor its name is changed, and the other key goes on."""
    victim = stage.sandbox.panel_create("prod-search")

    def forge(record: dict[str, Any]) -> None:
        other = "b" if record["live"] == "a" else "a"
        record["slots"][other] = {"uuid": victim.uuid, "name": named}
        record["retire"] = {"slot": other, "at": PAST, "at_once": True}
        record["intent"] = _intent("retire", other, NONCE, PAST) if is_open else None

    vault.forge(forge)
    vault.claim(victim)
    shown = stage.run("plan", code=4).stdout
    assert "is called 'prod-search', which is no name of this key" in shown
    assert "--allow-unproven 1" in stage.run("apply", "--yes", code=4).stdout
    _untouched(stage, victim)


@pytest.mark.finding(
    "M1", before="a forged slot got another team's API key regenerated", now="exit 4, until an operator allows it"
)
def test_a_forged_slot_does_not_rotate_the_key_of_another_team(stage: Stage, vault: Vault) -> None:
    """A rotation of the bot would regenerate the standby, which is another team's API key."""
    victim = stage.sandbox.panel_create("prod-search")

    def forge(record: dict[str, Any]) -> None:
        other = "b" if record["live"] == "a" else "a"
        record["slots"][other] = {"uuid": victim.uuid, "name": "prod-search"}
        record["retire"] = None

    vault.forge(forge)
    vault.claim(victim)
    stage.run("rotate", BOT, "--yes", code=4)
    _untouched(stage, victim)


@pytest.mark.finding(
    "M1", before="a forged nonce deleted every API key with that ending", now="the record is refused, exit 1"
)
@pytest.mark.parametrize("nonce", ["9", "", "0BADCAFE", "0badcafe9"])
def test_a_forged_nonce_of_another_form_makes_no_record(stage: Stage, vault: Vault, nonce: str) -> None:
    """Only that key stops; nothing is deleted."""
    victims = [stage.sandbox.panel_create(f"{team}-kt{nonce}") for team in ("team", "other")]
    vault.forge(lambda record: record.update(intent=_intent("create", "b", nonce, PAST)))
    report = stage.json("apply", "--yes", code=1)
    ends = {key["key"]: key["end"] for run in report["runs"] for key in run["reports"]}
    assert "not a record that this version of keyturn can read (at intent.nonce)" in ends[BOT]["why"]
    assert ends["report-bot"]["exit_code"] == 0
    _untouched(stage, *victims)


@pytest.mark.finding(
    "M1",
    before="a forged create deleted API keys without a brake",
    now="only API keys that are not older are extra, counted by the brake on deletes",
)
@pytest.mark.parametrize(("since", "code"), [(PAST, 4), (FUTURE, None)])
@pytest.mark.parametrize("op", ["create", "delete"])
def test_a_forged_create_deletes_no_key_without_a_number(
    stage: Stage, vault: Vault, since: str, code: int | None, op: str
) -> None:
    """Nobody but an operator allows it; what is older than the intent is no trace of it at all."""
    victims = [stage.sandbox.panel_create(f"{team}-kt{NONCE}") for team in ("team", "other")]
    slot = "b" if op == "create" else None
    vault.forge(lambda record: record.update(intent=_intent(op, slot, NONCE, since)))
    stage.run("apply", "--yes", code=code)
    _untouched(stage, *victims)


@pytest.mark.finding(
    "M1", before="a forged create took over another team's API key", now="exit 4: its name is none of the entry's"
)
def test_a_forged_create_takes_no_key_of_another_name(stage: Stage, vault: Vault) -> None:
    """The record has no slot, and an intent whose nonce stands in the name of another team's API key."""
    victim = stage.sandbox.panel_create(f"team-kt{NONCE}")

    def forge(record: dict[str, Any]) -> None:
        record["slots"].pop("b")
        record.update(intent=_intent("create", "b", NONCE, PAST), retire=None, live="a")

    vault.forge(forge)
    stage.run("apply", "--yes", code=4)
    _untouched(stage, victim)


def test_a_forged_delete_waits_for_a_number(stage: Stage, vault: Vault) -> None:
    """As before: a delete of the slots needs consent."""
    victim = stage.sandbox.panel_create("prod-search")

    def forge(record: dict[str, Any]) -> None:
        other = "b" if record["live"] == "a" else "a"
        record["slots"][other] = {"uuid": victim.uuid, "name": "prod-search"}
        record["intent"] = _intent("delete", other, NONCE, PAST)

    vault.forge(forge)
    vault.claim(victim)
    stage.run("apply", "--yes", code=4)
    _untouched(stage, victim)


@pytest.mark.finding("M1", before="a digest key of another form was told as a mistake of keyturn", now="a bad record")
@pytest.mark.parametrize("digest_key", ["zz", "", "ab", "0" * 63])
def test_a_digest_key_of_another_form_makes_no_record(stage: Stage, vault: Vault, digest_key: str) -> None:
    """Only that key stops, and the place of the mistake is told."""
    vault.forge(lambda record: record.update(digest_key=digest_key))
    shown = stage.run("apply", "--yes", code=1).stdout
    assert "at digest_key" in shown
    assert "a mistake in keyturn" not in shown


def test_a_claim_of_another_uuid_is_no_claim(stage: Stage, vault: Vault) -> None:
    """A claim that was copied over another one names its API key."""
    record = json.loads(vault.text(f"keys/{BOT}"))
    live, other = (record["slots"][name]["uuid"] for name in sorted("ab", key=lambda name: name != record["live"]))
    vault.put(f"slots/{other}", vault.text(f"slots/{live}"))
    time.sleep(OVERLAP)
    assert "the claim on another API key" in stage.run("apply", "--yes", code=1).stdout


def test_without_a_key_a_rolled_back_record_harms_no_consumer(stage: Stage, vault: Vault) -> None:
    """The delivery differs from what the old record says: the key stops or heals, and the delivered secret works."""
    before = vault.text(f"keys/{BOT}")
    stage.run("apply", "--yes")
    stage.run("rotate", BOT, "--yes")
    vault.put(f"keys/{BOT}", before)
    for _ in range(2):
        stage.run("apply", "--yes", "--verify", code=None)
        secret = stage.delivered()
        assert secret is not None
        assert stage.alive(secret)


def _git(folder: Path, *args: str) -> None:
    git = shutil.which("git")
    assert git is not None
    subprocess.run([git, "-c", "init.defaultBranch=main", *args], cwd=folder, check=True, capture_output=True)


@pytest.mark.finding(
    "M1", before="a pull request brought the record that commands the account", now="records that git tracks: exit 3"
)
@pytest.mark.parametrize("version", ["2", "4"])
def test_records_that_git_tracks_are_refused(stage: Stage, version: str) -> None:
    """A commit with `.keyturn` is not read. Records that git ignores, or does not know, are used."""
    stage.make_keys()
    stage.edit(f"{{target: vault, prefix: {stage.prefix}/records}}", "{target: local}")
    _git(stage.folder, "init")
    stage.run("apply", "--yes")
    shown = stage.run("plan")
    _git(stage.folder, "config", "index.version", version)
    _git(stage.folder, "add", "-f", ".keyturn")
    shown = stage.run("plan", code=3)
    assert "git tracks the records" in shown.stdout + shown.stderr
    stage.run("apply", "--yes", code=3)
    _git(stage.folder, "rm", "-r", "--cached", ".keyturn")
    stage.run("apply", "--yes")


class TestSigned:
    """With a key for signatures a writer of the store can neither forge nor copy nor roll back."""

    @pytest.fixture(autouse=True)
    def key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The operator's key."""
        monkeypatch.setenv(KEY, ONE)

    def _refused(self, stage: Stage, why: str) -> None:
        report = stage.json("apply", "--yes", code=4)
        ends = {key["key"]: key["end"] for run in report["runs"] for key in run["reports"]}
        assert ends[BOT]["code"] == Reason.FORGED
        assert why in ends[BOT]["why"]
        assert ends["report-bot"]["exit_code"] == 0
        assert "keyturn sign checkout-bot" in stage.run("apply", "--yes", code=4).stdout

    def test_a_good_user_notices_nothing(self, stage: Stage, vault: Vault) -> None:
        """Rotations, retires and rests work as without."""
        stage.run("rotate", BOT, "--yes")
        stage.run("apply", "--yes", "--verify")
        assert '"signature":{"count":' in vault.text(f"keys/{BOT}")

    @pytest.mark.finding(
        "M1", before="anyone who may write the records could forge them", now="with KEYTURN_RECORD_KEY: exit 4"
    )
    def test_a_forged_record_is_refused(self, stage: Stage, vault: Vault) -> None:
        """A changed generation, the signature left as it was."""
        vault.put(f"keys/{BOT}", vault.text(f"keys/{BOT}").replace('"generation":1', '"generation":2'))
        self._refused(stage, "it was changed, copied from elsewhere, or signed with another key")

    def test_a_record_without_a_signature_is_refused(self, stage: Stage, vault: Vault) -> None:
        """The signature is not optional once there is a key."""
        vault.forge(lambda record: record.pop("signature"))
        self._refused(stage, "it has no signature")

    @pytest.mark.finding(
        "M1", before="a rolled back record was read as the present one", now="with KEYTURN_RECORD_KEY: exit 4"
    )
    def test_a_rolled_back_record_is_refused(self, stage: Stage, vault: Vault) -> None:
        """An old text with its old signature, under a new version."""
        before = vault.text(f"keys/{BOT}")
        stage.run("rotate", BOT, "--yes")
        vault.put(f"keys/{BOT}", before)
        self._refused(stage, "it was rolled back: signed as version")

    def test_a_copied_record_is_refused(self, stage: Stage, vault: Vault) -> None:
        """The same key id below another prefix of the store, under the very version that it was signed with."""
        text, other = vault.text(f"keys/{BOT}"), f"{stage.prefix}-other"
        found: Any = stage.openbao.call("GET", f"secret/data/{stage.prefix}/records/keys/{BOT}")
        for _ in range(found["data"]["metadata"]["version"]):
            vault.put(f"keys/{BOT}", text, other)
        stage.edit(f"prefix: {stage.prefix}/records", f"prefix: {other}/records")
        report = stage.json("plan", code=4)
        ends = {key["key"]: key["end"] for run in report["runs"] for key in run["plans"]}
        assert ends[BOT]["code"] == Reason.FORGED

    def test_a_forged_claim_is_refused(self, stage: Stage, vault: Vault) -> None:
        """A claim is signed as a record is."""
        slots = json.loads(vault.text(f"keys/{BOT}"))["slots"]
        for slot in slots.values():
            vault.forge(lambda claim: claim.update(key="other"), f"slots/{slot['uuid']}")
        time.sleep(OVERLAP)
        stage.run("rotate", BOT, "--yes", code=4)

    def test_keys_are_rotated(self, stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
        """The new key signs, the old one is accepted; `keyturn sign` signs the rest; then the old one goes."""
        assert vault.text(f"keys/{BOT}")
        monkeypatch.setenv(KEY, f"{TWO},{ONE}")
        stage.run("apply", "--yes", "--verify")
        shown = stage.run("sign", "--yes").stdout
        assert "it is signed with the second key" in shown
        monkeypatch.setenv(KEY, TWO)
        stage.run("apply", "--yes", "--verify")
        monkeypatch.setenv(KEY, ONE)
        stage.run("plan", code=4)

    @pytest.mark.finding("B7", before="`sign` did not show deliveries", now="it names each")
    def test_only_an_operator_signs_what_is_there(
        self, stage: Stage, vault: Vault, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Records without signatures: refused, shown, signed after a yes, and used. A lost key is not their loss."""
        monkeypatch.delenv(KEY)
        assert f"{KEY} is not set" in stage.run("rotate", BOT, "--yes", code=4).stdout
        monkeypatch.setenv(KEY, "off")
        stage.run("rotate", BOT, "--yes")
        vault.forge(lambda record: record.pop("signature", None), "keys/report-bot")
        monkeypatch.setenv(KEY, ONE)
        stage.run("apply", "--yes", code=4)
        shown = stage.run("sign", code=1).stdout
        assert "it has no signature. It says: generation " in shown
        assert f"; delivered to vault:{stage.prefix}/checkout#MODEL_ACCESS_KEY" in shown
        stage.run("apply", "--yes", code=4)
        stage.run("sign", "--yes")
        assert "Every signature holds" in stage.run("sign").stderr
        stage.run("apply", "--yes", "--verify")
        stage.run("rotate", BOT, "--yes")

    @pytest.mark.parametrize("wrong", ["short", f"{ONE},", f"{ONE},{TWO},{ONE}", "zz" * 32])
    def test_a_wrong_key_is_a_mistake_of_the_set_up(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        """Exit 3, and the value is not shown."""
        monkeypatch.setenv(KEY, wrong)
        shown = stage.run("plan", code=3)
        assert KEY in shown.stderr
        assert wrong not in shown.stdout + shown.stderr


def test_without_a_key_there_is_nothing_to_sign(stage: Stage) -> None:
    """Exit 3 with the variable's name."""
    assert KEY in stage.run("sign", code=3).stderr


def test_the_moments_of_this_page_are_past_and_future() -> None:
    """The forged moments lie more than the tolerated minute away."""
    now = datetime.now(UTC)
    assert datetime.fromisoformat(PAST) < now - timedelta(days=1) < now < datetime.fromisoformat(FUTURE)
