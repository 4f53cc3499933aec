"""Which files a checkout tracks, read from its index without running git."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from keyturn.core.errors import InputError
from keyturn.targets.base import TargetContext
from keyturn.targets.git_index import tracks
from keyturn.targets.local import LocalTarget

RECORD = ".keyturn/keyturn/keys/shop.json"
EXTENDED = 0x4000


def index(
    paths: Sequence[str], version: int = 2, *, hash_size: int = 20, extended: bool = False, mode: int = 0o100644
) -> bytes:
    """Write an index as git does."""
    made, before = struct.pack(">4sLL", b"DIRC", version, len(paths)), b""
    for path in (text.encode() for text in sorted(paths)):
        flags = min(len(path), 0xFFF) | (EXTENDED if extended else 0)
        entry = (
            bytes(range(24))
            + mode.to_bytes(4)
            + bytes(12)
            + b"\x11" * hash_size
            + struct.pack(">H", flags)
            + (b"\0\0" if extended else b"")
        )
        if version == 4:
            same = next(
                (n for n, (a, b) in enumerate(zip(path, before, strict=False)) if a != b), min(len(path), len(before))
            )
            entry += bytes([len(before) - same]) + path[same:] + b"\0"
        else:
            entry += path
            entry += b"\0" * (8 - len(entry) % 8)
        made, before = made + entry, path
    return made + b"\x22" * hash_size


def checkout(folder: Path, content: bytes, name: str = "index") -> None:
    """Make a checkout with this index."""
    (folder / ".git").mkdir(exist_ok=True)
    (folder / ".git" / name).write_bytes(content)


@pytest.mark.finding(
    "M1", before="a record of a checkout was used", now="an index of any version shows that git has it"
)
@pytest.mark.parametrize(("version", "extended"), [(2, False), (3, True), (4, False), (4, True)])
@pytest.mark.parametrize("hash_size", [20, 32])
def test_each_version_of_the_index_is_read(tmp_path: Path, version: int, extended: bool, hash_size: int) -> None:
    """With SHA-1 and SHA-256, with and without extended flags."""
    others = ["README.md", ".gitignore", ".keyturn.md", "src/a.py", "x" * 300]
    checkout(tmp_path, index(others, version, hash_size=hash_size, extended=extended))
    assert not tracks(tmp_path, ".keyturn")
    checkout(tmp_path, index([*others, RECORD], version, hash_size=hash_size, extended=extended))
    assert tracks(tmp_path, ".keyturn")


def test_the_manifest_may_lie_below_the_top(tmp_path: Path) -> None:
    """Only the records beside this manifest count, in a worktree too."""
    below = tmp_path / "deploy" / "prod"
    below.mkdir(parents=True)
    checkout(tmp_path, index([RECORD, f"deploy/{RECORD}", f"a/deploy/prod/{RECORD}"]))
    assert not tracks(below, ".keyturn")
    checkout(tmp_path, index([f"deploy/prod/{RECORD}"]))
    assert tracks(below, ".keyturn")
    (tmp_path / ".git").rename(tmp_path / "moved")
    (tmp_path / ".git").write_text("gitdir: moved\n")
    assert tracks(below, ".keyturn")


def test_a_link_and_other_capitals_count_and_a_gitignore_does_not(tmp_path: Path) -> None:
    """`.keyturn` itself may be a tracked symbolic link or submodule."""
    checkout(tmp_path, index([".keyturn"]))
    assert tracks(tmp_path, ".keyturn")
    checkout(tmp_path, index([RECORD.upper()]))
    assert tracks(tmp_path, ".keyturn")
    checkout(tmp_path, index([".keyturn/.gitignore"]))
    assert not tracks(tmp_path, ".keyturn")


@pytest.mark.finding("B4", before="a submodule below the records was not noticed", now="it counts as tracked")
@pytest.mark.parametrize(("mode", "found"), [(0o160000, True), (0o120000, True), (0o100644, False)])
@pytest.mark.parametrize("version", [2, 4])
def test_a_submodule_or_link_below_the_records_counts(tmp_path: Path, mode: int, found: bool, version: int) -> None:
    """What it has is in no index of this checkout, so any of it may be records."""
    checkout(tmp_path, index([".gitignore", ".keyturn/keyturn"], version, mode=mode))
    assert tracks(tmp_path, ".keyturn") is found


@pytest.mark.finding("B4", before="a checkout inside the records was not noticed", now="records in it are refused")
@pytest.mark.parametrize("below", ["", "keyturn", "keyturn/keys"])
@pytest.mark.parametrize("is_file", [False, True], ids=["clone", "submodule"])
def test_a_checkout_inside_the_records_counts(tmp_path: Path, below: str, is_file: bool) -> None:
    """A clone has a folder `.git`, a submodule or worktree a file; what it tracks does not matter."""
    inside = tmp_path / ".keyturn" / below
    inside.mkdir(parents=True)
    assert not tracks(tmp_path, ".keyturn")
    if is_file:
        (inside / ".git").write_text("gitdir: ../../.git/modules/records\n")
    else:
        (inside / ".git").mkdir()
    assert tracks(tmp_path, ".keyturn")
    target = LocalTarget(TargetContext("local", {}, base=str(tmp_path)))
    with pytest.raises(InputError, match="git tracks the records"):
        target.read_document("keyturn/keys/shop")


@pytest.mark.finding(
    "B4", before="only a folder `.git` was known to be read", now="a worktree and a submodule are read"
)
def test_the_index_of_a_worktree_is_read(tmp_path: Path) -> None:
    """Its `.git` is a file that names a folder elsewhere, by an absolute path or a relative one."""
    git = tmp_path / "main/.git/worktrees/tree"
    git.mkdir(parents=True)
    (git / "index").write_bytes(index([RECORD]))
    for number, named in enumerate((str(git), "../main/.git/worktrees/tree")):
        tree = tmp_path / f"tree{number}"
        tree.mkdir()
        (tree / ".git").write_text(f"gitdir: {named}\n")
        assert tracks(tree, ".keyturn")


def test_a_split_index_is_read_too(tmp_path: Path) -> None:
    """Its shared part has most of the entries."""
    checkout(tmp_path, index([]))
    checkout(tmp_path, index([RECORD]), "sharedindex.00")
    assert tracks(tmp_path, ".keyturn")


@pytest.mark.parametrize(
    "content",
    [b"", b"DIRC", b"DIRC" + b"\xff" * 8, index([RECORD])[:70], b"DIRC\0\0\0\4\xff\xff\xff\xff" + b"\xff" * 90],
)
def test_a_damaged_index_shows_nothing(tmp_path: Path, content: bytes) -> None:
    """And it ends: git itself cannot read it."""
    checkout(tmp_path, content)
    assert not tracks(tmp_path, ".keyturn")


def test_the_records_are_not_read(tmp_path: Path) -> None:
    """Neither read, listed nor written: one paragraph, exit code 3."""
    checkout(tmp_path, index([RECORD]))
    target = LocalTarget(TargetContext("local", {}, base=str(tmp_path)))
    for act in (
        lambda: target.read_document("keyturn/keys/shop"),
        lambda: target.list_documents("keyturn/keys"),
        lambda: target.write_document("keyturn/keys/shop", "{}", "0", lambda: None),
    ):
        with pytest.raises(InputError, match="git tracks the records"):
            act()
    assert not (tmp_path / ".keyturn").exists()
