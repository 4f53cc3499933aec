"""The directory of records: what others may do to its files, and what it refuses to hold."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest

from keyturn.core.errors import InputError, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.local import LocalTarget

PATH = "keyturn/keys/bot"


def target(folder: Path, request: float = 5) -> LocalTarget:
    """Return a target beside a manifest in this folder."""
    return LocalTarget(TargetContext(name="local", settings={}, base=str(folder), request=request))


def free() -> None:
    """A guard that lets every write pass."""


def test_reading_makes_no_files(tmp_path: Path) -> None:
    """`plan` leaves no trace."""
    assert target(tmp_path).read_document(PATH).text is None
    assert target(tmp_path).list_documents("keyturn/keys") == ()
    target(tmp_path).check_documents("keyturn")
    assert list(tmp_path.iterdir()) == []


def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    """Records hold no secret, but names that are nobody else's business."""
    target(tmp_path).write_document(PATH, "{}", "0", free)
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in made) == [".bot.lock", "bot.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o600}
    assert stat.S_IMODE((tmp_path / ".keyturn").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 0, "document": "{}"}', b"\xff", b'{"document": ""}']
)
def test_a_file_that_is_no_document_is_an_error(tmp_path: Path, content: bytes) -> None:
    """It is neither read as absent nor written over."""
    target(tmp_path).write_document(PATH, "{}", "0", free)
    file = tmp_path / ".keyturn" / f"{PATH}.json"
    file.write_bytes(content)
    with pytest.raises(TargetMisfit, match="not a keyturn document"):
        target(tmp_path).read_document(PATH)
    with pytest.raises(TargetMisfit, match="not a keyturn document"):
        target(tmp_path).write_document(PATH, "{}", "1", free)
    assert file.read_bytes() == content


def test_a_lock_that_another_process_holds_is_waited_for_within_bounds(tmp_path: Path) -> None:
    """Then the document is unavailable, for now; nothing was written."""
    target(tmp_path).write_document(PATH, "{}", "0", free)
    handle = os.open(tmp_path / ".keyturn/keyturn/keys/.bot.lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(TargetUnavailable, match="has locked this document") as caught:
            target(tmp_path, request=0.1).write_document(PATH, '{"n": 2}', "1", free)
    finally:
        os.close(handle)
    assert not caught.value.ambiguous
    assert target(tmp_path).read_document(PATH).text == "{}"


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """A link in the directory could make us read and write anywhere."""
    (tmp_path / ".keyturn").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".keyturn" / "keyturn").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="leaves the directory"):
        target(tmp_path).write_document("keyturn/x", "{}", "0", free)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / ".keyturn").write_text("")
    with pytest.raises(TargetMisfit, match="cannot be used"):
        target(tmp_path).write_document(PATH, "{}", "0", free)


def test_it_holds_no_secrets(tmp_path: Path) -> None:
    """Every call of a delivery is refused, and makes nothing."""
    local = target(tmp_path)
    secret = Secret("sk-do-example")
    with pytest.raises(TargetMisfit, match="records, not secrets"):
        local.read("a", "b")
    with pytest.raises(TargetMisfit, match="records, not secrets"):
        local.read_version("a", "b", "1")
    with pytest.raises(TargetMisfit, match="records, not secrets"):
        local.write("a", "b", secret, None, free)
    with pytest.raises(TargetMisfit, match="records, not secrets"):
        local.remove("a", "b", secret, free)
    with pytest.raises(TargetMisfit, match="records, not secrets"):
        local.preflight("a", "b")
    assert list(tmp_path.iterdir()) == []
    local.close()
