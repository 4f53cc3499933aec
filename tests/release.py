"""The files of a release, from the last commit: `python -m tests.release` builds them twice, compares, and fills dist/.

- the wheel and the source distribution;
- `requirements-EXTRA.txt` and `requirements.txt`: keyturn itself and every library of that extra, or of all that run in
  production, each with its hashes;
- `pulumi-resource-keyturn-vVERSION-OS-ARCH.tar.gz`, the Pulumi plugin: the wheel, its lock, and what starts it. The
  language host of Python installs it, so these archives are the same for each OS and architecture;
- a bill of materials (CycloneDX, JSON);
- the chart for Helm, as `helm package` packs it, but with the same bytes each time;
- `SHA256SUMS` of all of them.

Nothing in them depends on the machine, the folder or the time: SOURCE_DATE_EPOCH is the time of the commit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.process import bare_environment, run

ROOT = Path(__file__).parent.parent
SUMS = "SHA256SUMS"
MASKS = (0o022, 0o077)
"""The umask of each build: the modes of the files that it reads differ, and what it makes must not."""


MACHINES = ("darwin-amd64", "darwin-arm64", "linux-amd64", "linux-arm64")


class Failed(Exception):
    """A step failed, or two builds differ."""


def release(into: Path) -> Mapping[str, str]:
    """Build twice, compare, and replace the folder `into`. Return the hash of each file; raises Failed."""
    with tempfile.TemporaryDirectory() as work:
        built = [_build(Path(work, str(mask)), mask) for mask in MASKS]
        first, second = (hashes(folder) for folder in built)
        if first != second:
            differ = sorted(name for name, _ in first.items() ^ second.items())
            raise Failed(f"two builds of one commit differ: {', '.join(dict.fromkeys(differ))}")
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(built[0], into)
    return first


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def lock_of(lock: str, version: str, own: Sequence[str]) -> str:
    """Return a lock that installs keyturn, too: of this version, and only files with these hashes."""
    return lock + " \\\n    ".join([f"keyturn=={version}", *(f"--hash=sha256:{one}" for one in sorted(own))]) + "\n"


def packed(files: Mapping[str, bytes], epoch: int) -> bytes:
    """Return files as an archive. `epoch`: the time of everything in it, in Unix seconds."""
    into = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=into, mtime=epoch) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), epoch, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return into.getvalue()


def pack_chart(chart: Path, into: Path, epoch: int) -> None:
    """Write a chart as an archive that Helm installs."""
    paths = sorted(path for path in chart.rglob("*") if path.is_file())
    into.write_bytes(
        packed({f"{chart.name}/{path.relative_to(chart).as_posix()}": path.read_bytes() for path in paths}, epoch)
    )


def archive_of_plugin(source: Path, out: Path, version: str, epoch: int) -> None:
    """Write the archives of the Pulumi plugin."""
    wheel = out / f"keyturn-{version}-py3-none-any.whl"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = (source / "requirements/runtime.txt").read_text() + f"./{wheel.name} --hash=sha256:{digest}\n"
    files = {name: (source / name).read_bytes() for name in ("PulumiPlugin.yaml", "__main__.py")}
    archive = packed({**files, "requirements.txt": lock.encode(), wheel.name: wheel.read_bytes()}, epoch)
    for machine in MACHINES:
        (out / f"pulumi-resource-keyturn-v{version}-{machine}.tar.gz").write_bytes(archive)


def _build(work: Path, mask: int) -> Path:
    source, out = work / "source", work / "out"
    before = os.umask(mask)
    try:
        source.mkdir(parents=True)
        out.mkdir()
        commit = work / "commit.tar"
        _do("git", "archive", "--output", str(commit), "HEAD", cwd=ROOT)
        with tarfile.open(commit) as archive:
            archive.extractall(source, filter="tar")
        epoch = _do("git", "log", "-1", "--format=%ct", cwd=ROOT).strip()
        _do(sys.executable, "-m", "hatchling", "build", "--directory", str(out), cwd=source, SOURCE_DATE_EPOCH=epoch)
        version = tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"]
        own = hashes(out).values()
        pack_chart(source / "deploy/helm/keyturn", out / f"keyturn-chart-{version}.tgz", int(epoch))
        for lock in sorted((source / "requirements").glob("runtime*.txt")):
            name = lock.name.replace("runtime", "requirements")
            (out / name).write_text(lock_of(lock.read_text(), version, list(own)))
        archive_of_plugin(source, out, version, int(epoch))
        bill = str(out / f"keyturn-{version}.cdx.json")
        reproducible = ("--output-reproducible", "--output-format", "JSON", "--output-file", bill)
        locked = ("--pyproject", "pyproject.toml", "requirements/runtime.txt")
        _do(sys.executable, "-m", "cyclonedx_py", "requirements", *reproducible, *locked, cwd=source)
        (out / SUMS).write_text("".join(f"{digest}  {name}\n" for name, digest in hashes(out).items()))
    finally:
        os.umask(before)
    return out


def _do(*args: str, cwd: Path, **variables: str) -> str:
    try:
        done = run(args, cwd=cwd, env=bare_environment(**variables), seconds=300)
    except subprocess.TimeoutExpired:
        raise Failed(f"{args[0]} did not end within 300 s") from None
    if done.returncode:
        raise Failed(f"{' '.join(args[:4])}: {done.stderr}")
    return done.stdout


def main() -> int:
    """Fill dist/ and print what is in it."""
    try:
        made = release(ROOT / "dist")
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    for name, digest in made.items():
        print(f"{digest}  dist/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
