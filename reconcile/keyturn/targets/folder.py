"""Files that are replaced as a whole and durably, and locks that end with the process.

`opened` opens one directory after the other, so that no symbolic link can leave the root directory.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from keyturn.core.errors import KeyturnError, TargetForbidden, TargetMisfit, TargetUnavailable

LARGEST = 1 << 20
"""The largest size of a file of secrets, in bytes."""

POLL = 0.02
"""Seconds between two attempts to take a lock."""

MODE = 0o600
"""The mode of a new file. A file that is replaced keeps its group's right to read, nothing beyond 0640."""

FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LINK = (errno.ELOOP, errno.ENOTDIR)

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Spot:
    """A file that may be absent: its open directory and its name there."""

    folder: int
    name: str
    where: str

    def read(self) -> bytes | None:
        """Return the content, or None if the file is absent. Raises OSError and TargetMisfit."""
        try:
            handle = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder)
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
                raise TargetMisfit(
                    "this is not a regular file of secrets",
                    where=self.where,
                    evidence=f"it has to be a regular file of at most {LARGEST} bytes",
                )
            return os.read(handle, LARGEST + 1)
        finally:
            os.close(handle)

    def version(self) -> str:
        """Return what tells this file from any other, and from what it was before; empty if it is absent."""
        try:
            found = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return ""
        return f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}"

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Hold the lock of the directory. It creates no file and ends with the process."""
        lock(self.folder, seconds, "another process is writing to this directory", self.where)
        yield

    def replace(self, before: bytes | None, after: bytes, ready: Callable[[], None]) -> bool:
        """Replace exactly `before` by `after`, durably. Return False if the content is no longer `before`.

        `ready` is called before the last step. Raises OSError, TargetForbidden, and TargetUnavailable (ambiguous) if
        the file was replaced but might not survive a power failure.
        """
        with self._fresh(after) as fresh:
            ready()
            if self.read() != before:
                return False
            os.replace(fresh, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
        try:
            os.fsync(self.folder)
        except OSError as error:
            failure = in_words(error, self.where, ambiguous=True)
        else:
            return True
        raise failure

    def try_out(self, content: bytes) -> None:
        """Do the same as `replace` without the last step, and raise the same errors."""
        with self._fresh(content):
            pass

    @contextmanager
    def _fresh(self, content: bytes) -> Iterator[str]:
        """Write a new file for the same readers in the same directory. Remove it afterwards unless it was renamed."""
        present = self._present()
        self._sweep()
        fresh = f".{self.name}.{uuid4().hex}.new"
        handle = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE, dir_fd=self.folder
        )
        try:
            with os.fdopen(handle, "wb") as stream:
                if present is not None:
                    self._keep_readers(present, handle)
                stream.write(content)
                stream.flush()
                os.fsync(handle)
            yield fresh
        finally:
            with suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=self.folder)

    def _present(self) -> os.stat_result | None:
        """Return the state of the present file, or None if it is absent. Raises TargetForbidden if not writable."""
        try:
            found = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not os.access(self.name, os.W_OK, dir_fd=self.folder, effective_ids=True):
            raise TargetForbidden(
                "this file is write-protected", where=self.where, remedy="Allow this user to write it."
            )
        return found

    def _keep_readers(self, present: os.stat_result, fresh: int) -> None:
        """Give the new file the owner of the present one, and as far as permitted its group and attributes.

        The group may read it if it could read the present file and is still the same. Access control lists are among
        the attributes (Linux); the mode bounds them.
        """
        os.fchown(fresh, present.st_uid, -1)
        with suppress(OSError):
            os.fchown(fresh, -1, present.st_gid)
        same = self._copy_attributes(fresh) and os.fstat(fresh).st_gid == present.st_gid
        os.fchmod(fresh, MODE | (present.st_mode & stat.S_IRGRP if same else 0))

    def _copy_attributes(self, fresh: int) -> bool:
        """Copy the extended attributes that may be copied. Return False if an access control list is not among them."""
        if sys.platform != "linux":
            return True
        complete = True
        present = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.folder)
        try:
            for name in _attributes(present):
                try:
                    os.setxattr(fresh, name, os.getxattr(present, name))
                except OSError:
                    complete = complete and "acl" not in name
        finally:
            os.close(present)
        return complete

    def _sweep(self) -> None:
        """Remove the files that a killed run left. No such file is in use while we hold the lock."""
        for name in os.listdir(self.folder):  # noqa: PTH208  (an open directory has no path)
            if name.startswith(f".{self.name}.") and name.endswith(".new"):
                os.unlink(name, dir_fd=self.folder)


def _attributes(handle: int) -> list[str]:
    with suppress(OSError):  # a file system without them
        return os.listxattr(handle)
    return []


@contextmanager
def opened(root: Path, path: str, where: str) -> Iterator[Spot]:
    """Open the directory of a file. `root` is a real path; nothing below it may be a symbolic link.

    Raises:
        TargetMisfit: a directory is missing, or a part of the path is a symbolic link.
        TargetForbidden: not readable or not writable.
        TargetUnavailable: the disk is full or has failed.
    """
    *folders, name = path.split("/")
    failure: KeyturnError
    handle = -1
    try:
        handle = os.open(root, FOLDER | os.O_NOFOLLOW)
        for folder in folders:
            inner = os.open(folder, FOLDER | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield Spot(handle, name, where)
    except OSError as error:
        failure = in_words(error, where)
    else:
        return
    finally:
        if handle >= 0:
            os.close(handle)
    raise failure


def in_words(error: OSError, where: str, *, ambiguous: bool = False) -> KeyturnError:
    """Return our error for an error of the operating system."""
    evidence = os.strerror(error.errno) if error.errno else type(error).__name__
    if error.errno in FORBIDDEN:
        return TargetForbidden(
            "this file or its directory is not accessible",
            where=where,
            evidence=evidence,
            remedy="Check owner and mode.",
        )
    if error.errno in FULL:
        return TargetUnavailable(
            "the disk is full", where=where, evidence=evidence, remedy="Free some space.", ambiguous=ambiguous
        )
    if error.errno == errno.ENOENT:
        return TargetMisfit("there is no such directory", where=where, remedy="Create it: keyturn creates only files.")
    if error.errno in LINK:
        return TargetMisfit(
            "a part of this path is a symbolic link, or is not a directory",
            where=where,
            remedy="Use the real path: keyturn follows no links below `root`.",
        )
    return TargetUnavailable("this file cannot be used", where=where, evidence=evidence, ambiguous=ambiguous)


def lock(handle: int, seconds: float, what: str, where: str) -> None:
    """Lock an open file or directory until it is closed. The lock ends with the process.

    Raises:
        TargetUnavailable: with the text `what`, if another process held the lock for `seconds`.
    """
    until = time.monotonic() + seconds
    while not _try_lock(handle):
        if time.monotonic() > until:
            raise TargetUnavailable(what, where=where, evidence=f"its lock was not free within {seconds:g} s")
        time.sleep(POLL)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
