"""Every manifest that the documentation shows is valid, in an environment that holds nothing."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from keyturn.cli import main
from keyturn.manifest import read_policy
from keyturn.manifest.schema import Manifest
from keyturn.targets import registry
from tests import pending

ROOT = Path(__file__).parents[2]
PLUG_IN = ROOT / "examples/custom-target"
FIELDS = {info.alias or name for name, info in Manifest.model_fields.items()}
OTHERS = {"kind", "model_list", "jobs", "runtime", "resources", "on", "repos", "rules", "groups", "services", "owners"}
"""Fields at the top of documents that are no manifests: Kubernetes, GitHub, Pulumi, pre-commit, policies, LiteLLM."""
REST = {
    "apiVersion": "apiVersion: keyturn/v1\n",
    "name": "name: documented\n",
    "targets": "targets: {vault: {type: vault, address: 'https://vault.example.com:8200', mount: secret}}\n",
    "records": "records: {target: local}\n",
    "keys": "keys: {}\n",
}
"""What completes a fragment."""


def documented() -> Iterator[tuple[str, str]]:
    """Yield each YAML text of the documentation with where it stands."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")), *sorted((ROOT / "examples").glob("**/*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^( *)```ya?ml\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
            yield f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 2}", textwrap.dedent(block[2])
    for file in sorted((ROOT / "examples").glob("**/*.yaml")):
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")


def names_of(text: str) -> set[str]:
    """Return the fields at the top of a text, of all its documents."""
    return {name for document in yaml.safe_load_all(text) for name in document or ()}


def policies() -> dict[str, str]:
    """Return the texts that are policies."""
    return {place: text for place, text in documented() if "owners" in names_of(text)}


def manifests() -> dict[str, str]:
    """Return the texts that are manifests, fragments completed."""
    found = {}
    for place, text in documented():
        names = names_of(text)
        if names & OTHERS or any(re.search(rf"^ *{field}:", text, re.MULTILINE) for field in pending.FIELDS):
            continue
        assert names <= FIELDS, f"{place}: is this a manifest? {names - FIELDS} is no field of one"
        rest = "" if "apiVersion" in names else "".join(line for name, line in REST.items() if name not in names)
        found[place] = rest + text
    return found


MANIFESTS = manifests()


def test_they_are_found() -> None:
    """The pages that show manifests are among them, and every example."""
    assert {place.partition(":")[0] for place in MANIFESTS} >= {
        "README.md",
        "docs/lifecycle.md",
        "docs/targets.md",
        "examples/consumers/keyturn.yaml",
        "examples/custom-target/keyturn.yaml",
        "examples/quickstart/keyturn.yaml",
    }


@pytest.fixture
def example_target(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the example's kind of target be there as if it were installed, in an environment that permits nothing."""
    entries = registry._entries() | {
        "json-directory": (EntryPoint("json-directory", "keyturn_json_directory:JsonDirectory", registry.GROUP),)
    }
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    monkeypatch.syspath_prepend(PLUG_IN)
    # A policy has no variables: a manifest that reads one can be drafted only if it is set.
    monkeypatch.setattr("os.environ", {"KEYTURN_VAULT_ROLE": "keyturn"})
    yield
    sys.modules.pop("keyturn_json_directory", None)


def run(*args: object) -> str:
    """Run a command that has to succeed, and return what it prints."""
    done = CliRunner().invoke(main, [str(arg) for arg in args], prog_name="keyturn")
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("example_target")
@pytest.mark.finding("H3", before="nothing outside a manifest limits it", now="a drafted policy fits each example")
@pytest.mark.parametrize("place", MANIFESTS)
def test_it_is_valid(place: str, tmp_path: Path) -> None:
    """`keyturn validate` finds no mistake, without a policy and with the one that `keyturn policy init` drafts."""
    folder, policy = tmp_path / "manifests", tmp_path / "policy.yaml"
    folder.mkdir()
    (folder / "keyturn.yaml").write_text(MANIFESTS[place], encoding="utf-8")
    assert "OK." in run("validate", "-f", folder)
    run("policy", "init", "-f", folder, "--out", policy)
    assert "OK." in run("validate", "-f", folder, "--policy", policy)


@pytest.mark.parametrize("place", policies())
def test_a_policy_is_valid(place: str, tmp_path: Path) -> None:
    """As it is read, for every example of a policy."""
    (tmp_path / "policy.yaml").write_text(policies()[place], encoding="utf-8")
    assert read_policy(tmp_path / "policy.yaml").model.owners
