"""Targets and APIs that fail in the middle of an up; the next up converges."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.contract.relay import is_write, relay
from tests.engine.harness import Program
from tests.support.raw_http import reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.harness import Site

EACH = "for name in data: ModelAccessKey(name, data[name])"
HOOK = """
hook = pulumi.ErrorHook("again", lambda args: len(args.errors) < 5)
options = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[hook]))
key = ModelAccessKey("bot", data, options)
"""


@contextmanager
def breakable(site: Site) -> Iterator[threading.Event]:
    """Put before the vault what answers 503 to a delivery after a mint, while the event is set."""
    broken = threading.Event()

    def judge(request: bytes) -> bytes | None:
        hits = broken.is_set() and is_write(request) and f"/{site.prefix}/bot".encode() in request.split(b"\r\n")[0]
        return reply(503, '{"errors": ["Vault is sealed"]}') if hits and site.minted() else None

    with relay(site.openbao.address, judge) as before:
        site.vault = before.url
        yield broken


def test_a_target_that_fails_after_the_mint_gets_its_secret_from_the_next_up(site: Site) -> None:
    """The up is red in one sentence and the state unchanged; the next one delivers, and all is at rest."""
    with breakable(site) as broken:
        site.up(site.key())
        state = site.outputs()
        broken.set()
        site.requests()
        said = site.refused(site.key(rotation_trigger=1))
        assert "could not be delivered" in said
        assert site.outputs() == state
        broken.clear()
        site.up(site.key(rotation_trigger=1))
    assert site.accepted()
    assert site.outputs()["rotation_trigger"] == 1
    assert site.requests("create") == []
    site.up(site.key(rotation_trigger=1))
    assert site.requests() == []
    assert site.leaks() == []


def test_a_change_that_is_taken_back_half_done_is_finished_by_an_up_that_refreshes(site: Site) -> None:
    """A failed rotation and a failed destroy say how to take them back; a refresh finds what is open, the up heals."""
    with breakable(site) as broken:
        site.up(site.key())
        broken.set()
        site.requests()
        assert "To undo the change, run `pulumi up --refresh`" in site.refused(site.key(rotation_trigger=1))
        broken.clear()
        site.up(site.key(), "--refresh")
        assert site.accepted()
        assert site.outputs()["health"] == "healthy"

        site.sandbox.arm("delete", "error-403", times=None)
        assert "To undo the change, run `pulumi up --refresh`" in site.refused_destroy()
        assert site.delivered() is None
        site.sandbox.clear_faults()
        site.up(site.key(), "--refresh")
        assert site.accepted()
        assert site.outputs()["health"] == "healthy"


def test_a_create_that_fails_after_the_mint_names_its_key(site: Site) -> None:
    """It is in no state, so no destroy would delete it: the error says so, and the next up goes on with that key."""
    with breakable(site) as broken:
        broken.set()
        said = site.refused(site.key())
        (key,) = site.sandbox.state.keys.values()
        assert f"The API key {key.uuid} exists and is recorded" in said
        assert site.resources() == {}
        broken.clear()
        site.up(site.key())
    assert site.outputs()["uuid"] == key.uuid
    assert site.accepted()


def test_an_error_hook_may_try_a_create_again(site: Site) -> None:
    """What failed once is tried again in the same process, list and create alike, until it works."""
    site.sandbox.arm("list", "error-500", times=4)
    site.sandbox.arm("create", "error-422", times=1)
    site.up(Program(HOOK, site.inputs()))
    assert site.accepted()


def test_a_target_that_forbids_writing_is_found_before_the_mint(site: Site) -> None:
    """A login that may only read the delivery: the up is red, and nothing was minted."""
    site.up(site.key())
    site.requests()
    site.forbid_writing()
    said = site.refused(site.key(rotation_trigger=1))
    assert f"{site.prefix}/bot" in said
    assert site.mutations() == []
    assert site.accepted()


def test_ten_keys_at_once_come_through_a_rate_limit_with_one_list_an_up(site: Site) -> None:
    """A 429 is waited out by reads and mints alike: that up is green, and each key was made once.

    One list serves all keys of an up, also where their targets differ.
    """
    names = [f"bot-{number}" for number in range(10)]
    inputs = {name: site.inputs(name) for name in names}
    for name in names[:5]:
        inputs[name]["targets"] = {**site.targets, "other": site.targets["vault"]}
    site.sandbox.arm("list", "error-429", times=2, delay=1)
    site.sandbox.arm("create", "error-429", times=2, delay=1)
    site.up(Program(EACH, inputs))
    assert len(site.resources()) == 10
    assert all(site.accepted(name) for name in names)
    seen = [item.op for item in site.requests() if item.status == 200]
    assert seen.count("list") == 1
    assert seen.count("create") == 10
    assert site.leaks() == []


def test_one_bad_key_leaves_the_others_alone(site: Site) -> None:
    """A key that cannot be made fails the up; the others are delivered, and the next up makes no call for them."""
    site.sandbox.panel_create("taken")
    program = Program(EACH, {name: site.inputs(name) for name in ("taken", "good")})
    said = site.refused(program, "--continue-on-error")
    assert "an API key of that name exists already" in said
    assert site.accepted("good")
    assert set(site.resources()) == {"good"}
