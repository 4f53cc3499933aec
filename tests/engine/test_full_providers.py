"""Where the full provider comes from, and several of them in one stack."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
import sysconfig
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn_provider.plugin.servicer import VERSION
from tests.engine.full_site import BOTH, PROVIDER
from tests.engine.harness import Program
from tests.generated import ROOT

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
    """Return a program with one provider per token and one key for each; all keys have the same name."""
    for name, token in tokens.items():
        full.configure(name, token)
    providers = {
        f"account-{name}": {"type": PROVIDER, "properties": {"digitaloceanToken": f"${{{name}}}"}} for name in tokens
    }
    keys = {
        f"bot-{name}": full.declared(name, name="bot", options={"provider": f"${{account-{name}}}"}) for name in tokens
    }
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
    """Pulumi installs it as PulumiPlugin.yaml says, and a program runs with it; here without any download."""
    checkout = full.folder / "checkout"
    for name in ("provider", "reconcile"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("LICENSE", "PulumiPlugin.yaml", "README.md", "__main__.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, checkout)
    libraries = checkout / ".venv-pulumi" / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    libraries.mkdir(parents=True)
    (libraries / "tests.pth").write_text(sysconfig.get_path("purelib"))
    full.variables |= {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    assert json.loads(full.package_schema(checkout))["version"] == VERSION
    assert list(libraries.glob("keyturn-*.dist-info"))
    program = full.key()
    full.up(Program(data={**program.data, "plugins": {"providers": [{"name": "keyturn", "path": str(checkout)}]}}))
    assert full.mutations() == ["create", "rename"]
    assert full.accepted()
