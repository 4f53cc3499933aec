"""What every test shares: no way out of this machine, and real servers on it.

A server's library is imported by its fixture: the small environments of `make unit-all` do not have it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import conforming, findings, histories, table
from tests.support.network import stay_on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.control_plane import Cluster
    from tests.support.moto import Moto
    from tests.support.openbao import OpenBao

CREDENTIALS = ("AWS_", "BAO_", "DIGITALOCEAN_", "KEYTURN_", "KUBE", "OP_CONNECT_", "OP_SERVICE_", "PULUMI_", "VAULT_")
TESTS = Path(__file__).parent
LONGEST_FIRST = ("cluster", "real", "simulation", "engine")
"""Folders with modules that take minutes: begun last, such a module would keep one worker busy, and the others idle."""
CLUSTER = pytest.StashKey[Path | Exception]()
"""The program of the Kubernetes control plane, or why there is none."""

stay_on_loopback()


def pytest_configure() -> None:
    """Hear signals, and let children hear them, also where the tests were started in the background or by nohup."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and let the tests of the security review's findings say which they are about."""
    findings.note(items)
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the Kubernetes control plane before any test that needs it, while no test's time runs."""
    if session.config.option.collectonly or not any(_wants_a_cluster(item) for item in session.items):
        return
    from tests.cluster.control_plane import program
    from tests.support.go_program import NoGo

    with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        try:
            session.stash[CLUSTER] = program()
        except (NoGo, RuntimeError) as error:
            session.stash[CLUSTER] = error


def _wants_a_cluster(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    at_contract = item.path.parent.name == "contract" and "kubernetes" in parameters.values()
    return not {"cluster", "own_cluster"}.isdisjoint(getattr(item, "fixturenames", ())) or at_contract


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


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Kubernetes API server for the session: use a namespace of your own in it.

    Without Go tests are skipped; with CI set they fail.
    """
    from tests.cluster.control_plane import Cluster
    from tests.support.go_program import given

    with Cluster(given(request.session.stash[CLUSTER]), tmp_path_factory.mktemp("cluster")) as server:
        yield server
