"""Programs for the tests that are built from Go modules, and kept by the content of what they are built from."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FLAGS = ("-trimpath", "-buildvcs=false")
LONGEST = 3600
"""Seconds that a build may take: six minutes on two idle cores, and they are seldom idle."""


class NoGo(Exception):
    """There is no Go to build a program with."""


def built(module: Path, package: str = ".", *, linked: str = "-s -w", beside: Sequence[Path] = ()) -> Path:
    """Return the program of a Go module in a folder, building it if needed. `linked` are flags of the linker.

    `beside` are files outside of the module that it is built from, too.

    Raises:
        NoGo: there is no Go.
        RuntimeError: the build failed; the error holds the end of what it said.
    """
    compiler = find(module.name)
    sources = [path.read_bytes() for path in (*sorted((*module.glob("go.*"), *module.glob("*.go"))), *beside)]
    version = go(compiler, module, "env", "GOVERSION")
    digest = hashlib.sha256(b"\0".join([" ".join([version, package, linked, *FLAGS]).encode(), *sources])).hexdigest()
    cache = module / ".build"
    with locked(cache):
        program = cache / digest[:16]
        if not program.is_file():
            for old in cache.iterdir():
                if old.is_file() and old.name != "lock":
                    old.unlink()
            print(f"building {module.name}: this takes minutes, once", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=cache) as unfinished:
                made = Path(unfinished) / "program"
                go(compiler, module, "build", *FLAGS, "-ldflags", linked, "-o", str(made), package, CGO_ENABLED="0")
                made.rename(program)
    return program


def given(found: Path | Exception) -> Path:
    """Return a program. Without Go the test that needs it is skipped, and pytest says why; with CI set it fails."""
    if isinstance(found, Path):
        return found
    if isinstance(found, NoGo) and not os.environ.get("CI"):
        pytest.skip(f"*** {found} ***")
    pytest.fail(str(found))


def find(wanted: str) -> str:
    """Return the Go compiler. Raises NoGo, which says what needs it."""
    compiler = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if compiler is None:
        raise NoGo(f"`go` was not found, so {wanted} cannot be built; install it")
    return compiler


def go(compiler: str, module: Path, *arguments: str, **variables: str) -> str:
    """Run a command of Go in a module, with further variables; return its output. Raises RuntimeError if it fails."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("GO")}
    environment = {**kept, "GOFLAGS": "", "GOWORK": "off", **variables}
    try:
        done = run([compiler, *arguments], cwd=module, env=environment, seconds=LONGEST)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"go {arguments[0]} took longer than {LONGEST} s") from None
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


@contextmanager
def locked(cache: Path) -> Iterator[None]:
    """Let one process build at a time: `make test` runs several. The folder is made if it is not there."""
    cache.mkdir(exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
