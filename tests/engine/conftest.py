"""The engine, and a stack of it for each test."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyturn.sandbox import Sandbox
from tests.engine.build import NoEngine, engine
from tests.engine.harness import Site
from tests.engine.yaml_site import YamlSite, language_host
from tests.support.go_program import NoGo, given

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.openbao import OpenBao

HOST = pytest.StashKey["Path | NoGo | RuntimeError"]()
"""The language host of YAML programs, or why there is none."""
ENGINE = pytest.StashKey["Path | NoEngine | RuntimeError"]()
"""The folder of the engine's programs, or why there is none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder that uses the engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "pulumi_engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the engine before any test that needs it, while no test's time runs, and say so though output is kept."""
    if session.config.option.collectonly or not any(item.get_closest_marker("engine") for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.stash[ENGINE] = engine()
        except (NoEngine, RuntimeError) as error:
            session.stash[ENGINE] = error
        if any("yaml_host" in getattr(item, "fixturenames", ()) for item in session.items):
            try:
                session.stash[HOST] = language_host()
            except (NoGo, RuntimeError) as error:
                session.stash[HOST] = error


@pytest.fixture(scope="session")
def pulumi_engine(request: pytest.FixtureRequest) -> Path:
    """The folder of the engine's programs. Without it and Go tests are skipped; with CI set they fail."""
    found = request.session.stash[ENGINE]
    if isinstance(found, Path):
        return found
    if isinstance(found, NoEngine) and not os.environ.get("CI"):
        pytest.skip(f"*** {found} ***")
    pytest.fail(str(found))


@pytest.fixture
def site(tmp_path: Path, pulumi_engine: Path, openbao: OpenBao) -> Iterator[Site]:
    """A stack `dev` of the project `shop` with nothing in it, a sandbox in which create works, and OpenBao's root."""
    prefix = f"engine-{uuid.uuid4().hex[:12]}"
    with Sandbox(create="allowed") as sandbox:
        yield Site(tmp_path, pulumi_engine, sandbox, openbao, prefix, {"VAULT_TOKEN": openbao.root_token})


@pytest.fixture(scope="session")
def yaml_host(request: pytest.FixtureRequest) -> Path:
    """The language host of programs in YAML. Without Go its tests are skipped; with CI set they fail."""
    return given(request.session.stash[HOST])


@pytest.fixture
def full(tmp_path: Path, pulumi_engine: Path, yaml_host: Path, openbao: OpenBao) -> Iterator[YamlSite]:
    """As `site`, with programs in YAML and the full provider."""
    prefix = f"engine-{uuid.uuid4().hex[:12]}"
    with Sandbox(create="allowed") as sandbox:
        variables = {"VAULT_TOKEN": openbao.root_token}
        yield YamlSite(tmp_path, pulumi_engine, sandbox, openbao, prefix, variables, host=yaml_host)
