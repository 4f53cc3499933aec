"""Runs of this machine: each locks a file of its name for as long as it lives, so that its death can be seen at once.

The lock is `flock`: the kernel releases it when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_LOG = logging.getLogger(__name__)
RUN = re.compile(r"[0-9a-f]{8,64}")
STALE = 7 * 24 * 3600.0
"""Seconds after which the file of a run that ended with open work is swept away."""


class HeldRun:
    """A run under way in this process; `unfinished` keeps its file, unlocked: the next run takes over at once."""

    def __init__(self, run: str) -> None:
        """Start without a lock file."""
        self.id = run
        self.unfinished = False
        self._file: int | None = None
        self._path: Path | None = None

    def lock(self, directory: Path) -> None:
        """Create and lock the file; raises OSError."""
        path = directory / self.id
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            path.unlink()
            os.close(file)
            raise
        self._file, self._path = file, path
        _held.add(self)

    def forget(self) -> None:
        """Release the lock in a forked child: the run, its file and its lock stay the parent's."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def end(self) -> None:
        """Unlock, and remove the file unless work stayed open."""
        if self._file is None or self._path is None:
            return
        if not self.unfinished:
            self._path.unlink(missing_ok=True)
        _held.discard(self)
        os.close(self._file)
        self._file = None


class Runs:
    """The runs that a machine knows of, in the runtime directories of this user; thread-safe."""

    def __init__(self, directories: Sequence[Path] | None = None) -> None:
        """Use these directories, by default `runtime_directories` of the process's environment."""
        self._directories = tuple(runtime_directories(os.environ) if directories is None else directories)

    @contextmanager
    def hold(self) -> Iterator[HeldRun]:
        """Hold a new run with a random id until the block ends; an exception leaves it unfinished.

        Where no private directory can be had the run goes on without a file: others then wait for its lease instead.
        The log says why a directory is not used.
        """
        held = HeldRun(secrets.token_hex(16))
        for directory in self._directories:
            try:
                directory.mkdir(mode=0o700, exist_ok=True)
                if not (why := _obstacle(directory)):
                    _sweep(directory)
                    held.lock(directory)
                    break
            except OSError as error:
                why = error.strerror or type(error).__name__
            _LOG.info("%s is not used for lock files: %s", directory, why)
        else:
            _LOG.info("this run has no lock file: after a crash, the next run waits until its lease has expired")
        try:
            yield held
        except BaseException:
            held.unfinished = True
            raise
        finally:
            held.end()

    def alive(self, run: str) -> bool | None:
        """Tell whether `run` is under way: True locked by a process, False its process is gone, None not known here.

        A run id comes from a record, so from elsewhere: what is not plain hex is not looked up.
        """
        if not RUN.fullmatch(run):
            return None
        for directory in self._directories:
            if not _obstacle(directory):
                with suppress(OSError):
                    return not _lockable(directory / run)
        return None


class ManifestLock:
    """The lock of the one `run` that works on a manifest on this machine; `name` tells one manifest from another.

    On another machine the leases of the records keep two runs apart, key by key.
    """

    def __init__(self, name: str, directories: Sequence[Path] | None = None) -> None:
        """Use these directories, by default `runtime_directories` of the process's environment."""
        self._name = f"manifest-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        self._directories = tuple(runtime_directories(os.environ) if directories is None else directories)
        self._file: int | None = None

    def take(self) -> str:
        """Lock; return who holds it instead, or nothing: it is this process's, or there is no private directory."""
        if self._file is not None:
            return ""
        for directory in self._directories:
            with suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
                if not _obstacle(directory):
                    return self._take(directory / self._name)
        _LOG.info("no lock file can be made: a second run on this machine is not noticed")
        return ""

    def _take(self, path: Path) -> str:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 20)
            os.close(file)
            return f"another run (process {int(holder)})" if holder.isdigit() else "another run"
        except OSError:
            os.close(file)
            raise
        os.truncate(file, 0)
        os.write(file, str(os.getpid()).encode())
        self._file = file
        return ""

    def release(self) -> None:
        """Unlock. The file stays: removing it could let two processes lock two files of the same name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def runtime_directories(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return where runs of this user lock their files, the best first."""
    session = environment.get("XDG_RUNTIME_DIR", "")
    shared = Path(tempfile.gettempdir()) / f"keyturn-{os.geteuid()}"
    return (Path(session) / "keyturn", shared) if session.startswith("/") else (shared,)


_held: set[HeldRun] = set()


def _forget_in_child() -> None:
    """A forked child shares the lock; it would keep a dead parent's run alive."""
    for held in tuple(_held):
        held.forget()
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _obstacle(directory: Path) -> str:
    """Say why a directory is not used, or nothing if only this user can write there.

    In a shared temporary directory another user may have made it.
    """
    try:
        found = directory.lstat()
    except OSError as error:
        return error.strerror or type(error).__name__
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a directory"
    if found.st_uid != os.geteuid():
        return f"it belongs to the user id {found.st_uid}"
    return f"its mode {stat.S_IMODE(found.st_mode):04o} lets other users in" if found.st_mode & 0o077 else ""


def _lockable(path: Path) -> bool:
    """Tell whether nobody holds the file; a shared lock, so that two who ask do not take each other for the holder."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(file)


def _sweep(directory: Path) -> None:
    for path in directory.iterdir():
        with suppress(OSError):
            if RUN.fullmatch(path.name) and time.time() - path.stat().st_mtime > STALE and _lockable(path):
                path.unlink()
