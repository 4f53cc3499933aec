"""The Pulumi engine for the tests: the one on PATH, or one built from its Go modules and kept.

`python -m tests.engine.build` builds it (minutes the first time) and prints the folder of its programs. Anyone who has
neither `pulumi` nor Go gets a loud line, and skipped tests; where `CI` is set they fail.
"""

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

from tests.support.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
CACHE = HERE / ".build"
MODULES = {"pulumi": HERE / "pulumi", "pulumi-language-python": HERE / "language"}
SDK = "github.com/pulumi/pulumi/sdk/v3"
FLAGS = ("-trimpath", "-buildvcs=false")
LAUNCHERS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Scripts of the SDK's module that start Python programs and dynamic providers."""
LONGEST = 3600
"""Seconds that a build may take: six minutes on two idle cores, and they are seldom idle."""


class NoEngine(Exception):
    """There is neither a `pulumi` nor a Go to build one with."""


def engine() -> Path:
    """Return the folder that holds `pulumi` and its helpers, building them where needed.

    Raises:
        NoEngine: neither `pulumi` nor Go is there.
        RuntimeError: the build failed; the error holds the end of what it said.
    """
    if found := shutil.which("pulumi"):
        return Path(found).resolve().parent
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        raise NoEngine("neither `pulumi` nor `go` was found, so no engine test can run; install one of them")
    home = CACHE / _digest(_go(go, HERE, "env", "GOVERSION").encode())
    with _locked():
        if not home.is_dir():
            _build(go, home)
    return home


def _build(go: str, home: Path) -> None:
    for old in CACHE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
        folder = Path(unfinished) / "bin"
        folder.mkdir()
        for program, module in MODULES.items():
            print(f"building {program}: this takes minutes, once", file=sys.stderr, flush=True)
            (package,) = _go(go, module, "list", "tool").split()
            version = _go(go, module, "list", "-m", "-f", "{{.Version}}", SDK)
            linked = f"-s -w -X {SDK}/go/common/version.Version={version}"
            _go(go, module, "build", *FLAGS, "-ldflags", linked, "-o", str(folder / program), package)
        sdk = Path(_go(go, MODULES["pulumi"], "list", "-m", "-f", "{{.Dir}}", SDK))
        for launcher in LAUNCHERS:
            copied = folder / Path(launcher).name
            shutil.copyfile(sdk / launcher, copied)
            copied.chmod(0o755)
        folder.rename(home)


def _go(go: str, module: Path, *arguments: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("GO")}
    try:
        done = run([go, *arguments], cwd=module, env={**kept, "GOFLAGS": "", "GOWORK": "off"}, seconds=LONGEST)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"go {arguments[0]} took longer than {LONGEST} s") from None
    if done.returncode:
        raise RuntimeError(f"go {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


def _digest(compiler: bytes) -> str:
    sums = [path.read_bytes() for module in MODULES.values() for path in (module / "go.mod", module / "go.sum")]
    return hashlib.sha256(b"\0".join([compiler, " ".join(FLAGS).encode(), *sums])).hexdigest()[:16]


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process build at a time: `make test` runs several."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build and print the folder; return 1 where that is not possible."""
    try:
        print(engine())
    except NoEngine as missing:
        print(f"\n*** {missing} ***\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
