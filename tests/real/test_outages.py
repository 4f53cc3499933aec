"""OpenBao paused, sealed, restarted or closed, right after a mint: nothing is lost, and one `apply` mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from tests.real.promise import breaches, noise
from tests.real.relay import Moment
from tests.real.site import Servers, Site
from tests.support.openbao import OpenBao

Ill = Callable[[Site, ExitStack], None]
"""Makes the vault ill; leaving the stack makes it well again."""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """An OpenBao on disk that may be stopped."""
    with OpenBao(tmp_path_factory.mktemp("vault"), dev=False) as server:
        yield server


@pytest.fixture
def own(shared: Servers, vault: OpenBao) -> Iterator[Site]:
    """A site at that vault, which it enters by a token of its own."""
    with Site(replace(shared, bao=vault)) as found:
        allow(found, "create", "read", "update", "list")
        found.token = vault.token(found.id)
        yield found


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
    site.bao.call("POST", "auth/token/revoke", {"token": site.token})
    stack.callback(lambda: setattr(site, "token", site.bao.token(site.id)))


@pytest.mark.parametrize("strategy", ["in-place", "alternating"])
@pytest.mark.parametrize(
    ("ill", "codes"),
    [(paused, {1}), (sealed, {1}), (restarted, {1}), (denied, {1}), (logged_out, {1, 5})],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_vault_that_fails_after_the_mint_loses_nothing(own: Site, strategy: str, ill: Ill, codes: set[int]) -> None:
    """The run ends with its exit code, in time and in words; once the vault is well, one `apply` delivers."""
    own.existing("key", strategy)
    own.come_to_rest()
    old = own.held("key") or ""
    hold = own.gate.on("regenerate", Moment.AFTER)
    run = own.start("rotate", "key", "--yes")
    assert own.until_reached(hold, run)
    with ExitStack() as stack:
        ill(own, stack)
        hold.let_go()
        assert run.wait() in codes
        assert "failed" in run.out
        assert own.sandbox.accepts(old) is (strategy == "alternating")
    after = own.apply()
    assert after.code == 0, after.out
    assert breaches(own, "key") == []
    assert noise(own) == []
    assert own.outage("key") == 0 or strategy == "in-place"


def test_a_vault_that_comes_back_in_time_gets_the_secret_of_the_same_run(own: Site) -> None:
    """A short pause is waited out: the delivery is tried again until `timing.delivery`, with one mint in all."""
    own.timing = {**own.timing, "delivery": "30s"}
    own.existing("key")
    own.come_to_rest()
    mints = own.mints("key")
    hold = own.gate.on("regenerate", Moment.AFTER)
    run = own.start("rotate", "key", "--yes")
    assert own.until_reached(hold, run)
    with own.bao.paused():
        hold.let_go()
        with pytest.raises(TimeoutError):
            own.until_reached(own.gate.on("record"), run, seconds=3)
        own.gate.open()
    assert run.wait() == 0, run.out
    assert own.mints("key") == mints + 1
    assert breaches(own, "key") == []
