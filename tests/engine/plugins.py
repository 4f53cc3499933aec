"""The plugin as users get it: archives of a release on a server of this machine, and a checkout."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import sysconfig
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn import __version__
from tests.generated import ROOT
from tests.release import archive_of_plugin
from tests.support.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.harness import Site

PLUGIN = "pulumi-resource-keyturn"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
ARCHIVE = f"{PLUGIN}-v{__version__}-{platform.system().lower()}-{MACHINES[platform.machine()]}.tar.gz"
OFFLINE = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}
"""Settings of pip: it finds all libraries on this machine. The second one means "no build isolation"."""


@dataclass
class Server:
    """A folder on HTTP, and what was asked of it."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """Serve a folder on a port of this machine."""
    found = Server(folder)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the library
            found.asked.append(str(args[0]))

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as server:
        found.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def release(folder: Path) -> Path:
    """Write the archives of the plugin, as `make release` does, and return their folder."""
    folder.mkdir()
    wheel = ("-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder))
    done = run([sys.executable, *wheel], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    archive_of_plugin(ROOT, folder, __version__, 0)
    return folder


def checkout(folder: Path) -> Path:
    """Copy what `pulumi package add` needs of the repository, and return the folder."""
    for name in ("provider", "reconcile"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "PulumiPlugin.yaml", "README.md", "__main__.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def without_the_plugin(site: Site, generator: Path) -> None:
    """Let a site find no executable of the plugin, but a language host for Python that starts plugins from source.

    Libraries come from this environment, and nothing is downloaded.
    """
    programs = site.folder / "programs"
    programs.mkdir(exist_ok=True)
    host = Path(__file__).with_name("python_host.py")
    command = shlex.join(map(str, (sys.executable, host, generator, site.engine / "pulumi-language-python")))
    script = programs / "pulumi-language-python"
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    elsewhere = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, PLUGIN).exists()]
    site.variables |= {**OFFLINE, "LIBRARIES": sysconfig.get_path("purelib")}
    site.variables["PATH"] = os.pathsep.join([str(programs), str(site.engine), *elsewhere])
