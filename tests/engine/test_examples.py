"""Every example, the user's whole way: configuration, preview, up, up, refresh, destroy on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import pulumi_keyturn
from tests.engine.harness import Program

if TYPE_CHECKING:
    from tests.engine.harness import Site

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
FILES = ("Pulumi.yaml", "__main__.py", "policy.py")


def example(site: Site, name: str) -> Program:
    """Copy an example, its paths made this test's own, and configure it; return it as a program."""
    folder = site.folder / "example"
    folder.mkdir()
    for file in FILES:
        if (EXAMPLES / name / file).exists():
            shutil.copy(EXAMPLES / name / file, folder)
    main = folder / "__main__.py"
    main.write_text(main.read_text().replace('"apps/', f'"{site.prefix}/'))
    site.project = str(yaml.safe_load((folder / "Pulumi.yaml").read_text())["name"])
    site.variables["KEYTURN_RECORDS"] = ""
    program = Program(folder=folder)
    site.configure("vaultAddress", site.openbao.address, "--plaintext")
    return program


def earlier(folder: Path) -> Path:
    """Write the package `pulumi_keyturn` as it was when its resources were dynamic, and return where."""
    package = folder / "earlier" / "pulumi_keyturn"
    package.mkdir(parents=True)
    for module in ("args", "dynamic", "provider"):
        shutil.copy(Path(pulumi_keyturn.__file__).with_name(f"{module}.py"), package)
    (package / "__init__.py").write_text("from pulumi_keyturn.dynamic import ModelAccessKey, SmokeCheck\n")
    return package.parent


def test_a_key_beside_its_service(site: Site) -> None:
    """`pulumi-vault` adopts, delivers, checks, passes a reference on, and rotates when told to; nothing leaks."""
    site.sandbox.change(create="gone")
    made = site.sandbox.panel_create("checkout-bot-prod")
    program = example(site, "pulumi-vault")
    assert site.preview(program) == {"create": 3}
    site.up(program)
    path = "checkout/inference"
    reference = site.exports()["externalSecret"]["spec"]["data"][0]["remoteRef"]
    assert reference == {"key": f"{site.prefix}/{path}", "property": "MODEL_ACCESS_KEY"}
    assert site.accepted(path)
    assert site.delivered(path) != made.secret
    site.requests()
    assert site.preview(program) == {"same": 3}
    assert site.mutations() == []
    site.configure("rotate", "today", "--plaintext")
    site.up(program)
    assert site.mutations() == ["regenerate"]
    assert site.accepted(path)
    site.destroy()
    assert site.mutations() == ["delete"]
    assert site.leaks() == []


def test_two_keys_that_take_turns(site: Site) -> None:
    """`pulumi-alternating` takes both keys over, delivers to both places, and leaves them when it is destroyed."""
    site.sandbox.change(create="gone")
    for slot in "ab":
        site.sandbox.panel_create(f"chat-bot-{slot}")
    program = example(site, "pulumi-alternating")
    site.up(program)
    state = site.exports()
    assert state["liveKey"]
    assert len(state["deliveries"]) == 2
    assert site.accepted("chat/web")
    assert site.delivered("chat/web") == site.delivered("chat/worker", "OPENAI_API_KEY")
    site.requests()
    site.destroy()
    assert site.mutations() == []
    assert site.accepted("chat/web")
    assert site.leaks() == []


@pytest.mark.parametrize("before", [True, False], ids=["dynamic", "sdk"])
@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("expose", "true", "expose_secret is forbidden here"),
        ("every", "180d", "rotation.every is required, in days, 90d"),
    ],
)
def test_house_rules(site: Site, name: str, value: str, rule: str, before: bool) -> None:
    """`pulumi-policy` lets a good key pass, and refuses in preview one that exposes its secret or grows too old.

    Before and after the upgrade from dynamic resources.
    """
    if before:
        site.variables["PYTHONPATH"] = str(earlier(site.folder))
    program = example(site, "pulumi-policy")
    assert site.preview(program) == {"create": 2}
    site.configure(name, value, "--plaintext")
    assert rule in site.refused_preview(program)
    assert site.mutations() == []
