"""The files of a release: built twice from the last commit, with every hash that an installer checks."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from keyturn import __version__
from tests import release
from tests.support.process import run

VERSION = __version__
WHEEL = f"keyturn-{VERSION}-py3-none-any.whl"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release; making it compares two builds."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    release.release(folder)
    return folder


@pytest.mark.finding(
    "M8",
    before="no release files: nothing with a hash to install, no bill of materials",
    now="`make release`: reproducible wheel and sdist, SHA256SUMS, locks with hashes, CycloneDX",
)
def test_a_release_is_whole(dist: Path) -> None:
    """Every file has its sum; the lock of each extra names our own files by their hash; the bill names each library."""
    names = {path.name for path in dist.iterdir()}
    extras = {"", "-aws", "-dotenv", "-github", "-onepassword", "-onepassword-sdk", "-pulumi", "-run", "-vault"}
    bill = f"keyturn-{VERSION}.cdx.json"
    sdist = f"keyturn-{VERSION}.tar.gz"
    plugins = {f"pulumi-resource-keyturn-v{VERSION}-{machine}.tar.gz" for machine in release.MACHINES}
    locks = {f"requirements{extra}.txt" for extra in extras}
    assert names == {WHEEL, sdist, bill, f"keyturn-chart-{VERSION}.tgz", "SHA256SUMS"} | plugins | locks
    lines = (line.partition("  ") for line in (dist / "SHA256SUMS").read_text().splitlines())
    sums = {name: digest for digest, _, name in lines}
    assert sums.keys() == names - {"SHA256SUMS"}
    assert {name: hashlib.sha256((dist / name).read_bytes()).hexdigest() for name in sums} == sums
    pins = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (dist / "requirements.txt").read_text(), re.MULTILINE))
    made = json.loads((dist / bill).read_text())
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "keyturn"
    assert {one["name"]: one["version"] for one in made["components"]} == {
        name: version for name, version in pins.items() if name != "keyturn"
    }
    for extra in extras:
        lock = (dist / f"requirements{extra}.txt").read_text()
        assert lock.endswith(release.lock_of("", VERSION, [sums[WHEEL], sums[sdist]]))


def test_only_the_released_wheel_fits_the_lock(dist: Path, tmp_path: Path) -> None:
    """An installer takes it from a folder; another file of the same name and version is refused."""
    (tmp_path / "lock.txt").write_text((dist / "requirements-vault.txt").read_text().partition("\nkeyturn==")[2])
    lock = tmp_path / "lock.txt"
    lock.write_text(f"keyturn=={lock.read_text()}")

    def install(links: Path) -> tuple[int, str]:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-index", "--no-deps"]
        target: list[str | Path] = ["--target", tmp_path / "site", "--require-hashes", "-f", links, "-r", lock]
        done = run([*pip, *target], seconds=120)
        return done.returncode, done.stdout + done.stderr

    other = tmp_path / "links"
    other.mkdir()
    with zipfile.ZipFile(dist / WHEEL) as real, zipfile.ZipFile(other / WHEEL, "w") as forged:
        for name in real.namelist():
            forged.writestr(name, real.read(name))
        forged.writestr("evil.py", "")
    code, said = install(other)
    assert code != 0, said
    assert "do not match the hashes" in said.lower() or "no matching distribution" in said.lower()
    assert not (tmp_path / "site").exists()
    code, said = install(dist)
    assert code == 0, said
    assert (tmp_path / "site/keyturn/__init__.py").is_file()


def test_the_plugin_installs_what_it_brings_and_what_is_locked(dist: Path) -> None:
    """The archive has what Pulumi's language host for Python looks for; nothing is installed without its hash."""
    with tarfile.open(dist / f"pulumi-resource-keyturn-v{VERSION}-linux-amd64.tar.gz") as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive}
        texts = {name: file.read() for name, file in files.items() if file}
    assert texts.keys() == {"PulumiPlugin.yaml", "__main__.py", "requirements.txt", WHEEL}
    assert texts[WHEEL] == (dist / WHEEL).read_bytes()
    *libraries, own = re.split(r"^(?=[a-z0-9.])", texts["requirements.txt"].decode(), flags=re.MULTILINE)[1:]
    assert own == f"./{WHEEL} --hash=sha256:{hashlib.sha256(texts[WHEEL]).hexdigest()}\n"
    assert len(libraries) > 10
    assert [line for line in libraries if "--hash=sha256:" not in line] == []


def test_a_lock_names_both_files_by_hash() -> None:
    """In the form that pip reads, always in the same order."""
    made = release.lock_of("", VERSION, ["ab" * 32, "12" * 32])
    assert made == f"keyturn=={VERSION} \\\n    --hash=sha256:{'12' * 32} \\\n    --hash=sha256:{'ab' * 32}\n"
