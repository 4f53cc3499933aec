"""The Dockerfile: its structure, and its offline installs in a folder. `make image` builds it."""

from __future__ import annotations

import fnmatch
import re
import shlex
import sys
from itertools import pairwise
from pathlib import Path

from tests.blocks import ROOT
from tests.support.process import bare_environment, run

TEXT = (ROOT / "Dockerfile").read_text()
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
RUNS = [line.removeprefix("RUN ") for line in LINES if line.startswith("RUN ")]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def test_every_library_is_installed_by_its_hash() -> None:
    """A `pip install` names a lock that exists, or only what the image has already."""
    assert len(RUNS) == 6
    [extras] = re.findall(r'^ARG EXTRAS="(.+)"$', TEXT, re.MULTILINE)
    locks = []
    for line in RUNS:
        shown = run(["sh", "-c", f"printf '%s\n' {line}"], env=bare_environment(EXTRAS=extras))
        words = shown.stdout.splitlines()
        if "install" not in words:
            continue
        if "-r" in words:
            assert {"--require-hashes", "--only-binary", ":all:"} <= set(words)
            locks += [after.removeprefix("/source/requirements/") for word, after in pairwise(words) if word == "-r"]
        else:
            assert {"--no-deps", "--no-index"} <= set(words)
    assert locks == ["runtime-run.txt", "runtime-vault.txt", "build.txt"]
    [others] = re.findall(r"further ones: (.+)$", TEXT, re.MULTILINE)
    named = [*locks, *(f"runtime-{name}.txt" for name in others.split())]
    assert all((ROOT / "requirements" / name).is_file() for name in named)


def test_the_image_needs_no_root_and_no_writable_root() -> None:
    """The last stage has only the environment, another user, and keyturn as its program."""
    last = LINES[max(number for number, line in enumerate(LINES) if line.startswith("FROM ")) :]
    assert [line.split()[0] for line in last] == ["FROM", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD"]
    user = next(line.split()[1] for line in last if line.startswith("USER "))
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert "PYTHONDONTWRITEBYTECODE=1" in TEXT
    assert 'ENTRYPOINT ["/opt/keyturn/bin/keyturn"]' in last
    assert f"runAsUser: {user.partition(':')[0]}" in (ROOT / "examples/kubernetes/cronjob.yaml").read_text()
    assert "chmod" not in TEXT
    assert "ADD " not in TEXT


def test_what_is_copied_is_in_the_context() -> None:
    """The context has nothing else: no environment, no git history, no test."""
    kept = {line[1:] for line in IGNORED if line.startswith("!")}
    assert IGNORED[0] == "*"
    copied = {
        source.rstrip("/")
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch.fnmatch(name, pattern) for name in (".git", "tests", ".venv") for pattern in kept)


def test_its_own_installs_work(tmp_path: Path) -> None:
    """The wheel is built and installed as the lines say, with this environment's builder; the folder is the image's."""
    (tmp_path / "source").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "reconcile", "provider"):
        (tmp_path / "source" / name).symlink_to(ROOT / name)
    target = tmp_path / "installed"
    build, install = (next(line for line in RUNS if word in line) for word in ("pip wheel", "/opt/dist/keyturn-"))
    for line in (build, f"{install} --target {target}"):
        command = re.sub(r"/opt/\w+/bin/python", shlex.quote(sys.executable), line)
        command = command.replace("/opt/dist", str(tmp_path / "wheels")).replace("/source", str(tmp_path / "source"))
        done = run(["bash", "-c", command], env=bare_environment(PIP_DISABLE_PIP_VERSION_CHECK="1"), seconds=120)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "wheels").iterdir())) == 1
    assert (target / "keyturn/cli/starter.yaml").is_file()


def test_the_page_says_that_the_daily_tests_do_not_build_it() -> None:
    """`make image` does."""
    page = (ROOT / "examples/docker/README.md").read_text()
    assert "**`make image` builds it; the daily tests do not**" in page
    assert "the daily tests do not build it" in " ".join((ROOT / "docs/faq.md").read_text().split())
    assert "-m tests.image\n" in (ROOT / "Makefile").read_text()
