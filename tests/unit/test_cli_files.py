"""Files that a command reads for its caller: regular ones, in bounds, as text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyturn.cli.files import LARGEST, read_bounded
from keyturn.core.errors import InputError


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    """Also through a symbolic link: the caller names it."""
    (tmp_path / "plan.json").write_text("{“}")
    (tmp_path / "link").symlink_to(tmp_path / "plan.json")
    assert read_bounded(tmp_path / "link") == "{“}"


def test_a_pipe_a_device_and_a_large_or_binary_file_are_refused(tmp_path: Path) -> None:
    """Each with a sentence, and without waiting."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b" " * (LARGEST + 1))
    (tmp_path / "binary").write_bytes(b"\xff")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "large"):
        with pytest.raises(InputError, match="not a regular file of at most 8 MiB"):
            read_bounded(path)
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_bounded(tmp_path / "binary")
    with pytest.raises(InputError, match="cannot be read"):
        read_bounded(tmp_path / "absent")
