"""The linter of GitHub workflows for the tests: built from its Go module, and kept until the module changes.

`python -m tests.deploy.actionlint` builds it (half a minute the first time) and prints its path. Without Go there is a
loud line, and skipped tests; if `CI` is set they fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.process import run

HERE = Path(__file__).parent
MODULE = HERE / "actionlint"
CACHE = HERE / ".build"
PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"
LONGEST = 600
"""Seconds that a build may take."""


class NoLinter(Exception):
    """There is no Go to build it with."""


def actionlint() -> Path:
    """Return the path of the program, built if needed.

    Raises:
        NoLinter: Go is not there.
        RuntimeError: the build failed; the error holds the end of what it said.
    """
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        raise NoLinter("`go` was not found, so no workflow can be linted; install Go")
    sums = b"\0".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    program = CACHE / f"actionlint-{hashlib.sha256(sums).hexdigest()[:16]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make test` runs several processes
        if not program.is_file():
            _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    for old in CACHE.glob("actionlint-*"):
        old.unlink()
    print("building actionlint: this takes half a minute, once", file=sys.stderr, flush=True)
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("GO")}
    unfinished = program.with_suffix(".unfinished")
    build: list[str | Path] = [go, "build", "-trimpath", "-buildvcs=false", "-o", unfinished, PACKAGE]
    try:
        done = run(build, cwd=MODULE, env={**kept, "GOFLAGS": "", "GOWORK": "off"}, seconds=LONGEST)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"go build took longer than {LONGEST} s") from None
    if done.returncode:
        raise RuntimeError(f"go build failed:\n{done.stderr[-2000:]}")
    unfinished.rename(program)


def main() -> int:
    """Build and print the path; return 1 if that is not possible."""
    try:
        print(actionlint())
    except NoLinter as missing:
        print(f"\n*** {missing} ***\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
