"""Files of secrets: who may read them, what is refused, and what is told apart."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyturn.core.errors import (
    InputError,
    KeyturnError,
    LeaseLost,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.secret import Secret
from keyturn.manifest import load_text
from keyturn.targets.base import TargetContext
from keyturn.targets.dotenv import DotenvTarget

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
NOBODY = 65534


def target(root: Path, form: str = "dotenv", request: float = 5) -> DotenvTarget:
    """Return a target on this directory."""
    return DotenvTarget(
        TargetContext("env", {"root": str(root), "format": form}, base=str(root.parent), request=request)
    )


def free() -> None:
    """A guard that lets every write pass."""


def uses(one: DotenvTarget, path: str = "app.env") -> tuple[Callable[[], object], ...]:
    """Return all that touches a file."""
    return (
        lambda: one.preflight(path, "NAME"),
        lambda: one.write(path, "NAME", NEW, None, free),
        lambda: one.read(path, "NAME"),
    )


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root, for whom no mode forbids anything."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that the user nobody may write to."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    if not os.geteuid():
        for one in (folder, *folder.parents[:4]):
            if one.stat().st_uid == 0:
                one.chmod(one.stat().st_mode | 0o111)
        os.chown(folder, NOBODY, NOBODY)
    return folder


def test_a_file_is_for_its_owner_only(root: Path) -> None:
    """Also one that was open to all before, but for its group; nothing else is left beside it."""
    for name, mode in (("app.env", 0o666), ("own.env", 0o604)):
        (root / name).write_text("A=1\n")
        (root / name).chmod(mode)
    for name in ("app.env", "own.env", "new.env"):
        target(root).write(name, "NAME", NEW, None, free)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in root.iterdir()}
    assert modes == {"app.env": 0o640, "own.env": 0o600, "new.env": 0o600}


@pytest.mark.finding(
    "L15",
    before="a file 0640 became 0600 of root's group, without its attributes: readers by group lost it",
    now="group, its right to read and attributes stay; no mode goes beyond 0640",
)
def test_a_file_keeps_its_group_and_its_attributes(root: Path) -> None:
    """Anyone in the group goes on reading it; a group that it cannot keep gets no right."""
    file = root / "app.env"
    file.write_text("NAME=sk-do-old\n")
    group = next(iter({*os.getgroups(), NOBODY if os.geteuid() == 0 else os.getegid()} - {os.getegid()}), os.getegid())
    os.chown(file, -1, group)
    file.chmod(0o640)
    try:
        os.setxattr(file, "user.keyturn", b"kept")
        attributes = {"user.keyturn": b"kept"}
    except (AttributeError, OSError):  # a system or a file system without them
        attributes = {}
    target(root).write("app.env", "NAME", NEW, OLD, free)
    assert file.read_text() == f"NAME={NEW.reveal()}\n"
    assert (file.stat().st_gid, stat.S_IMODE(file.stat().st_mode)) == (group, 0o640)
    assert {name: os.getxattr(file, name) for name in attributes} == attributes


def test_a_group_that_cannot_be_kept_gets_no_right(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the group of the new file could read what it could not read before."""
    file = root / "app.env"
    file.write_text("NAME=sk-do-old\n")
    os.chown(file, -1, NOBODY if os.geteuid() == 0 else os.getegid())
    file.chmod(0o640)
    change = os.fchown

    def deny(handle: int, owner: int, group: int) -> None:
        if group != -1:
            raise PermissionError
        change(handle, owner, group)

    monkeypatch.setattr(os, "fchown", deny)
    present = file.stat().st_gid
    target(root).write("app.env", "NAME", NEW, OLD, free)
    kept = file.stat().st_gid == present
    assert stat.S_IMODE(file.stat().st_mode) == (0o640 if kept else 0o600)


def test_a_file_keeps_its_owner(root: Path) -> None:
    """Anyone who reads it goes on reading it, though root writes it."""
    file = root / "app.env"
    file.write_text("NAME=sk-do-old\n")
    owner = os.geteuid() or NOBODY
    os.chown(file, owner, -1)
    target(root).write("app.env", "NAME", NEW, OLD, free)
    assert file.stat().st_uid == owner


