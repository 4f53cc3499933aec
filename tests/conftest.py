"""What every test shares: no way out of this machine, and real servers on it.

A server's library is imported by its fixture: the small environments of `make unit-all` do not have it.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import conforming, findings, histories, table
from tests.support.network import stay_on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.moto import Moto
    from tests.support.openbao import OpenBao

CREDENTIALS = ("AWS_", "BAO_", "DIGITALOCEAN_", "KEYTURN_", "OP_CONNECT_", "PULUMI_", "VAULT_")

stay_on_loopback()


def pytest_configure() -> None:
    """Hear signals, and let children hear them, also where the tests were started in the background or by nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests of the security review's findings say which they are about."""
    findings.note(items)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the contract suite, the conformance run, the security findings and the simulator came to."""
    if terminalreporter.config.get_verbosity() >= 0:
        table.show(terminalreporter)
        conforming.show(terminalreporter)
        findings.show(terminalreporter)
        histories.show(terminalreporter)


@pytest.fixture(autouse=True)
def no_credentials_of_the_person_who_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts without the variables that keyturn and its vendor libraries read."""
    for name in [name for name in os.environ if name.startswith(CREDENTIALS)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """One OpenBao in memory for the whole session: use paths of your own in it, and never seal or stop it."""
    from tests.support.openbao import OpenBao

    with OpenBao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@pytest.fixture
def openbao_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """An OpenBao on disk for one test, to be sealed, stopped, restarted or paused."""
    from tests.support.openbao import OpenBao

    with OpenBao(tmp_path_factory.mktemp("openbao"), dev=False) as server:
        yield server


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    """One AWS in memory for the whole session: use paths of your own in it, and never freeze it."""
    from tests.support.moto import Moto

    with Moto() as server:
        yield server
