"""The full provider on the real engine: what previews say, and what they leave known."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any

import pytest

from keyturn_provider import messages
from tests.engine.full_site import BOTH
from tests.engine.harness import MODEL, Program

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite


def step(shown: dict[str, Any], name: str = "bot") -> dict[str, Any]:
    """Return what a preview would do to a resource, after it has read it."""
    found: dict[str, Any] = [one for one in shown["steps"] if one["urn"].endswith(f"::{name}")][-1]
    return found


def told(shown: dict[str, Any], name: str = "bot") -> str:
    """Return what a preview says on the row of a resource."""
    lines = [one["message"] for one in shown["diagnostics"] if one.get("urn", "").endswith(f"::{name}")]
    return "\n".join(lines)


@BOTH
def test_a_due_rotation_says_why_on_its_row_and_in_json(full: FullSite) -> None:
    """The diff is not empty: the age of the secret explains it. The plan says who is refused meanwhile."""
    program = full.key(rotation={"strategy": "in-place", "every": "1s"})
    full.up(program)
    time.sleep(1)  # its age is over `every` now
    full.requests()
    shown = full.previewed(program)
    assert shown["changeSummary"] == {"same": 1, "update": 1}
    assert step(shown)["diffReasons"] == ["rotatedAt"]
    assert set(step(shown)["detailedDiff"]) == {"rotatedAt"}
    assert "rotates: its secret is from " in told(shown)
    assert "until its consumers reload they are refused" in told(shown)
    assert full.mutations() == []
    full.up(program)
    assert full.mutations() == ["regenerate"]
    assert full.accepted()


@BOTH
def test_a_change_of_smoke_leaves_dependents_known(full: FullSite) -> None:
    """A stack output that is made of a delivery and a digest shows no change in the preview."""
    outputs = {"where": "${bot.deliveries}", "digest": "${bot.digest}", "dies": "${bot.retireAt}"}
    first, second = full.key(), full.key(smoke={"model": MODEL, "api": "responses"})
    full.up(Program(data={**first.data, "outputs": outputs}))
    before = full.exports()
    shown = full.previewed(Program(data={**second.data, "outputs": outputs}))
    assert step(shown)["diffReasons"] == ["smoke"]
    assert step(shown, "shop-dev")["newState"].get("outputs", before) == before
    full.up(Program(data={**second.data, "outputs": outputs}))
    assert full.exports() == before


@BOTH
def test_a_preview_names_each_effect_of_the_up(full: FullSite) -> None:
    """It only reads; the up then makes these changes and no others."""
    place = f"vault:{full.prefix}"
    elsewhere = [{"target": "vault", "path": f"{full.prefix}/new", "field": "MODEL_ACCESS_KEY"}]
    robot: dict[str, Any] = {"rotation_trigger": 1, "name": "robot"}
    life: list[tuple[Program, list[str], list[str]]] = [
        (full.key(), ["create", "rename"], ["asks the API to create 'bot'"]),
        (
            full.key(rotation_trigger=1),
            ["regenerate"],
            ["rotates: the rotation trigger changed", f"delivers to {place}/bot#"],
        ),
        (full.key(**robot), ["rename"], ["renames 'bot' to 'robot'"]),
        (
            full.key(**robot, deliver=elsewhere),
            [],
            [f"delivers to {place}/new#", f"removes the secret from {place}/bot#"],
        ),
    ]
    for program, effects, lines in life:
        shown = full.previewed(program)
        assert full.mutations() == []
        assert [line for line in lines if line not in told(shown)] == []
        full.up(program)
        assert full.mutations() == effects
    assert full.delivered() is None
    assert full.accepted("new")


@BOTH
def test_a_plain_up_heals_what_a_plain_preview_shows(full: FullSite) -> None:
    """Each preview and up reads the key's places first, so neither waits for a refresh."""
    full.up(full.key())
    secret = full.delivered()
    full.put("sk-by-hand")
    full.requests()
    shown = full.previewed(full.key())
    assert step(shown)["diffReasons"] == ["health"]
    assert "delivers to vault:" in told(shown)
    full.up(full.key())
    assert full.mutations() == []
    assert full.delivered() == secret


def test_an_up_at_rest_reads_nothing_if_it_is_told_so(full: FullSite) -> None:
    """With refreshBeforeUpdate off, a change by hand waits for a refresh."""
    full.configuration = {"refreshBeforeUpdate": False}
    full.up(full.key())
    full.put("sk-by-hand")
    full.requests()
    full.up(full.key())
    assert full.requests() == []
    assert full.delivered() == "sk-by-hand"


def test_the_configuration_completes_every_resource_and_its_tokens_are_in_no_file(full: FullSite) -> None:
    """One declaration of the targets serves all keys; a token is encrypted in the state."""
    token = full.variables.pop("VAULT_TOKEN")
    full.configure("keyturn:vaultToken", token)
    places = ("targets", "records", "smoke", "timing")
    shared = {f"keyturn:{name}": full.inputs()[name] for name in places}
    declared = [full.declared(name, **dict.fromkeys(places)) for name in ("bot", "mail")]
    both = {"config": shared_config(shared), "resources": dict(zip(("bot", "mail"), declared, strict=True))}
    full.up(Program(data=both))
    assert full.accepted("bot")
    assert full.accepted("mail")
    full.destroy()
    assert full.delivered("mail") is None
    assert full.leaks() == []


@pytest.mark.parametrize("declared", [False, True], ids=["default", "declared"])
def test_a_changed_token_counts_once_the_provider_has_it(full: FullSite, declared: bool) -> None:
    """A refresh has the configuration of the last up. The error says so, and the command in it ends that."""
    old, new = (full.sandbox.add_token(team="sandbox").value for _ in range(2))
    full.variables["DIGITALOCEAN_TOKEN"] = ""
    for token in (old, new):
        if declared:
            full.configuration = {"digitaloceanToken": token}
        else:
            full.configure("keyturn:digitaloceanToken", token)
        if token == old:
            full.up(full.key())
            full.sandbox.revoke_token(old)
    told = full.refused(full.key())
    assert "keyturn:digitaloceanToken. A refresh, also that of an up, uses the configuration of the last up" in told
    assert messages.RECONFIGURE in told
    words = shlex.split(messages.RECONFIGURE.strip("`"))
    full.requests()
    full.up(full.key(), *words[2:])
    assert full.requests() == []
    full.up(full.key())
    assert full.mutations() == []
    assert full.accepted()


def shared_config(values: dict[str, object]) -> dict[str, object]:
    """Return the configuration of a project."""
    return {name: {"value": value} for name, value in values.items()}
