"""docs/operate.md: its table is the catalogue's, and each runbook is carried out, command for command."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from keyturn.core.reasons import Condition, Reason
from tests.blocks import ROOT, blocks, is_pending

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

PAGE = ROOT / "docs/operate.md"
BOTS = ("checkout-bot", "report-bot")


CARRIED_OUT = {
    "One key leaked": 3,
    "All keys leaked": 3,
    "The vault was restored from an old snapshot": 4,
    "A record was lost": 5,
    "The wrong team": 1,
    "From a hand-made key": 1,
    "Parked": 3,
    "Stop managing a key": 2,
    "Upgrade": 2,
}
"""The runbooks of the tests below, with how many commands they type."""


def commands(heading: str) -> list[list[str]]:
    """Return the commands of a runbook, those that are pending left out."""
    texts = [block.text for block in blocks(PAGE) if block.language == "sh" and block.heading == heading]
    assert texts, heading
    found = [shlex.split(line, comments=True) for text in texts for line in text.splitlines() if line.strip()]
    typed = [words[words.index("|") + 1 :] if "|" in words else words for words in found]  # a pipe is the test's stdin
    return [words for words in typed if not is_pending(words[1:])]


def follow(stage: Stage, heading: str, *codes: int | None, first: int = 0, stdin: str = "") -> list[str]:
    """Type the commands of a runbook from number `first` on, as many as there are codes; return what each printed."""
    said = []
    for (program, *words), code in zip(commands(heading)[first:], codes, strict=False):
        assert program == "keyturn"
        done = stage.run(*words, code=code, stdin=stdin)
        said.append(done.stdout + done.stderr)
    assert len(said) == len(codes)
    return said


def document(stage: Stage, path: str) -> dict[str, Any]:
    """Return what a path of the stage holds."""
    held: dict[str, Any] = stage.openbao.call("GET", f"secret/data/{stage.prefix}/{path}")["data"]["data"]  # type: ignore[index]
    return held


def forget(stage: Stage, path: str) -> None:
    """Destroy a path with its history."""
    stage.openbao.call("DELETE", f"secret/metadata/{stage.prefix}/{path}")


@pytest.fixture
def managed(stage: Stage) -> Stage:
    """The quickstart after its first apply."""
    stage.make_keys()
    stage.run("apply", "--yes")
    return stage


def test_the_conditions_are_those_of_the_catalogue() -> None:
    """Each one, in its order, with its exit code and its meaning."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (\d) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    known = [(str(one), str(one.exit_code), one.meaning) for one in Condition]
    words = [one for one in Reason if one.word != one.condition]
    others = {(one.word, "0", one.meaning[0].lower() + one.meaning[1:].rstrip(".")) for one in words}
    assert [row[:3] for row in rows[: len(known)]] == known
    assert {row[:3] for row in rows[len(known) :]} == others


def test_every_command_of_a_runbook_is_carried_out() -> None:
    """A command that is added to the page has to be added to a test."""
    headings = {block.heading for block in blocks(PAGE) if block.language == "sh"}
    assert {heading: len(commands(heading)) for heading in headings} == CARRIED_OUT


def test_one_key_leaked(managed: Stage) -> None:
    """The leaked secret is dead when the command ends; the history has the incident."""
    leaked = managed.delivered()
    said = follow(managed, "One key leaked", 0, 0, 0)
    assert leaked is not None
    assert not managed.alive(leaked)
    assert "accepted by chat" in said[1]
    assert "INC-42" in said[2]


def test_all_keys_leaked_and_the_vault_is_restored(managed: Stage) -> None:
    """Every leaked secret is dead; then the vault forgets it, and the two runbooks are one after the other."""
    names = ["checkout", "report", *(f"records/keys/{bot}" for bot in BOTS)]
    slots: Any = managed.openbao.call("LIST", f"secret/metadata/{managed.prefix}/records/slots")["data"]
    names += [f"records/slots/{uuid}" for uuid in slots["keys"]]
    snapshot = {name: document(managed, name) for name in names}
    leaked = [managed.delivered("checkout"), managed.delivered("report")]

    said = follow(managed, "All keys leaked", 0, 0, 0)
    assert [secret for secret in leaked if secret and managed.alive(secret)] == []
    assert said[2].count("INC-43") >= 2

    for name, held in snapshot.items():
        forget(managed, name)
        managed.openbao.call("POST", f"secret/data/{managed.prefix}/{name}", {"data": held})
    time.sleep(3)  # the overlap that the snapshot remembers
    told = follow(managed, "The vault was restored from an old snapshot", 4, 0, 0, 0)
    assert "refuses every key that was checked" in told[0]
    for bot in ("checkout", "report"):
        secret = managed.delivered(bot)
        assert secret is not None
        assert managed.alive(secret)


