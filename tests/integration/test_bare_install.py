"""keyturn as it is installed without any extra: what works, and what each missing library is answered with.

The wheel is built from this tree; the libraries that it requires, and no others, are copied from this environment.
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from tests.support.process import bare_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

ROOT = Path(__file__).parents[2]
SERVER = "http://127.0.0.1:1"
"""Nothing listens there."""
MANIFEST = """
apiVersion: keyturn/v1
name: bare
targets:
  t: {{type: {kind}, {settings}}}
records: {{target: local}}
keys:
  bot:
    name: bot
    adopt: {{secret: regenerate}}
    smoke: {{model: llama3.3-70b-instruct}}
    rotation: {{strategy: in-place}}
    deliver:
      - {{target: t, path: apps/bot, field: MODEL_ACCESS_KEY}}
"""
TARGETS = {
    "vault": f"address: '{SERVER}'",
    "aws-secrets-manager": "region: eu-central-1",
    "onepassword-connect": f"host: '{SERVER}', vault: v",
    "dotenv": "root: .",
    "github-secrets": "family: actions",
    "onepassword": "vault: abcdefghijklmnopqrstuvwxyz",
}
EXTRAS = {
    "aws-secrets-manager": "aws",
    "github-secrets": "github",
    "onepassword": "onepassword-sdk",
    "onepassword-connect": "onepassword",
}
"""Of the kinds of target whose extra has another name."""
MISSING = [kind for kind in TARGETS if kind != "vault"]
COMMANDS = [(kind, ("plan",)) for kind in MISSING] + [("dotenv", ("apply", "--yes")), ("dotenv", ("status",))]


class Bare:
    """An environment with keyturn and what it requires."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "venv/bin"

    def python(self, program: str) -> CompletedProcess[str]:
        """Run a program."""
        return run([self.bin / "python", "-c", program], cwd=self.folder)

    def keyturn(self, *args: str, cwd: Path, **variables: str) -> CompletedProcess[str]:
        """Run a command; every server that it could ask refuses the connection."""
        environment = bare_environment(
            DIGITALOCEAN_TOKEN="unused",
            KEYTURN_ALLOWED_PLACES="github-secrets=apps/bot",
            KEYTURN_API_URL=SERVER,
            KEYTURN_VAULT=SERVER,
            OP_CONNECT_HOST=SERVER,
            VAULT_ADDR=SERVER,
            **variables,
        )
        return run([self.bin / "keyturn", *args], cwd=cwd, env=environment)


def required(dist: Distribution, seen: set[str]) -> Iterator[Distribution]:
    """Yield what a distribution requires without extras, and what that requires."""
    for requirement in map(Requirement, dist.requires or ()):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            assert not requirement.extras, requirement
            found = distribution(requirement.name)
            if found.name not in seen:
                seen.add(found.name)
                yield found
                yield from required(found, seen)


def succeed(args: list[str | Path]) -> None:
    """Run a program that has to end well."""
    done = run(args, seconds=120)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    """The environment; nothing is downloaded for it."""
    folder = tmp_path_factory.mktemp("bare")
    wheels, python = folder / "wheels", folder / "venv/bin/python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    succeed([sys.executable, "-m", "venv", "--without-pip", folder / "venv"])
    succeed([*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, ROOT])
    [wheel] = wheels.iterdir()
    succeed([*pip, "--python", python, "install", "--no-index", "--no-deps", wheel])
    [packages] = (folder / "venv/lib").glob("python*/site-packages")
    [installed] = Distribution.discover(name="keyturn", path=[str(packages)])
    for dist in required(installed, set()):
        for file in dist.files or ():
            if file.parts[0] != "..":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file.locate(), packages / file)
    return Bare(folder)


def write_manifest(folder: Path, kind: str) -> None:
    """Write a manifest with one key, which is delivered to a target of this kind."""
    (folder / "keyturn.yaml").write_text(MANIFEST.format(kind=kind, settings=TARGETS[kind]))


def only_sentence(done: CompletedProcess[str]) -> str:
    """Return what a command that ends with 3 says: one paragraph on stderr, nothing on stdout."""
    assert (done.returncode, done.stdout) == (3, ""), done
    assert "Traceback" not in done.stderr
    assert "\n\n" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["-h"], "Usage: keyturn"),
        (["--version"], "keyturn "),
        (["schema", "manifest"], '"$schema"'),
        (["targets"], "aws-secrets-manager"),
        (["plan", "-h"], "Usage: keyturn plan"),
    ],
)
def test_what_needs_no_library_works(bare: Bare, args: list[str], shown: str, tmp_path: Path) -> None:
    """Help, version, schemas, and the kinds of target with their settings."""
    done = bare.keyturn(*args, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert shown in done.stdout


def test_a_starter_can_be_written(bare: Bare, tmp_path: Path) -> None:
    """And is valid, when VAULT_ADDR names the server."""
    assert bare.keyturn("init", cwd=tmp_path).returncode == 0
    done = bare.keyturn("validate", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", TARGETS)
def test_a_manifest_is_valid_without_the_library_of_its_target(bare: Bare, kind: str, tmp_path: Path) -> None:
    """Who reviews a manifest needs no vendor's library."""
    write_manifest(tmp_path, kind)
    done = bare.keyturn("validate", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_vault_needs_no_library(bare: Bare, tmp_path: Path) -> None:
    """Its extra is empty: only a credential is missing, and then only the server."""
    write_manifest(tmp_path, "vault")
    assert "VAULT_TOKEN is not set" in bare.keyturn("doctor", cwd=tmp_path).stdout
    done = bare.keyturn("doctor", cwd=tmp_path, VAULT_TOKEN="unused")
    assert re.search(r"fail  .*could not look up the mount 'secret'", done.stdout), done
    assert "library" not in done.stdout + done.stderr


@pytest.mark.parametrize(("kind", "command"), COMMANDS)
def test_a_missing_library_is_one_sentence_before_anything_is_asked(
    bare: Bare, kind: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    """Exit 3, and what to type; no key is reported, since none was looked at."""
    write_manifest(tmp_path, kind)
    said = only_sentence(bare.keyturn(*command, cwd=tmp_path))
    assert f"a target of type {kind} needs the Python library" in said
    assert f"Install keyturn[{EXTRAS.get(kind, kind)}]," in said


@pytest.mark.parametrize(("command", "extra"), [("sandbox", "keyturn[sandbox]"), ("demo", "keyturn[sandbox]")])
def test_a_command_without_its_library_says_what_to_install(
    bare: Bare, command: str, extra: str, tmp_path: Path
) -> None:
    """The two commands that need servers of their own."""
    assert f"Install {extra}," in only_sentence(bare.keyturn(command, cwd=tmp_path))


def test_the_pulumi_face_without_pulumi_says_what_to_install(bare: Bare) -> None:
    """Its last line, which is all that an operator reads of a traceback."""
    done = bare.python("import pulumi_keyturn")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ImportError: pulumi_keyturn needs the Python library pulumi, which is not installed. "
        "Install keyturn[pulumi], as its README says."
    )


def test_the_pulumi_executable_without_its_extra_says_what_to_install(bare: Bare) -> None:
    """Engines start it, and show what it says."""
    done = bare.python("from keyturn_provider.plugin.main import main; raise SystemExit(main())")
    assert done.returncode == 1
    assert done.stderr == (
        "pulumi-resource-keyturn needs the Python library pulumi, which is not installed. "
        "Install keyturn[pulumi], as its README says.\n"
    )
