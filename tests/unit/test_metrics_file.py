"""`--metrics-file`: the status of all keys, replaced as a whole, for a reader of another user."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import cast

import pytest

from keyturn.cli.metrics import write_metrics
from keyturn.cli.session import Opened
from keyturn.core.errors import InputError
from keyturn.core.model import Desired, DesiredKey, RecordsConfig
from keyturn.live.live_world import LiveWorld
from keyturn.report.documents import StatusDocument
from tests.support.rig import make_rig


def opened(folder: Path) -> Opened:
    """Return a manifest of two keys, of which a command named one."""
    made = make_rig(folder, ("a", "b"))
    keys = tuple(DesiredKey(key, "owner", key) for key in ("a", "b"))
    return Opened(
        Desired("owner", (), RecordsConfig("local"), keys), cast("LiveWorld", made.world), made.runner, ("a",)
    )


def render(document: StatusDocument) -> str:
    """Stand in for the real one."""
    return " ".join(key.key for key in document.keys) + "\n"


def test_all_keys_are_written_for_every_reader(tmp_path: Path) -> None:
    """Also those that the command did not name; no other file is left beside it."""
    file = tmp_path / "out/keyturn.prom"
    file.parent.mkdir()
    file.write_text("old")
    write_metrics(file, [opened(tmp_path / "runs")], render)
    assert file.read_text() == "a b\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(file.parent.iterdir()) == [file]


def test_what_is_there_is_kept_if_rendering_fails(tmp_path: Path) -> None:
    """And a link is not followed."""
    file = tmp_path / "keyturn.prom"
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="not a regular file"):
        write_metrics(file, [opened(tmp_path / "runs")], render)
    assert not (tmp_path / "elsewhere").exists()
