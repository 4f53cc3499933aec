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


def index(paths: Sequence[str], version: int = 2, *, hash_size: int = 20, extended: bool = False) -> bytes:
    """Write an index as git does."""
    made, before = struct.pack(">4sLL", b"DIRC", version, len(paths)), b""
    for path in (text.encode() for text in sorted(paths)):
        flags = min(len(path), 0xFFF) | (EXTENDED if extended else 0)
        entry = bytes(range(40)) + b"\x11" * hash_size + struct.pack(">H", flags) + (b"\0\0" if extended else b"")
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
