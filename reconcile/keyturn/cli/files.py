"""Files that a command writes for its caller."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from keyturn.core.errors import InputError


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by this user only; a symbolic link is not followed.

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
                os.fsync(handle)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError("this file cannot be written", where=str(path), evidence=error.strerror or "") from None