def test_a_record_was_lost(managed: Stage) -> None:
    """Deleted: undelete. Destroyed: adopt again, without a mint."""
    managed.openbao.call("DELETE", f"secret/data/{managed.prefix}/records/keys/checkout-bot")
    said = managed.run("plan", code=1).stdout
    undelete = commands("A record was lost")[0]
    assert undelete[:3] == ["vault", "kv", "undelete"]
    version = re.search(r"version (\d+) is deleted", said)
    assert version
    path = f"secret/undelete/{managed.prefix}/records/keys/checkout-bot"
    managed.openbao.call("PUT", path, {"versions": [int(version[1])]})
    follow(managed, "A record was lost", 0, first=1)
    before = managed.delivered("checkout"), managed.delivered("report")
    for bot in BOTS:
        forget(managed, f"records/keys/{bot}")
    assert "secret-in-use" in managed.run("plan", code=4).stdout
    follow(managed, "A record was lost", 0, 0, 0, first=2)
    assert (managed.delivered("checkout"), managed.delivered("report")) == before


def test_the_wrong_team(managed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, nothing is changed, and the right token continues."""
    other = "dop_v1_" + "b" * 64
    managed.sandbox.add_token(other, team="other")
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", other)
    [said] = follow(managed, "The wrong team", 4)
    assert "another-team" in said
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", managed.sandbox.token)
    managed.run("plan")


def test_parked_and_deleted(managed: Stage) -> None:
    """The record says parked; one command ends it. Then the key is deleted, by its number."""
    path = f"secret/data/{managed.prefix}/records/keys/report-bot"
    held = document(managed, "records/keys/report-bot")
    record = json.loads(held["document"])
    from keyturn.manifest import load_all

    [desired] = load_all(managed.manifest, managed.variables)
    [fingerprint] = [key.fingerprint for key in desired.keys if key.id == "report-bot"]
    at = record["slots"]["a"]["minted_at"]
    record["parked"] = {"why": "3 runs in a row failed", "at": at, "fingerprint": fingerprint}
    managed.openbao.call("POST", path, {"data": {"document": json.dumps(record)}})
    said = follow(managed, "Parked", 1, 0, 0)
    assert "parked" in said[0]
    managed.run("status", "report-bot")
    text = managed.manifest.read_text()
    entry = text[text.index("  report-bot:") : text.index("# Short, so that")]
    managed.edit(entry, "  report-bot: {state: absent}\n\n")
    follow(managed, "Stop managing a key", 4, 0)
    assert managed.delivered("report") is None


def test_places_owners_and_upgrades(managed: Stage, tmp_path: Path) -> None:
    """Two deliveries, then one; another manifest takes over; an upgrade finds nothing to do."""
    old, new = f"path: {managed.prefix}/report", f"path: {managed.prefix}/reporting"
    line = f"      - {{target: vault, {old}, field: MODEL_ACCESS_KEY}}\n"
    added = line.replace(old, new)
    managed.edit(line, line + added)
    managed.run("apply", "report-bot", "--yes")
    assert managed.delivered("report") == managed.delivered("reporting") is not None
    managed.edit(line, "")
    managed.run("apply", "report-bot", "--yes")
    assert managed.delivered("report") is None
    assert managed.delivered("reporting") is not None

    other = tmp_path / "other.yaml"
    other.write_text(managed.manifest.read_text().replace("name: quickstart", "name: other"))
    before = managed.delivered("reporting")
    assert "another-owner" in managed.run("apply", "report-bot", "-f", str(other), "--yes", code=4).stdout
    managed.run("apply", "report-bot", "--take-over", "-f", str(other), "--yes")
    assert managed.delivered("reporting") == before
    other.unlink()
    managed.run("apply", "report-bot", "--take-over", "--yes")

    said = follow(managed, "Upgrade", 0, None)
    assert re.match(r"keyturn,? (version )?\d", said[0])


def test_from_a_hand_made_key(stage: Stage) -> None:
    """Its secret stays, from the vault as well as from standard input."""
    key = stage.sandbox.panel_create("report-bot")
    stage.edit(
        "    adopt: {secret: regenerate}\n    rotation: {strategy: in-place", "    rotation: {strategy: in-place"
    )
    follow(stage, "From a hand-made key", 0, stdin=key.secret)
    assert stage.delivered("report") == key.secret
    assert stage.alive(key.secret)
