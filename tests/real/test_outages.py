"""OpenBao paused, sealed, restarted or closed, right after a mint: nothing is lost, and one `apply` fixes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.real.environment import Servers, Site, together
from tests.real.promise import breaches, noise
from tests.real.relay import Moment
from tests.support.openbao import OpenBao

Ill = Callable[[Site, ExitStack], None]
"""Makes the vault ill; leaving the stack makes it well again."""


@contextmanager
def own(shared: Servers, folder: Path) -> Iterator[Site]:
    """Start an OpenBao on disk that may be stopped, and a site at it, which it enters by a token of its own."""
    with OpenBao(folder, dev=False) as vault, Site(replace(shared, bao=vault)) as site:
        allow(site, "create", "read", "update", "list")
        site.store.token = vault.token(site.id)
        yield site


def allow(site: Site, *deliveries: str) -> None:
    """Let the site do everything with its records, and this with its deliveries."""
    everything = ["create", "read", "update", "delete", "list"]
    kinds = ("data", "metadata")
    rules = {f"secret/{kind}/{site.prefix}/*": everything for kind in kinds}
    rules |= {f"secret/{kind}/apps-{site.id}/*": list(deliveries) for kind in kinds}
    site.bao.policy(site.id, {**rules, "secret/config": ["read"]})


def paused(site: Site, stack: ExitStack) -> None:
    """SIGSTOP: connections are accepted, and nobody answers."""
    stack.enter_context(site.bao.paused())


def sealed(site: Site, stack: ExitStack) -> None:
    """Sealed: 503 to everything."""
    site.bao.seal()
    stack.callback(site.bao.unseal)


def restarted(site: Site, stack: ExitStack) -> None:
    """Ended and started again, sealed as it then is."""
    site.bao.restart()
    stack.callback(site.bao.unseal)


def denied(site: Site, stack: ExitStack) -> None:
    """Deliveries may be read and no longer written."""
    allow(site, "read", "list")
    stack.callback(allow, site, "create", "read", "update", "list")


def logged_out(site: Site, stack: ExitStack) -> None:
    """The login runs out: 403 to everything."""
    site.bao.call("POST", "auth/token/revoke", {"token": site.store.token})
    stack.callback(lambda: setattr(site.store, "token", site.bao.token(site.id)))


ILLS: dict[Ill, set[int]] = {paused: {1}, sealed: {1}, restarted: {1}, denied: {1}, logged_out: {5}}
"""With the exit code of the run that meets it."""


def test_a_vault_that_fails_after_the_mint_loses_nothing(shared: Servers, tmp_path: Path) -> None:
    """The run ends with its exit code, in time and in words; once the vault is well, one `apply` delivers."""

    def fall_ill(ill: Ill) -> None:
        folder = tmp_path / ill.__name__
        folder.mkdir()
        with own(shared, folder) as site:
            _fall_ill(site, ill)

    together(fall_ill, ILLS)


BAD = ("failed", "unknown", "login-refused")
"""The conditions of a key whose vault is failing: it depends on how."""


def _fall_ill(site: Site, ill: Ill) -> None:
    """Rotate a key of each strategy; the vault falls ill when both are minted and neither is delivered."""
    keys = {"swap": "alternating", "swift": "in-place"}
    for key, strategy in keys.items():
        site.existing(key, strategy)
    site.come_to_rest()
    old = {key: site.held(key) or "" for key in keys}
    hold = site.gate.on("regenerate", Moment.AFTER, nth=2)
    run = site.start("rotate", *keys, "--yes")
    assert site.until_reached(hold, run)
    with ExitStack() as stack:
        ill(site, stack)
        hold.let_go()
        assert run.wait() in ILLS[ill], run.out
        assert any(condition in run.out for condition in BAD), run.out
        assert site.sandbox.accepts(old["swap"])
        assert not site.sandbox.accepts(old["swift"])
    after = site.apply()
    assert after.code == 0, after.out
    assert [what for key in keys for what in breaches(site, key)] == []
    assert noise(site) == []
    assert site.outage("swap") == 0


def test_a_vault_that_comes_back_in_time_gets_the_secret_of_the_same_run(shared: Servers, tmp_path: Path) -> None:
    """A short pause is waited out: the delivery is tried again until `timing.delivery`, with one mint in all."""
    with own(shared, tmp_path) as site:
        site.timing = {**site.timing, "delivery": "30s"}
        site.existing("key")
        site.come_to_rest()
        mints = site.mints("key")
        hold = site.gate.on("regenerate", Moment.AFTER)
        run = site.start("rotate", "key", "--yes")
        assert site.until_reached(hold, run)
        with site.bao.paused():
            hold.let_go()
            time.sleep(3)
            assert run.alive
        assert run.wait() == 0, run.out
        assert site.mints("key") == mints + 1
        assert breaches(site, "key") == []
