"""The units of systemd, as systemd itself reads them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.blocks import ROOT
from tests.support.process import run

HERE = ROOT / "examples/systemd"
SERVICE, TIMER, START = HERE / "keyturn.service", HERE / "keyturn.timer", HERE / "keyturn-run"
EXPOSURE = 15
"""Tenths of what `systemd-analyze security` may find."""


def settings() -> dict[str, list[str]]:
    """Return the settings of the service, a list for those that are repeated."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", SERVICE.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_systemd_can_read_them(tmp_path: Path, systemd_analyze: str) -> None:
    """`verify` finds no mistake; the program is where the unit says, because it is put there for the check."""
    started = tmp_path / "keyturn-run"
    shutil.copy(START, started)
    for unit in (SERVICE, TIMER):
        text = unit.read_text().replace("/usr/local/lib/keyturn/keyturn-run", str(started))
        (tmp_path / unit.name).write_text(text)
    units = [tmp_path / SERVICE.name, tmp_path / TIMER.name]
    done = run([systemd_analyze, "verify", "--man=no", *units], env={"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / SERVICE.name).write_text(units[0].read_text().replace("Type=oneshot", "Type=sometimes"))
    assert "sometimes" in run([systemd_analyze, "verify", "--man=no", *units], env={"PATH": os.environ["PATH"]}).stderr


def test_the_service_is_hardened(tmp_path: Path, systemd_analyze: str) -> None:
    """The exposure that systemd finds is small, and grows if a line goes."""
    options = ["security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager"]
    done = run([systemd_analyze, *options, SERVICE])
    assert done.returncode == 0, done.stdout[-300:]
    softer = tmp_path / SERVICE.name
    softer.write_text(SERVICE.read_text().replace("SystemCallFilter=", "# ").replace("PrivateUsers=yes", ""))
    assert run([systemd_analyze, *options, softer]).returncode != 0


def test_the_units_parse_and_fit_each_other() -> None:
    """Also without systemd: sections, times, and no credential in the environment of the unit."""
    for unit, sections in ((SERVICE, ["Unit", "Service"]), (TIMER, ["Unit", "Timer", "Install"])):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read_string(unit.read_text())
        assert parser.sections() == sections
    found = settings()
    assert {line.partition(":")[0] for line in found["LoadCredential"]} == {
        "DIGITALOCEAN_TOKEN",
        "VAULT_ROLE_ID",
        "VAULT_SECRET_ID",
    }
    assert not [line for line in found["Environment"] if re.search("TOKEN|SECRET|ROLE_ID", line)]
    for line in ("DynamicUser", "NoNewPrivileges"):
        assert found[line] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]


def test_the_start_script_hands_credentials_over(tmp_path: Path) -> None:
    """As variables of keyturn alone, with its arguments untouched; a file of another name is left out."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "VAULT_SECRET_ID").write_text('a "quoted" $(touch pwned) secret\n')
    (credentials / "not-a-variable").write_text("x")
    program = tmp_path / "keyturn"
    program.write_text('#!/bin/sh\necho "$VAULT_SECRET_ID|$#|$2"\n')
    program.chmod(0o700)
    env = {"PATH": os.environ["PATH"], "CREDENTIALS_DIRECTORY": str(credentials), "KEYTURN": str(program)}
    done = run(["sh", START, "apply", "two words"], env=env, cwd=tmp_path)
    assert done.stdout == 'a "quoted" $(touch pwned) secret|2|two words\n'
    assert os.access(START, os.X_OK)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["credentials", "keyturn"]
    with pytest.raises(subprocess.CalledProcessError):  # without credentials it does not start
        subprocess.run(
            ["/bin/sh", str(START), "plan"], check=True, env={"PATH": os.environ["PATH"]}, capture_output=True
        )
