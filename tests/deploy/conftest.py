"""The linter of workflows, built before any test's time runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.go_program import NoGo, built, given
from tests.support.tools import tool

MODULE = Path(__file__).parent / "actionlint"
PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"
LINTER = pytest.StashKey["Path | NoGo | RuntimeError"]()
"""The program, or why there is none."""


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build it if a test needs it, and say so though output is kept."""
    needed = any("workflow_linter" in getattr(item, "fixturenames", ()) for item in session.items)
    if session.config.option.collectonly or not needed:
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        try:
            session.stash[LINTER] = built(MODULE, PACKAGE)
        except (NoGo, RuntimeError) as error:
            session.stash[LINTER] = error


@pytest.fixture(scope="session")
def kubectl() -> str:
    """The path of kubectl."""
    return tool("kubectl")


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The path of systemd-analyze."""
    return tool("systemd-analyze")


@pytest.fixture(scope="session")
def workflow_linter(request: pytest.FixtureRequest) -> Path:
    """The path of actionlint. Without Go its tests are skipped, and pytest says why; with CI set they fail."""
    return given(request.session.stash[LINTER])
