"""Where an engine gets the full provider from: an archive of a release, and a checkout. Nothing is on PATH.

Both are Python sources with PulumiPlugin.yaml. The engine unpacks an archive, has the language host for Python install
the requirements, and starts the folder by it. That host is `python_host.py`: no newer one can be built here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from keyturn import __version__
from tests.engine.harness import Program
from tests.engine.languages import install_typescript
from tests.engine.plugins import ARCHIVE, checkout, release, served, without_the_plugin
from tests.sdks import sdk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.full_site import FullSite


def test_a_release_is_installed_by_hand(full: FullSite, generator: Path) -> None:
    """`pulumi plugin install` gets the archive of this machine and its libraries; an up then asks nobody."""
    without_the_plugin(full, generator)
    with served(release(full.folder / "served")) as server:
        full.install("keyturn", __version__, server.url)
        assert server.asked == [f"GET /{ARCHIVE} HTTP/1.1"]
    home = full.folder / "home" / "plugins" / f"resource-keyturn-v{__version__}"
    assert list(home.glob(".venv-pulumi/lib/*/site-packages/keyturn-*.dist-info"))
    full.up(full.key())
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
    full.up(full.key(rotation_trigger=1))
    assert full.mutations() == ["regenerate"]
    full.destroy()
    assert full.mutations() == ["delete"]
    assert full.leaks() == []


def test_a_resource_says_where_its_plugin_is(full: FullSite, generator: Path) -> None:
    """By its options: the up downloads the archive, once."""
    without_the_plugin(full, generator)
    with served(release(full.folder / "served")) as server:
        full.up(full.key(options={"version": __version__, "pluginDownloadURL": server.url}))
        assert server.asked == [f"GET /{ARCHIVE} HTTP/1.1"]
    assert full.accepted()


@pytest.mark.parametrize("full", ["nodejs"], indirect=True)
def test_an_sdk_says_where_its_plugin_is(full: FullSite, generator: Path) -> None:
    """With `pluginDownloadURL` in the schema, a program that names no address gets the plugin of its SDK's version."""
    without_the_plugin(full, generator)
    with served(release(full.folder / "served")) as server:
        modules = full.folder / "node_modules"
        libraries = modules.resolve()
        modules.unlink()
        modules.mkdir()
        for library in libraries.iterdir():
            if library.name != "pulumi-keyturn":
                (modules / library.name).symlink_to(library)
        install_typescript(sdk("nodejs", server.url), full.folder)
        full.up(full.key())
        assert server.asked == [f"GET /{ARCHIVE} HTTP/1.1"]
        assert full.accepted()
        full.up(full.key(rotation_trigger=1))
        assert len(server.asked) == 1
    full.destroy()
    assert full.leaks() == []


def test_a_checkout_is_added_as_a_package(full: FullSite, generator: Path) -> None:
    """`pulumi package add FOLDER` starts the provider from source, makes an SDK, and notes the folder in the project.

    The project is in Python, for which the host links SDKs. A program in YAML then runs with what was noted.
    """
    without_the_plugin(full, generator)
    source = checkout(full.folder / "checkout")
    project = full.folder / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text(f"name: {full.project}\nruntime: python\n")
    full.add(str(source), Program(folder=project))
    made = full.folder / "sdks" / "keyturn" / "pulumi_keyturn"
    assert {path.name for path in made.glob("*.py")} == {
        path.name for path in sdk("python") if len(path.parts) == 1 and path.suffix == ".py"
    }
    assert (full.folder / "requirements.txt").read_text() == "sdks/keyturn\n"
    packages = yaml.safe_load((full.folder / "Pulumi.yaml").read_text())["packages"]
    assert packages == {"keyturn": str(source)}
    full.up(Program(data={**full.key().data, "packages": packages}))
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
    assert full.leaks() == []
