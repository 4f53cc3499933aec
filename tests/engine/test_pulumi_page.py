"""The programs of docs/pulumi.md run as they stand. Only the vault, the path and the record store are a test's own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.blocks import ROOT, SHELL, blocks
from tests.engine.harness import Program
from tests.engine.languages import NODE, go_files, types_of

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite
    from tests.engine.harness import Site

PAGE = ROOT / "docs" / "pulumi.md"


def block(heading: str) -> str:
    """Return the first block below a heading of the page that is no command."""
    return next(one.text for one in blocks(PAGE) if one.heading == heading and one.language not in SHELL)


def project(site: Site, runtime: object, **more: object) -> dict[str, Any]:
    """Return the project of the page for a language."""
    found: dict[str, Any] = yaml.safe_load(block("Start"))
    found["config"]["keyturn:targets"]["value"]["vault"]["address"] = site.openbao.address
    found["config"]["keyturn:records"] = {"value": {"target": "vault", "prefix": f"{site.prefix}/keyturn"}}
    found["plugins"]["providers"][0]["path"] = str(Path(sys.executable).parent)
    return {**found, "runtime": runtime, **more}


def written(site: Site, whole: dict[str, Any]) -> Program:
    """Write a project to the folder `page`, and return that as a program."""
    folder = site.folder / "page"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(whole))
    return Program(folder=folder)


def own(site: Site, text: str) -> str:
    """Return a program that delivers to this test's own path."""
    changed = text.replace("apps/checkout/", f"{site.prefix}/")
    assert changed != text
    return changed


def holds(site: Site, program: Program) -> None:
    """Run a program: it takes the key over, delivers a new secret, and shows where it is."""
    made = site.sandbox.panel_create("checkout-bot-prod")
    site.up(program)
    assert site.mutations() == ["regenerate"]
    [place] = site.exports()["where"]
    assert (place["target"], place["path"]) == ("vault", f"{site.prefix}/inference")
    assert site.accepted("inference")
    assert site.delivered("inference") != made.secret
    assert site.preview(program) == {"same": 2}
    assert site.leaks() == []


def test_python(site: Site) -> None:
    """By keyword, as the page has it."""
    program = written(site, project(site, "python"))
    (site.folder / "page" / "__main__.py").write_text(own(site, block("Python")))
    holds(site, program)


def test_yaml(full: FullSite) -> None:
    """The block is the rest of the project."""
    holds(full, written(full, project(full, "yaml", **yaml.safe_load(own(full, block("YAML"))))))


@pytest.mark.parametrize("full", ["nodejs"], indirect=True)
def test_typescript(full: FullSite) -> None:
    """It runs, and its types are right; those of the program with two providers, too."""
    program = written(full, project(full, "nodejs"))
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(NODE / name, full.folder / "page")
    (full.folder / "page" / "index.ts").write_text(own(full, block("TypeScript")))
    holds(full, program)
    assert types_of(full.folder) == ""
    (full.folder / "index.ts").write_text(next(one.text for one in blocks(PAGE) if "theirToken" in one.text))
    assert types_of(full.folder) == ""
    (full.folder / "index.ts").write_text(block("TypeScript").replace("every:", "evry:"))
    assert "evry" in types_of(full.folder)


@pytest.mark.parametrize("full", ["go"], indirect=True)
def test_go(full: FullSite) -> None:
    """It builds and runs."""
    program = written(full, project(full, "go"))
    for name, text in {**go_files(), "main.go": own(full, block("Go"))}.items():
        (full.folder / "page" / name).write_text(text)
    holds(full, program)
