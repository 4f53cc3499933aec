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
from keyturn.manifest.schema import Manifest
from keyturn.targets import registry

ROOT = Path(__file__).parents[2]
PLUG_IN = ROOT / "examples/custom-target"
FIELDS = {info.alias or name for name, info in Manifest.model_fields.items()}
OTHERS = {"kind", "jobs", "runtime", "on", "rules", "groups", "services"}
"""Fields at the top of documents that are no manifests of keyturn: Kubernetes, GitHub, Pulumi, Prometheus, Compose."""
REST = {
    "apiVersion": "apiVersion: keyturn/v1\n",
    "name": "name: documented\n",
    "targets": "targets: {}\n",
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


def manifests() -> dict[str, str]:
    """Return the texts that are manifests, fragments completed."""
    found = {}
    for place, text in documented():
        names = set(yaml.safe_load(text))
        if names & OTHERS:
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


@pytest.mark.parametrize("place", MANIFESTS)
def test_it_is_valid(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`keyturn validate` finds no mistake; the example's kind of target is there as if it were installed."""
    entries = registry._entries() | {
        "json-directory": (EntryPoint("json-directory", "keyturn_json_directory:JsonDirectory", registry.GROUP),)
    }
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    monkeypatch.syspath_prepend(PLUG_IN)
    monkeypatch.setattr("os.environ", {})
    (tmp_path / "keyturn.yaml").write_text(MANIFESTS[place], encoding="utf-8")
    done = CliRunner().invoke(main, ["validate", "-f", str(tmp_path)], prog_name="keyturn")
    sys.modules.pop("keyturn_json_directory", None)
    assert done.exit_code == 0, done.stderr
    assert "OK." in done.stdout
