"""Which files git tracks, read from the index of a checkout.

Git itself is not run: a checkout can configure commands that git executes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct(">4sLL")
_SIGNATURE = b"DIRC"
_COMPRESSED = 4
_VERSIONS = (2, 3, _COMPRESSED)
_STAT = 40
"""Bytes of an entry before the hash: times, device, inode, mode, owner, size."""
_HASHES = (20, 32)
"""Bytes of a hash: SHA-1, or SHA-256."""
_EXTENDED = 0x4000
_LARGEST = 256 * 1024 * 1024
_MODE = 24
"""Bytes of an entry before its mode."""
_ELSEWHERE = (0o120000, 0o160000)
"""The modes of a symbolic link and of a submodule: files that are in no index of this checkout."""
_MOST = 10_000
"""How many folders of records are looked through."""


def tracks(folder: Path, name: str) -> bool:
    """Tell whether git tracks `name` in `folder`, or JSON files, links or submodules below it; or if it has a checkout.

    No checkout, no index, or one that cannot be read: nothing is tracked. Raises nothing.
    """
    try:
        return _has_checkout(folder / name) or any(
            _tracked(index, wanted) for index, wanted in _indexes(folder.absolute(), name)
        )
    except OSError:
        return False


def _has_checkout(folder: Path) -> bool:
    """Tell whether the folder is a checkout of its own, or has one below it: a submodule, or a clone."""
    for number, (_, folders, files) in enumerate(os.walk(folder)):
        if ".git" in folders or ".git" in files:
            return True
        if number >= _MOST:
            break
    return False


def _indexes(folder: Path, name: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield each index of the checkout that the folder is in, with the path in it."""
    for top in (folder, *folder.parents):
        git = top / ".git"
        if git.is_file():
            git = top / git.read_text(encoding="utf-8", errors="replace").partition("gitdir:")[2].strip()
        if not git.is_dir():
            continue
        wanted = (folder / name).relative_to(top).as_posix().encode()
        for file in (git / "index", *sorted(git.glob("sharedindex.*"))):
            if file.is_file() and file.stat().st_size <= _LARGEST:
                yield file.read_bytes(), wanted
        return


def _tracked(index: bytes, wanted: bytes) -> bool:
    """Tell whether an index has the path, or below it a JSON file, a link or a submodule.

    Capitals do not count, as on some file systems.
    """
    asked = wanted.lower()
    for path, mode in _paths(index):
        found = path.lower()
        if found == asked or (found.startswith(asked + b"/") and (found.endswith(b".json") or mode in _ELSEWHERE)):
            return True
    return False


def _paths(index: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the paths of an index, each with its mode; of a damaged one, as far as it can be read."""
    if len(index) < _HEADER.size:
        return
    signature, version, count = _HEADER.unpack_from(index)
    if signature != _SIGNATURE or version not in _VERSIONS:
        return
    size = next((size for size in _HASHES if _fits(index, size)), _HASHES[0])
    place, path = _HEADER.size, b""
    for _ in range(count):
        start, place = place, place + _STAT + size + 2
        if place > len(index):
            return
        if int.from_bytes(index[place - 2 : place]) & _EXTENDED:
            place += 2
        if version == _COMPRESSED:
            drop, place = _varint(index, place)
            end = index.find(b"\0", place)
            path = path[: len(path) - drop] + index[place:end]
            place = end + 1
        else:
            end = index.find(b"\0", place)
            path = index[place:end]
            place = start + (end - start + 8) // 8 * 8
        if end < 0:
            return
        yield path, int.from_bytes(index[start + _MODE : start + _MODE + 4])


def _fits(index: bytes, size: int) -> bool:
    """Tell whether the first path ends where an entry with a hash of this size says."""
    place = _HEADER.size + _STAT + size
    flags = int.from_bytes(index[place : place + 2])
    start = place + (4 if flags & _EXTENDED else 2) + (index[4:8] == _COMPRESSED.to_bytes(4))
    end = start + (flags & 0xFFF)
    return b"\0" not in index[start:end] and index[end : end + 1] == b"\0"


def _varint(index: bytes, place: int) -> tuple[int, int]:
    """Read a number as git writes offsets; return it and the place behind it."""
    value = index[place] & 0x7F if place < len(index) else 0
    while place < len(index) and index[place] & 0x80:
        place += 1
        value = ((value + 1) << 7) | (index[place] & 0x7F if place < len(index) else 0)
    return value, place + 1
