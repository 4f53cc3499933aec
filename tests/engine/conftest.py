"""The engine, and a stack of it for each test."""

from __future__ import annotations

import os
import shlex
import sys
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from keyturn.sandbox import Sandbox
from tests.engine.build import NoEngine, engine, newer
from tests.engine.full_site import GoSite, NodeSite, YamlSite
from tests.engine.harness import Site
from tests.engine.languages import NoLanguage, go_program, host, node_modules
from tests.sdks import GENERATOR, sdks
from tests.support.go_program import built, given
from tests.support.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.full_site import FullSite
    from tests.support.openbao import OpenBao

LANGUAGES = pytest.StashKey["dict[str, Path | NoLanguage | RuntimeError]"]()
"""What programs of each language need, or why it is not there."""
NEEDS = {"yaml": ("yaml",), "nodejs": ("nodejs", "modules"), "go": ("go", "program")}
"""What is built for each language."""
BUILDERS: dict[str, Callable[[], Path]] = {
    **{language: partial(host, language) for language in NEEDS},
    "generator": partial(built, GENERATOR),
    "modules": node_modules,
    "newer": newer,
    "program": go_program,
}
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
        session.stash[LANGUAGES] = {}
        for need in sorted({need for item in session.items for need in needs(item)}):
            try:
                session.stash[LANGUAGES][need] = BUILDERS[need]()
            except (NoLanguage, RuntimeError) as error:
                session.stash[LANGUAGES][need] = error


def needs(item: pytest.Item) -> tuple[str, ...]:
    """Return what a test needs besides the engine, such as that of the language of its program."""
    fixtures = getattr(item, "fixturenames", ())
    fixture_of = {"generator": "generator", "newer": "newer_engine"}
    found = tuple(need for need, fixture in fixture_of.items() if fixture in fixtures)
    call = getattr(item, "callspec", None)
    return (*found, *NEEDS[call.params.get("full", "yaml") if call else "yaml"]) if "full" in fixtures else found


@pytest.fixture(scope="session")
def pulumi_engine(request: pytest.FixtureRequest) -> Path:
    """The folder of the engine's programs. Without it and Go tests are skipped; with CI set they fail."""
    found = request.session.stash[ENGINE]
    if isinstance(found, Path):
        return found
    if isinstance(found, NoEngine) and not os.environ.get("CI"):
        pytest.skip(f"*** {found} ***")
    pytest.fail(str(found))


@pytest.fixture(scope="session")
def newer_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an engine that knows awaited resources."""
    folder = tmp_path_factory.mktemp("newer")
    (folder / "pulumi").symlink_to(given(request.session.stash[LANGUAGES]["newer"]))
    return folder


@pytest.fixture(scope="session")
def generator(request: pytest.FixtureRequest, pulumi_engine: Path) -> Path:
    """The generator of SDKs: it is a part of the engine's sources."""
    return given(request.session.stash[LANGUAGES]["generator"])


@pytest.fixture(scope="session")
def generated_sdks(generator: Path) -> dict[Path, str]:
    """The files of all SDKs, as the generator makes them."""
    return sdks()


@pytest.fixture(scope="session")
def python_command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What Pulumi's language host runs for Python: it asks pip for all packages before each command, here only once."""
    asked = ("-m", "pip", "list", "-v", "--format", "json")
    folder = tmp_path_factory.mktemp("python")
    known, script = folder / "packages.json", folder / "python"
    known.write_text(run([sys.executable, *asked]).stdout)
    same = f'[ "$*" = {shlex.quote(" ".join(asked))} ] && exec cat {shlex.quote(str(known))}'
    script.write_text(f'#!/bin/sh\n{same}\nexec {shlex.quote(sys.executable)} "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def variables(openbao: OpenBao, python_command: str) -> dict[str, str]:
    """What a stack's commands have in their environment besides the usual."""
    return {"VAULT_TOKEN": openbao.root_token, "PULUMI_PYTHON_CMD": python_command}


@pytest.fixture
def site(tmp_path: Path, pulumi_engine: Path, openbao: OpenBao, variables: dict[str, str]) -> Iterator[Site]:
    """A stack `dev` of the project `shop` with nothing in it, a sandbox in which create works, and OpenBao's root."""
    prefix = f"engine-{uuid.uuid4().hex[:12]}"
    with Sandbox(create="allowed") as sandbox:
        yield Site(tmp_path, pulumi_engine, sandbox, openbao, prefix, variables)


@pytest.fixture
def full(
    request: pytest.FixtureRequest, tmp_path: Path, pulumi_engine: Path, openbao: OpenBao, variables: dict[str, str]
) -> Iterator[FullSite]:
    """As `site`, with the full provider and programs in YAML, or in the language that a test is parametrised with.

    Without what the language needs its tests are skipped; with CI set they fail.
    """
    chosen = getattr(request, "param", "yaml")
    found = {need: given(request.session.stash[LANGUAGES][need]) for need in NEEDS[chosen]}
    prefix = f"engine-{uuid.uuid4().hex[:12]}"
    with Sandbox(create="allowed") as sandbox:
        site = (tmp_path, pulumi_engine, sandbox, openbao, prefix, variables)
        if chosen == "nodejs":
            yield NodeSite(*site, host=found["nodejs"], modules=found["modules"])
        elif chosen == "go":
            yield GoSite(*site, host=found["go"])
        else:
            yield YamlSite(*site, host=found["yaml"])
