"""The pure account: secrets, their lives, and what is derived from a seed."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.sandbox import Key, Sandbox, State
from keyturn.sandbox import state as account
from keyturn.sandbox.state import AT_ONCE, Mint


def made(seed: str = "1", mint: Mint = AT_ONCE) -> tuple[State, Key]:
    """Make one key at the moment 100."""
    return account.create(State(seed), "bot", 100.0, mint)


def test_equal_seeds_give_equal_histories() -> None:
    """The same seed and the same steps give the same uuids and secrets; another seed gives others."""
    assert made("1") == made("1")
    assert made("1")[1].uuid != made("2")[1].uuid
    assert made("1")[1].secret != made("2")[1].secret


def test_formats_are_those_of_the_product() -> None:
    """Secrets have the older or the newer format, tokens `dop_v1_` and 64 hex digits, `created_by` is a uint64."""
    _, key = made()
    assert re.fullmatch(r"sk-do-[A-Za-z0-9_-]{64}", key.secret)
    assert re.fullmatch(r"doo_v1_[0-9a-f]{64}", made(mint=Mint(account.NEWER))[1].secret)
    assert re.fullmatch(r"dop_v1_[0-9a-f]{64}", account.derive_token("1", 0))
    assert 2**53 < int(key.created_by) < 2**64


def test_mixed_formats_come_by_turns_and_a_regenerate_gives_the_other() -> None:
    """With `mixed`, keys alternate between the formats, and so do the secrets of one key."""
    mint, state, formats = Mint(account.MIXED), State("1"), []
    for _ in range(4):
        state, key = account.create(state, "bot", 100.0, mint)
        formats.append(key.secret.startswith("doo_v1_"))
        for _ in range(2):
            state, key = account.regenerate(state, key, 200.0, mint)
            formats.append(key.secret.startswith("doo_v1_"))
    assert formats == [False, True, False, True, False, True] * 2


def test_a_regenerate_takes_the_format_that_is_set() -> None:
    """After the setting was changed, a key of the older format gets a secret of the newer one."""
    state, key = made()
    _, fresh = account.regenerate(state, key, 200.0, Mint(account.NEWER))
    assert (key.secret[:6], fresh.secret[:7]) == ("sk-do-", "doo_v1_")


def test_a_fresh_secret_is_refused_until_it_has_propagated() -> None:
    """Inference accepts a secret from `propagation` seconds after it was minted, not before."""
    state, key = made(mint=Mint(propagation=2.0))
    assert state.key_of(key.secret, 101.9) is None
    assert state.key_of(key.secret, 102.0) == key


def test_regenerate_kills_the_old_secret_at_once() -> None:
    """At the moment of a regenerate the old secret is refused, even while the new one is still propagating."""
    state, key = made()
    state, fresh = account.regenerate(state, key, 200.0, Mint(propagation=5.0))
    assert not state.secrets[key.secret].alive(200.0)
    assert state.secrets[key.secret].alive(199.9)
    assert not state.secrets[fresh.secret].accepted(204.9)
    assert state.secrets[fresh.secret].accepted(205.0)


def test_a_lingering_secret_dies_late_but_dies() -> None:
    """With `linger`, the old secret lives on for that long; a second regenerate does not prolong it."""
    state, key = made()
    state, fresh = account.regenerate(state, key, 200.0, Mint(linger=10.0))
    state, _ = account.regenerate(state, fresh, 205.0, Mint(linger=10.0))
    assert state.secrets[key.secret].died_at == 210.0
    assert state.secrets[fresh.secret].died_at == 215.0


def test_delete_kills_every_secret_of_the_key() -> None:
    """A deleted key is found no more, and none of its secrets lives."""
    state, key = made()
    state, _ = account.regenerate(state, key, 200.0)
    state, gone = account.delete(state, state.keys[key.uuid], 300.0)
    assert gone.deleted_at == 300.0
    assert state.key(key.uuid) is None
    assert not any(minted.alive(300.0) for minted in state.secrets.values())


def test_state_is_a_snapshot() -> None:
    """What a test holds does not change under it when the sandbox goes on."""
    sandbox = Sandbox(seed=1, start=0.0)
    before = sandbox.state
    sandbox.panel_create("bot")
    assert not before.keys
    assert len(sandbox.state.keys) == 1


def test_no_secret_in_a_repr() -> None:
    """Neither state nor key shows a secret or a token when it is printed by a failing test."""
    sandbox = Sandbox(seed=1, start=0.0)
    key = sandbox.panel_create("bot")
    assert key.secret not in repr(key) + repr(sandbox.state)
    assert sandbox.token not in repr(sandbox.state)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["create", "regenerate", "delete"]), max_size=12))
def test_a_key_has_one_living_secret_and_a_deleted_one_none(steps: list[str]) -> None:
    """After any history each key has exactly one living secret, its present one; a deleted key has none."""
    state = State("seed")
    for now, step in enumerate(steps):
        keys = state.live_keys(account.TEAM)
        if step == "create":
            state, _ = account.create(state, "bot", now)
        elif keys and step == "regenerate":
            state, _ = account.regenerate(state, keys[0], now)
        elif keys:
            state, _ = account.delete(state, keys[0], now)
    for key in state.keys.values():
        living = [m.value for m in state.secrets.values() if m.uuid == key.uuid and m.alive(len(steps))]
        assert living == ([] if key.deleted_at is not None else [key.secret])
