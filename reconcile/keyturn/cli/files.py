"""Files that a command reads and writes for its caller."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli.console import Screen
from keyturn.core.errors import InputError
from keyturn.manifest import Source, Text, read_policy

if TYPE_CHECKING:
    from keyturn.manifest.policy import Policy

LARGEST = 8 * 1024 * 1024
"""Bytes of a file that a command reads for its caller."""


LARGEST_MANIFEST = 1024 * 1024
"""Bytes of a manifest; reading one byte more lets its parser say that it is larger."""
STDIN = "-"
POLICY = "KEYTURN_POLICY"
"""The variable with the file of the operator's policy. An empty one would silently permit everything."""


def sources(file: str | Sequence[str]) -> tuple[Source, ...]:
    """Return what each `-f` names; `-` is standard input, which is read here. Raises InputError if it is named twice.

    What stands on standard input has its relative paths at the working directory.
    """
    names = [file] if isinstance(file, str) else list(file)
    if names.count(STDIN) > 1:
        raise InputError("standard input is named twice", where="-f -", remedy="Name it once.")
    return tuple(_standard_input() if name == STDIN else Path(name) for name in names)


def named(file: str | Sequence[str]) -> str:
    """Return the names of all `-f` in one text."""
    return file if isinstance(file, str) else ", ".join(file)


def policy_of(screen: Screen) -> Policy | None:
    """Return the operator's policy, None if none is named. Raises InputError if its name is empty, or ManifestError."""
    if screen.policy:
        return read_policy(Path(screen.policy))
    if screen.policy == "" or os.environ.get(POLICY) == "":
        raise InputError("the name of the policy is empty", where=POLICY, remedy="Name a file, or unset the variable.")
    return None


def no_secret_beside(file: str | Sequence[str], secret: str | None) -> None:
    """Raise UsageError if both the manifest and the secret are to be read from standard input."""
    if secret == "stdin" and STDIN in ([file] if isinstance(file, str) else file):
        raise click.UsageError("standard input holds the manifest (-f -) or the secret (--secret stdin), not both")


def _standard_input() -> Text:
    """Read a manifest from standard input. Raises InputError if it cannot be read."""
    try:
        return Text(sys.stdin.buffer.read(LARGEST_MANIFEST + 1))
    except (OSError, AttributeError) as error:  # it may have been closed before the program began
        evidence = error.strerror or "" if isinstance(error, OSError) else "it is closed"
        raise InputError("standard input cannot be read", where="-f -", evidence=evidence) from None


def read_bounded(path: Path) -> str:
    """Return the text of a regular file.

    Raises:
        InputError: it is something else, too large, unreadable or no UTF-8.
    """
    try:
        # Without waiting for a writer, if it is a named pipe.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(LARGEST + 1) if regular else b""
        if not regular or len(content) > LARGEST:
            raise InputError("this is not a regular file of at most 8 MiB, and is not read", where=str(path))
        return content.decode()
    except OSError as error:
        raise InputError("this file cannot be read", where=str(path), evidence=error.strerror or "") from None
    except UnicodeDecodeError:
        raise InputError("this file is not text in UTF-8", where=str(path)) from None


def write_private(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file as a whole, by default readable by this user only; a symbolic link is not followed.

    Raises:
        InputError: it cannot be written, or there is something other than a regular file.
    """
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                raise InputError(
                    "this is not a regular file, and was not changed",
                    where=str(path),
                    remedy="Name a file: keyturn writes through no link and to no device.",
                )
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fchmod(handle, mode)
                os.fsync(handle)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError("this file cannot be written", where=str(path), evidence=error.strerror or "") from None
