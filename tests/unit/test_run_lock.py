"""A run's life and death can be seen by other processes of this machine, and by nobody else's doing."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from keyturn.engine.run_lock import STALE, Runs, runtime_directories


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A runtime directory that does not exist yet."""
    return tmp_path / "runs"


def test_a_held_run_is_alive_for_this_process_and_any_thread_of_it(directory: Path) -> None:
    """The holder's own lock counts as held, from whichever thread it is asked."""
    runs, seen = Runs([directory]), list[bool | None]()
    with runs.hold() as run:
        thread = threading.Thread(target=lambda: seen.append(runs.alive(run.id)))
        thread.start()
        thread.join(10)
        seen.append(Runs([directory]).alive(run.id))
    assert seen == [True, True]


def test_two_runs_of_one_process_have_ids_of_their_own(directory: Path) -> None:
    """Every run is random, and one's end is not the other's."""
    runs = Runs([directory])
    with runs.hold() as one:
        with runs.hold() as two:
            assert one.id != two.id
        assert (runs.alive(one.id), runs.alive(two.id)) == (True, None)


def test_a_clean_end_leaves_no_file(directory: Path) -> None:
    """A run that ended well is as unknown as one of another machine."""
    runs = Runs([directory])
    with runs.hold() as run:
        pass
    assert runs.alive(run.id) is None
    assert list(directory.iterdir()) == []


def test_a_run_that_ends_with_open_work_is_seen_as_ended(directory: Path) -> None:
    """Its file stays, unlocked, so that the next run need not wait for a lease."""
    runs = Runs([directory])
    with runs.hold() as run:
        run.unfinished = True
    assert runs.alive(run.id) is False


def test_a_run_that_breaks_off_is_seen_as_ended(directory: Path) -> None:
    """An exception means open work."""
    runs = Runs([directory])
    with pytest.raises(KeyboardInterrupt), runs.hold() as run:
        raise KeyboardInterrupt
    assert runs.alive(run.id) is False


@pytest.mark.parametrize("run", ["", "../../etc/passwd", "run-7", "ABCDEF0123456789", "a" * 65, "../aaaaaaaa"])
def test_a_run_id_that_is_not_hex_is_not_looked_up(directory: Path, run: str) -> None:
    """A record is input: what it calls a run never becomes a path."""
    directory.mkdir(mode=0o700)
    (directory / "run-7").touch()
    assert Runs([directory]).alive(run) is None


def test_an_unknown_run_is_of_elsewhere(directory: Path) -> None:
    """No file, or no directory, means nothing about a run."""
    runs = Runs([directory])
    assert runs.alive("0123456789abcdef") is None
    with runs.hold():
        assert runs.alive("0123456789abcdef") is None


def test_the_directory_and_the_file_are_private(directory: Path) -> None:
    """Nobody else can lock, remove or plant a run."""
    with Runs([directory]).hold() as run:
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_IMODE((directory / run.id).stat().st_mode) == 0o600


def test_a_directory_that_others_can_write_is_not_used(directory: Path) -> None:
    """Someone else's files there say nothing; the run goes on without a lock file."""
    directory.mkdir(mode=0o700)
    directory.chmod(0o777)
    planted = "0123456789abcdef"
    (directory / planted).touch()
    runs = Runs([directory])
    with runs.hold() as run:
        assert runs.alive(run.id) is None
    assert runs.alive(planted) is None
    assert [path.name for path in directory.iterdir()] == [planted]


@pytest.mark.finding(
    "L18",
    before="another user who made the directory first disabled the quick take-over, and nothing said so",
    now="at -v, each directory that is not used is named, with whose it is",
)
def test_the_log_says_why_there_is_no_lock_file(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another user's, one that others may enter, no directory, no parent; nothing is said if one can be used."""
    caplog.set_level("INFO", "keyturn")
    directory.mkdir(mode=0o700)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(directory)
    with Runs([directory]).hold():
        assert not caplog.messages
    with Runs([tmp_path / "open", tmp_path / "link", tmp_path / "gone" / "keyturn"]).hold():
        pass
    owner = directory.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with Runs([directory]).hold():
        pass
    none = "this run has no lock file: after a crash, the next run waits until its lease has expired"
    assert caplog.messages == [
        f"{tmp_path / 'open'} is not used for lock files: its mode 0755 lets other users in",
        f"{tmp_path / 'link'} is not used for lock files: it is not a directory",
        f"{tmp_path / 'gone/keyturn'} is not used for lock files: No such file or directory",
        none,
        f"{directory} is not used for lock files: it belongs to the user id {owner}",
        none,
    ]


def test_a_link_to_a_directory_is_not_used(tmp_path: Path, directory: Path) -> None:
    """A link in a shared temporary directory could lead anywhere."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "elsewhere")
    with Runs([directory]).hold():
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_second_directory_serves_where_the_first_cannot(tmp_path: Path, directory: Path) -> None:
    """A session's directory that is gone (cron, su) is no reason to have no lock."""
    with Runs([tmp_path / "gone" / "keyturn", directory]).hold() as run:
        assert Runs([directory]).alive(run.id) is True


def test_files_of_long_ended_runs_are_swept_away(directory: Path) -> None:
    """Old and unlocked goes; young, locked, or not a run's stays."""
    runs = Runs([directory])
    with runs.hold() as old, runs.hold() as young, runs.hold() as held:
        old.unfinished = young.unfinished = True
        old.end()
        young.end()
        (directory / "notes").touch()
        for name in (old.id, held.id, "notes"):
            os.utime(directory / name, (1.0, (directory / young.id).stat().st_mtime - STALE - 60))
        with runs.hold() as new:
            assert {path.name for path in directory.iterdir()} == {young.id, held.id, new.id, "notes"}


def test_the_runtime_directory_is_the_sessions_then_one_for_each_user() -> None:
    """XDG_RUNTIME_DIR is taken where it is a full path."""
    shared = Path(tempfile.gettempdir()) / f"keyturn-{os.geteuid()}"
    assert runtime_directories({"XDG_RUNTIME_DIR": "/run/user/7"}) == (Path("/run/user/7/keyturn"), shared)
    assert runtime_directories({"XDG_RUNTIME_DIR": "relative"}) == (shared,)
    assert runtime_directories({}) == (shared,)
