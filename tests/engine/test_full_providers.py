"""Where the full provider comes from, and several of them in one stack."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import sysconfig
import tarfile
import threading
import venv
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from keyturn_provider.plugin.servicer import VERSION
from tests.engine.full_site import BOTH, PROVIDER
from tests.engine.harness import Program
from tests.generated import ROOT
from tests.support.process import run

if TYPE_CHECKING:
    from tests.engine.full_site import FullSite

PLUGIN = "pulumi-resource-keyturn"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@BOTH
def test_two_providers_in_one_stack_have_two_teams(full: FullSite) -> None:
    """Each key is in the team of its own provider's token, although the environment has a token, too."""
    tokens = {"ours": full.sandbox.token, "theirs": full.sandbox.add_token(team="other").value}
    program = two_teams(full, tokens)
    full.up(program)
    assert full.mutations() == ["create", "rename"] * 2
    assert {key.team: key.name for key in full.sandbox.state.keys.values()} == {"sandbox": "bot", "other": "bot"}
    assert full.accepted("ours")
    assert full.accepted("theirs")
    full.up(program)
    assert full.mutations() == []
    full.destroy()
    assert full.mutations() == ["delete"] * 2
    assert full.leaks() == []


def two_teams(full: FullSite, tokens: dict[str, str]) -> Program:
    """Return a program with a provider and a key per token, each with records of its own; both keys have one name."""
    providers, keys = {}, {}
    for name, token in tokens.items():
        full.configure(name, token)
        records = {"target": "vault", "prefix": f"{full.prefix}/{name}-keyturn"}
        properties = {"digitaloceanToken": f"${{{name}}}", "records": records}
        providers[f"account-{name}"] = {"type": PROVIDER, "properties": properties}
        options = {"provider": f"${{account-{name}}}"}
        keys[f"bot-{name}"] = full.declared(name, name="bot", records=None, options=options)
    secrets = {name: {"type": "string", "secret": True} for name in tokens}
    return Program(data={"config": secrets, "resources": {**providers, **keys}})


def test_the_plugin_is_installed_from_a_server(full: FullSite) -> None:
    """An engine that finds no executable on PATH downloads the archive of its version and machine, once."""
    served = full.folder / "served"
    name = archive(served)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the library
            asked.append(str(args[0]))

    elsewhere = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, PLUGIN).exists()]
    full.variables["PATH"] = os.pathsep.join([str(full.engine), *elsewhere])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=served)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = {"version": VERSION, "pluginDownloadURL": f"http://127.0.0.1:{server.server_port}"}
        full.up(full.key(options=options))
        server.shutdown()
    assert asked == [f"GET /{name} HTTP/1.1"]
    assert (full.folder / "home" / "plugins" / f"resource-keyturn-v{VERSION}" / PLUGIN).exists()
    assert full.accepted()


def archive(folder: Path) -> str:
    """Pack the executable as a release does, and return the archive's name."""
    folder.mkdir()
    script = folder / PLUGIN
    installed = Path(sys.executable).with_name(PLUGIN)
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(installed))} "$@"\n')
    script.chmod(0o755)
    name = f"{PLUGIN}-v{VERSION}-{platform.system().lower()}-{MACHINES[platform.machine()]}.tar.gz"
    with tarfile.open(folder / name, "w:gz") as packed:
        packed.add(script, PLUGIN)
    script.unlink()
    return name


def test_a_checkout_is_a_plugin(full: FullSite) -> None:
    """What PulumiPlugin.yaml has the language host do: install the requirements, and start the folder with Python.

    The host itself is done without: the one that can be built here is too old to start a plugin. Nothing is downloaded.
    """
    checkout = full.folder / "checkout"
    for name in ("provider", "reconcile"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("LICENSE", "PulumiPlugin.yaml", "README.md", "__main__.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, checkout)
    runtime = yaml.safe_load((checkout / "PulumiPlugin.yaml").read_text())["runtime"]
    assert runtime["name"] == "python"
    home = checkout / runtime["options"]["virtualenv"]
    venv.create(home, with_pip=True)
    libraries = home / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    (libraries / "tests.pth").write_text(sysconfig.get_path("purelib"))
    alone = ("--disable-pip-version-check", "--no-index", "--no-build-isolation")
    done = run([home / "bin/python", "-m", "pip", "install", *alone, "-r", "requirements.txt"], cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert list(libraries.glob("keyturn-*.dist-info"))
    script = full.folder / "started" / PLUGIN
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {home}/bin/python {checkout} "$@"\n')
    script.chmod(0o755)
    program = full.key()
    full.up(Program(data={**program.data, "plugins": {"providers": [{"name": "keyturn", "path": str(script.parent)}]}}))
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
