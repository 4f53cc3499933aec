"""The engine, and a stack of it for each test."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyturn.sandbox import Sandbox
from tests.engine.build import NoEngine, engine
from tests.engine.harness import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.openbao import OpenBao


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder that uses the engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "pulumi_engine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the engine before any test that needs it, while no test's time runs."""
    if any(item.get_closest_marker("engine") for item in session.items) and not session.config.option.collectonly:
        with suppress(NoEngine):
            engine()


@pytest.fixture(scope="session")
def pulumi_engine() -> Path:
    """The folder of the engine's programs; built where there is none."""
    try:
        return engine()
    except NoEngine as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(f"*** {missing} ***")


@pytest.fixture
def site(tmp_path: Path, pulumi_engine: Path, openbao: OpenBao) -> Iterator[Site]:
    """A stack `dev` of the project `shop` with nothing in it, a sandbox in which create works, and OpenBao's root."""
    prefix = f"engine-{uuid.uuid4().hex[:12]}"
    with Sandbox(create="allowed") as sandbox:
        yield Site(tmp_path, pulumi_engine, sandbox, openbao, prefix, {"VAULT_TOKEN": openbao.root_token})
