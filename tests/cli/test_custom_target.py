"""The target of `examples/custom-target`, installed as a package of its own and used by the command line."""

from __future__ import annotations

import json
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyturn.sandbox import Sandbox
from tests.support.process import bare_environment, run

EXAMPLE = Path(__file__).parents[2] / "examples/custom-target"
KEYTURN = (sys.executable, "-m", "keyturn.cli")


@dataclass
class Machine:
    """A machine with the package installed, and the example's manifest in a folder of its own."""

    folder: Path
    environment: dict[str, str]

    def keyturn(self, *args: str, **variables: str) -> str:
        """Run keyturn to its good end, and return its output."""
        done = run([*KEYTURN, *args], env=self.environment | variables, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package in a directory of its own, built and installed by pip, without any network."""
    folder = tmp_path_factory.mktemp("plug-in")
    shutil.copytree(EXAMPLE, folder / "source")
    offline = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done = run(
        [sys.executable, "-m", "pip", "install", *offline, "--target", folder / "site", folder / "source"],
        seconds=120,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def machine(installed: Path, tmp_path: Path) -> Machine:
    """A folder with the manifest, and the package on the path."""
    shutil.copy(EXAMPLE / "keyturn.yaml", tmp_path)
    return Machine(tmp_path, bare_environment(PYTHONPATH=str(installed)))


def test_it_is_listed_with_where_it_comes_from(machine: Machine) -> None:
    """Its settings too; without the package there is no such kind."""
    listed = machine.keyturn("targets")
    assert "json-directory (from keyturn-json-directory): deliveries only\n  root  required" in listed
    assert "json-directory" not in run([*KEYTURN, "targets"]).stdout


def test_its_settings_are_checked_as_those_of_any_target(machine: Machine) -> None:
    """A mistake in the manifest has its place, and the schema for editors knows the kind."""
    machine.keyturn("validate")
    assert "json-directory" in json.loads(machine.keyturn("schema", "manifest"))["$defs"]
    manifest = machine.folder / "keyturn.yaml"
    manifest.write_text(manifest.read_text().replace("root:", "rooot:"))
    done = run([*KEYTURN, "validate"], env=machine.environment, cwd=machine.folder)
    assert done.returncode == 3
    assert "keyturn.yaml:5:" in done.stderr
    assert "root" in done.stderr


def test_a_secret_is_delivered_to_it(machine: Machine) -> None:
    """The API accepts what the file holds; the file is its owner's alone; a second run changes nothing."""
    with Sandbox() as sandbox:
        sandbox.panel_create("report-bot")
        machine.keyturn("apply", "--yes", **sandbox.exports)
        file = machine.folder / "secrets/report/inference.json"
        written = file.read_bytes()
        secret = json.loads(written)["MODEL_ACCESS_KEY"]
        assert sandbox.state.secrets[secret].died_at is None
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        machine.keyturn("apply", "--yes", **sandbox.exports)
        assert file.read_bytes() == written
