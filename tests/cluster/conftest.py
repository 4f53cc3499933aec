"""The resources on the real API server, and kstatus, built before any test's time runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blocks import ROOT
from tests.cluster.control_plane import Cluster
from tests.cluster.resources import Resources
from tests.conftest import CLUSTER
from tests.support.go_program import NoGo, built, given
from tests.support.process import bare_environment, run
from tests.support.tools import tool

MODULE = Path(__file__).parent / "kstatus"
KSTATUS = pytest.StashKey["Path | NoGo | RuntimeError"]()
"""The program, or why there is none."""

Judge = Callable[[Sequence[Mapping[str, Any]]], list[tuple[str, str]]]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build it if a test needs it, and say so though output is kept."""
    needed = any("kstatus" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not needed:
        return
    with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        try:
            session.stash[KSTATUS] = built(MODULE)
        except (NoGo, RuntimeError) as error:
            session.stash[KSTATUS] = error


@pytest.fixture(scope="session")
def kstatus(request: pytest.FixtureRequest) -> Judge:
    """What kstatus says of objects, and its message. Without Go its tests are skipped; with CI set they fail."""
    program = given(request.session.stash[KSTATUS])

    def judge(objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        done = run([program], env=bare_environment(), stdin=json.dumps(objects))
        assert done.returncode == 0, done.stderr
        return [(one["status"], one["message"]) for one in json.loads(done.stdout)]

    return judge


@pytest.fixture(scope="session")
def argocd() -> Judge:
    """What the health check for Argo CD says of objects, run by the version of Lua that Argo CD embeds: 5.1."""
    import lupa.lua51

    data = yaml.safe_load((ROOT / "deploy/argocd/argocd-cm.yaml").read_text())["data"]

    def judge(objects: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        found = []
        for one in objects:
            lua = lupa.lua51.LuaRuntime(unpack_returned_tuples=True)
            lua.globals().obj = lua.table_from(one, recursive=True)
            health = lua.execute(data[f"resource.customizations.health.keyturn.dev_{one['kind']}"])
            found.append((health["status"], health["message"]))
        return found

    return judge


@pytest.fixture(scope="session")
def own_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server for tests that install things for the whole of it; each takes them away again."""
    with Cluster(given(request.session.stash[CLUSTER]), tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.fixture(scope="session")
def resources(cluster: Cluster) -> Iterator[Resources]:
    """The API server with the definitions and the admission policies of deploy/."""
    found = Resources(cluster)
    found.install()
    yield found
    found.remove()


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Run kubectl as the administrator, and return what it prints."""
    program = tool("kubectl")
    config = cluster.write_kubeconfig(tmp_path_factory.mktemp("kubectl") / "config", cluster.admin)

    def call(*arguments: str) -> str:
        done = run([program, *arguments], env=bare_environment(KUBECONFIG=str(config), HOME=str(config.parent)))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
