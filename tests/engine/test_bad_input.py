"""What is wrong with a program is said in a sentence, and leaves no key minted and unrecorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pulumi_keyturn.dynamic import ModelAccessKey
from tests.engine.harness import Program

if TYPE_CHECKING:
    from tests.engine.harness import Site

UNKNOWN = """
first = ModelAccessKey("first", data["first"])
second = data["second"]
second["deliver"][0]["path"] = first.digest.apply(lambda digest: f"{data['prefix']}/{digest}")
address = second["targets"]["vault"]["address"]
second["targets"]["vault"]["address"] = first.uuid.apply(lambda _: address)
ModelAccessKey("second", second, rotation_trigger=first.digest)
known = {name: data["first"][name] for name in ("targets", "smoke", "timing")}
SmokeCheck("check", deliveries=first.deliveries, every="30d", **known)
"""


def test_every_mistake_is_told_by_preview_at_once(site: Site) -> None:
    """Unknown target, paths that reach elsewhere, literal secrets, wrong fields: each by the name of its input."""
    field = {"field": "MODEL_ACCESS_KEY"}
    token = "hvs." + "A" * 30
    wrong: dict[str, Any] = {
        "deliver": [{"target": "vualt", "path": "a/b", **field}, {"target": "vault", "path": "../../sys/x", **field}],
        "targets": {"vault": {**site.targets["vault"], "token": token}},
        "rotation": {"every": "30d", "overlap": "soon"},
        "adopt": {"secret": "keep"},
        "on_delete": "forget",
        "smoke": None,
    }
    said = site.refused_preview(site.key(**wrong))
    for mistake in (
        "deliver[0].target: there is no such target; did you mean vault?",
        "deliver[1].path: this path is not allowed",
        "targets.vault.token: a manifest may not contain a literal secret",
        "rotation.overlap: must be a duration",
        "adopt.secret: must be 'existing' or 'regenerate'",
        "on_delete: must be 'delete' or 'retain'",
    ):
        assert mistake in said
    assert token not in said
    assert "Traceback" not in said
    assert site.requests() == []
    assert site.resources() == {}


def test_what_two_resources_have_is_refused_by_preview(site: Site) -> None:
    """One API key or one delivery for two resources: the second is told which the first is, and nothing is made."""
    data = {"one": site.inputs("bot"), "two": site.inputs("bot", rotation={"strategy": "in-place", "every": None})}
    said = site.refused_preview(Program("for name in data: ModelAccessKey(name, data[name])", data))
    assert "name: two resources of this program have the API key 'bot'; the other one is pulumi:shop/dev/" in said
    assert f"deliver[0]: two resources of this program have the delivery vault:{site.prefix}/bot#MODEL" in said
    assert site.requests() == []
    one = Program('ModelAccessKey("two", data["two"])', data)
    site.up(one)
    assert site.preview(one) == {"same": 2}


def test_what_is_unknown_in_a_preview_is_checked_later(site: Site) -> None:
    """A path, a trigger and a target that come from another resource: preview accepts them, and up delivers."""
    data = {"first": site.inputs("first"), "second": site.inputs("second"), "prefix": site.prefix}
    program = Program(UNKNOWN, data)
    assert site.preview(program)["create"] == 4
    wrong = Program(UNKNOWN, {**data, "second": site.inputs("second", name=["a", "list"])})
    assert "name: must be a string" in site.refused_preview(wrong)
    site.requests()
    site.up(program)
    outputs = site.resources()["second"]["outputs"]
    assert outputs["deliveries"][0]["path"] == f"{site.prefix}/{site.outputs('first')['digest']}"
    assert site.outputs("check")["verdict"] == "accepted"
    site.requests()
    assert site.preview(program) == {"same": 4}
    assert site.requests() == []


def test_a_smoke_check_fails_the_up_whose_secret_is_refused(site: Site) -> None:
    """It runs when declared and when what it checks changes; a refused secret is red, with place and reason."""
    path = f"{site.prefix}/bot"

    def program(field: str) -> Program:
        place = {"target": "vault", "path": path, "field": field}
        known = {name: site.inputs()[name] for name in ("targets", "smoke", "timing")}
        return Program('SmokeCheck("check", data)', {"deliveries": [place], **known})

    site.put(site.sandbox.panel_create("bot").secret)
    site.up(program("MODEL_ACCESS_KEY"))
    site.requests()
    assert site.preview(program("MODEL_ACCESS_KEY")) == {"same": 2}
    site.put("sk-do-" + "x" * 64)
    said = site.refused(program("MODEL_ACCESS_KEY"), "--replace", "**check")
    assert f"the smoke-check failed: vault:{path}#MODEL_ACCESS_KEY: refused" in said
    assert f"vault:{path}#OTHER: refused: it is empty" in site.refused(program("OTHER"))
    assert site.mutations() == []
    assert site.leaks() == []


def test_missing_credentials_and_places_are_told_in_a_sentence(site: Site) -> None:
    """No account token, no login, a vault that is not there: one paragraph each, and no call that mutates."""
    site.variables["DIGITALOCEAN_TOKEN"] = ""
    assert "no DigitalOcean token found. Set DIGITALOCEAN_TOKEN" in site.refused(site.key())
    del site.variables["DIGITALOCEAN_TOKEN"]
    token = site.variables.pop("VAULT_TOKEN")
    assert "VAULT_TOKEN" in site.refused(site.key())
    site.variables["VAULT_TOKEN"] = token
    elsewhere: Any = {"vault": {**site.targets["vault"], "address": "https://vault.example.com"}}
    assert "no credential may be sent to https://vault.example.com" in site.refused(site.key(targets=elsewhere))
    assert site.mutations() == []
    assert site.leaks() == []


def test_credentials_may_come_from_the_stack_s_configuration(site: Site) -> None:
    """What the environment lacks is taken from `keyturn:…`, encrypted in the state and in the stack's file."""
    site.configure("keyturn:vaultToken", site.variables.pop("VAULT_TOKEN"))
    site.configure("keyturn:digitaloceanToken", site.sandbox.token)
    site.variables["DIGITALOCEAN_TOKEN"] = ""
    site.up(site.key())
    assert site.accepted()
    site.refresh()
    site.destroy()
    assert site.mutations()[-1] == "delete"
    assert site.leaks() == []


def test_import_is_refused_with_the_way_to_go(site: Site) -> None:
    """`import_` cannot work on a dynamic resource; the error says to use `adopt`."""
    said = site.refused_preview(site.key(options='import_="shop.dev.bot"'))
    assert "adopt={'secret': 'existing'}" in said
    with pytest.raises(ValueError, match="deliver is required"):
        ModelAccessKey("bot")


def test_a_replacement_leaves_the_key_as_it_is(site: Site) -> None:
    """--replace, before or after, mints and deletes nothing; another id is refused; a removed resource is deleted."""
    site.up(site.key())
    secret = site.delivered()
    site.requests()
    for first in (True, None):
        site.up(site.key(options=f"delete_before_replace={first}"), "--replace", "**bot")
    assert "another resource of this program has this key now" in site.screen()
    assert "key: must not change" in site.refused(site.key(key="another"))
    assert site.mutations() == []
    assert site.delivered() == secret
    assert site.accepted()
    site.up(Program())
    assert site.mutations() == ["delete"]
    site.up(site.key())
    site.requests()
    site.destroy("--run-program", program=site.key())
    assert site.mutations() == ["delete"]
