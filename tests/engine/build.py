"""The Pulumi engine for the tests: the one on PATH, or one built from its Go modules and kept.

`python -m tests.engine.build` builds it (minutes the first time) and prints the folder of its programs. Anyone who has
neither `pulumi` nor Go gets a loud line, and skipped tests; where `CI` is set they fail.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.go_program import FLAGS, NoGo, built, find, go, locked

HERE = Path(__file__).parent
CACHE = HERE / ".build"
MODULES = {"pulumi": HERE / "pulumi", "pulumi-language-python": HERE / "language"}
SDK = "github.com/pulumi/pulumi/sdk/v3"
LAUNCHERS = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""Scripts of the SDK's module that start Python programs and dynamic providers."""


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
    try:
        compiler = find("the engine")
    except NoGo:
        why = "neither `pulumi` nor `go` was found, so no engine test can run; install one of them"
        raise NoEngine(why) from None
    home = CACHE / _digest(go(compiler, HERE, "env", "GOVERSION").encode())
    with locked(CACHE):
        if not home.is_dir():
            _build(compiler, home)
    return home


def newer() -> Path:
    """Return the `pulumi` of this year, building it if needed. Raises NoGo and RuntimeError."""
    module = HERE / "newer"
    version = go(find("the newer engine"), module, "list", "-m", "-f", "{{.Version}}", SDK)
    linked = f"-s -w -X {SDK}/go/common/version.Version={version}"
    return built(module, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", linked=linked)


def _build(compiler: str, home: Path) -> None:
    for old in CACHE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=CACHE) as unfinished:
        folder = Path(unfinished) / "bin"
        folder.mkdir()
        for program, module in MODULES.items():
            print(f"building {program}: this takes minutes, once", file=sys.stderr, flush=True)
            (package,) = go(compiler, module, "list", "tool").split()
            version = go(compiler, module, "list", "-m", "-f", "{{.Version}}", SDK)
            linked = f"-s -w -X {SDK}/go/common/version.Version={version}"
            go(compiler, module, "build", *FLAGS, "-ldflags", linked, "-o", str(folder / program), package)
        sdk = Path(go(compiler, MODULES["pulumi"], "list", "-m", "-f", "{{.Dir}}", SDK))
        for launcher in LAUNCHERS:
            copied = folder / Path(launcher).name
            shutil.copyfile(sdk / launcher, copied)
            copied.chmod(0o755)
        folder.rename(home)


def _digest(compiler: bytes) -> str:
    sums = [path.read_bytes() for module in MODULES.values() for path in (module / "go.mod", module / "go.sum")]
    return hashlib.sha256(b"\0".join([compiler, " ".join(FLAGS).encode(), *sums])).hexdigest()[:16]


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