def test_preflight_leaves_no_trace(root: Path) -> None:
    """The file is the same one as before; nothing lies beside it."""
    file = root / "app.env"
    file.write_text("NAME=sk-do-old\n")
    before = file.stat()
    target(root).preflight("app.env", "NAME")
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_mode) == (before.st_ino, before.st_mtime_ns, before.st_mode)
    assert list(root.iterdir()) == [file]


def test_what_a_killed_run_left_is_swept(root: Path) -> None:
    """It holds a secret; the next write removes it, and nothing else."""
    for name in (".app.env.0123.new", ".other.env.0123.new", ".app.env.swp"):
        (root / name).write_text("NAME=sk-do-lost\n")
    target(root).write("app.env", "NAME", NEW, None, free)
    assert sorted(one.name for one in root.iterdir()) == [".app.env.swp", ".other.env.0123.new", "app.env"]


def test_a_refused_write_leaves_no_copy(root: Path) -> None:
    """A guard that says no comes when the new file is written already: it goes."""

    def lost() -> None:
        raise LeaseLost("the lease ran out")

    with pytest.raises(LeaseLost):
        target(root).write("app.env", "NAME", NEW, None, lost)
    assert list(root.iterdir()) == []


def test_a_missing_directory_is_named(root: Path) -> None:
    """Neither `root` nor what is below it is made."""
    for one, path in ((target(root / "gone"), "app.env"), (target(root), "gone/app.env")):
        for use in uses(one, path):
            with pytest.raises(TargetMisfit, match="no such directory"):
                use()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("path", ["link.env", "folder/app.env", "dangling.env", "file/app.env"])
