"""The image, built by buildah without an engine and tried: `python -m tests.image`, as root.

`BASE` names the base image. Without it the base is a minimal Debian, so that no registry of images is needed; libraries
come from wherever pip of this machine gets them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from tests.support.process import run

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
NEEDED = ("buildah", "mmdebstrap", "unshare")
DEBIAN = "bookworm"
PACKAGES = "python3,python3-venv,python-is-python3,ca-certificates"
IMAGE = "localhost/keyturn"
OF_THIS_MACHINE = ("/etc/pip.conf", "/etc/ssl/certs", "/usr/local/share/ca-certificates")
"""Seen by the builds, and in no layer: where pip gets libraries, and whom it trusts."""
LONGEST = 1800.0
"""Seconds of one step."""
READ_ONLY = """set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
if touch "$1/probe" 2>/dev/null; then echo "the root can be written" >&2; exit 1; fi
mount -t tmpfs tmpfs "$1/tmp"
root=$1 user=$2
shift 2
exec chroot --userspec="$user" "$root" "$@"
"""
"""A shell script for a mount namespace of its own: a root that nobody may write, with a writable /tmp."""


class Failed(Exception):
    """A step failed."""


class Builder:
    """buildah with a storage of its own below `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: str) -> str:
        """Run a command of buildah."""
        places = ["--root", str(self.home / "storage"), "--runroot", str(self.home / "run")]
        return step("buildah", "--storage-driver", "vfs", *places, *words)

    def base(self) -> str:
        """Make a base image of Debian and return its name."""
        packed = self.home / "base.tar"
        step("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", DEBIAN, str(packed))
        container = self("from", "scratch").strip()
        self("add", "--quiet", container, str(packed), "/")
        self("commit", "--quiet", "--rm", container, "localhost/base")
        return "localhost/base"

    def image(self, base: str) -> None:
        """Build the Dockerfile."""
        shared = [f"--volume={place}:{place}:ro" for place in OF_THIS_MACHINE if Path(place).exists()]
        options = ["--isolation", "chroot", "--format", "oci", "--build-arg", f"BASE={base}", *shared]
        self("bud", "--quiet", *options, "--tag", IMAGE, str(ROOT))

    @contextlib.contextmanager
    def mounted(self) -> Iterator[Path]:
        """Yield the root of a container of the image."""
        container = self("from", "--pull-never", IMAGE).strip()
        try:
            yield Path(self("mount", container).strip())
        finally:
            self("umount", container)

    def tried(self, root: Path, *words: str) -> str:
        """Run the image's program as its user, with its environment, on a root that is read-only."""
        config = json.loads(self("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
        program = ["env", "-i", *config["Env"], *config["Entrypoint"], *words]
        return step("unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(root), config["User"], *program)


def step(*words: str) -> str:
    """Run a program to its end and return its output. Raises Failed."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR"}}
    done = run(list(words), env=kept, seconds=LONGEST)
    if done.returncode:
        raise Failed(f"{words[0]} … {words[-1]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def timed(what: str, work: Callable[[], T]) -> T:
    """Do some work, and print how many seconds it took."""
    began = time.monotonic()
    done = work()
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    return done


def main() -> int:
    """Build, try, and print how long it took; return 1 if something failed."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        print(f"missing programs: {', '.join(missing)}; apt-get install buildah mmdebstrap util-linux")
        return 1
    if os.geteuid():
        print("only root can mount the image's root")
        return 1
    with tempfile.TemporaryDirectory() as home:
        builder = Builder(Path(home))
        try:
            base = os.environ.get("BASE") or timed("base", builder.base)
            timed("image", lambda: builder.image(base))
            with builder.mounted() as root:
                print(timed("keyturn --version", lambda: builder.tried(root, "--version")), end="")
                commands = builder.tried(root, "--help")
                if " operator " in commands:
                    timed("keyturn operator --help", lambda: builder.tried(root, "operator", "--help"))
        except Failed as error:
            print(error)
            return 1
        finally:
            shutil.rmtree(builder.home / "storage", ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