def test_no_link_is_followed(root: Path, tmp_path: Path, path: str) -> None:
    """Neither a file nor a directory below `root` may lead elsewhere, not even within."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "app.env").write_text("NAME=sk-do-old\n")
    (root / "link.env").symlink_to(outside / "app.env")
    (root / "folder").symlink_to(outside)
    (root / "dangling.env").symlink_to(outside / "new.env")
    (root / "file").write_text("")
    for use in uses(target(root), path):
        with pytest.raises(TargetMisfit, match="symbolic link, or is not a directory"):
            use()
    assert [one.name for one in outside.iterdir()] == ["app.env"]
    assert (outside / "app.env").read_text() == "NAME=sk-do-old\n"


def test_root_itself_may_not_be_a_link(root: Path, tmp_path: Path) -> None:
    """Not even within the directory of the manifest: no policy would see that it was changed."""
    link = tmp_path / "link"
    link.symlink_to(root)
    with pytest.raises(InputError, match="a symbolic link is on the way"):
        target(link)


def test_only_plain_files_of_text_are_read(root: Path) -> None:
    """Not a directory, a pipe (which would hang), a huge file or a binary one."""
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    (root / "huge").write_bytes(b"#" * (1 << 20) + b"#")
    (root / "binary").write_bytes(b"NAME=\0\n")
    for path in ("folder", "pipe", "huge", "binary"):
        for use in uses(target(root), path):
            with pytest.raises(TargetMisfit, match=r"not a regular file|not a text file"):
                use()


def test_a_forbidden_directory_or_file_is_told_apart(root: Path) -> None:
    """Before any mint: the mode forbids to write the directory, or the file."""
    file = root / "app.env"
    file.write_text("A=1\n")
    os.chown(file, root.stat().st_uid, root.stat().st_gid)
    with as_nobody():
        file.chmod(0o400)
        with pytest.raises(TargetForbidden, match="write-protected"):
            target(root).preflight("app.env", "NAME")
        file.chmod(0o000)
        with pytest.raises(TargetForbidden, match="not accessible"):
            target(root).preflight("app.env", "NAME")
        file.chmod(0o600)
        root.chmod(0o500)
        with pytest.raises(TargetForbidden, match="not accessible"):
            target(root).preflight("app.env", "NAME")
        root.chmod(0o700)
        target(root).preflight("app.env", "NAME")
    assert file.read_text() == "A=1\n"


def test_a_file_of_another_user_is_found_before_any_mint(root: Path) -> None:
    """The new file could not be given to that user; only root can make such a file, others close the directory."""
    file = root / "app.env"
    file.write_text("A=1\n")
    file.chmod(0o666)
    if os.geteuid():
        root.chmod(0o500)
    with as_nobody(), pytest.raises(TargetForbidden, match="not accessible"):
        target(root).preflight("app.env", "NAME")


def test_a_full_disk_changes_nothing(root: Path) -> None:
    """A limit on the size of files stands for it: the old file stays, and no half of a new one."""
    file = root / "app.env"
    file.write_text("A=" + "x" * 5000 + "\n")
    before = file.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        failures: list[KeyturnError] = []
        for use in uses(target(root))[:2]:
            with pytest.raises(TargetUnavailable, match="full") as caught:
                use()
            failures.append(caught.value)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not any(getattr(failure, "ambiguous", True) for failure in failures)
    assert file.read_text() == before
    assert list(root.iterdir()) == [file]


def test_a_lock_that_stays_held_is_given_up(root: Path) -> None:
    """Within the deadline of a request; reading needs no lock."""
    handle = os.open(root, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    one = target(root, request=0.2)
    for use in uses(one)[:2]:
        with pytest.raises(TargetUnavailable, match="another process"):
            use()
    assert one.read("app.env", "NAME").secret is None
    os.close(handle)


@pytest.mark.parametrize("field", ["1A", "A-B", "A B", "A=B", "", "Ä", "A\n"])
@pytest.mark.parametrize("form", ["dotenv", "shell"])
def test_a_field_has_to_be_a_name(root: Path, field: str, form: str) -> None:
    """What no shell takes for a variable is refused."""
    with pytest.raises(InputError, match="field"):
        target(root, form).preflight("app.env", field)


def test_the_directory_of_records_holds_no_secrets(root: Path) -> None:
    """A delivery may not be put there."""
    for path in (".keyturn/keyturn/keys/bot.json", "other/.keyturn/keyturn/keys/bot.json"):
        with pytest.raises(InputError, match="for records"):
            target(root).read(path, "NAME")


def test_a_file_that_cannot_be_changed_safely_says_where(root: Path) -> None:
    """The line is named and not shown."""
    (root / "app.sh").write_text("A=1\ncurl https://sk-do-leaked\n")
    with pytest.raises(TargetMisfit, match="line 2") as caught:
        target(root, "shell").preflight("app.sh", "NAME")
    assert "leaked" not in str(caught.value)
    assert caught.value.__context__ is None


def test_bytes_that_are_no_text_stay(root: Path) -> None:
    """Other lines in another encoding, and the mark that some editors begin a file with."""
    for form in ("dotenv", "shell"):
        file = root / form
        file.write_bytes(b"\xef\xbb\xbf# caf\xe9\nNAME=sk-do-old\n")
        target(root, form).write(form, "NAME", NEW, OLD, free)
        assert file.read_bytes() == b"\xef\xbb\xbf# caf\xe9\nNAME=sk-do-new\n"
        file.write_bytes(b"NAME=caf\xe9\n")
        with pytest.raises(TargetMisfit, match="UTF-8"):
            target(root, form).read(form, "NAME")


def test_what_cannot_be_encoded_is_refused(root: Path) -> None:
    """Neither kind of file can hold a NUL character; the secret is not shown."""
    for form in ("dotenv", "shell"):
        with pytest.raises(TargetMisfit) as caught:
            target(root, form).write("app.env", "NAME", Secret("sk-do-\0"), None, free)
        assert "sk-do" not in str(caught.value)


def test_records_go_to_files_only_where_they_are_told_to() -> None:
    """No other machine would see them."""
    text = (
        "apiVersion: keyturn/v1\nname: o\n"
        "keys: {bot: {smoke: {from: skip}, deliver: [{target: env, path: a, field: K}]}}\n"
        "targets: {env: {type: dotenv}, aws: {type: aws-secrets-manager}}\n"
    )
    assert load_text(text, "k.yaml", {}).records.target == "aws"
    assert load_text(f"{text}records: {{target: env}}\n", "k.yaml", {}).records.target == "env"
    with pytest.raises(InputError, match="for all machines"):
        load_text(text.replace(", aws: {type: aws-secrets-manager}", ""), "k.yaml", {})
