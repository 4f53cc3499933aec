"""The policy that `keyturn policy init` drafts allows the present manifest and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from keyturn.cli import main
from keyturn.core.permits import admits, literal
from keyturn.manifest import draft, load_all, read_policy
from tests.unit.test_policy import ENVIRONMENT, MANIFEST, files, load, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["files"]


def test_a_draft_allows_the_manifest_and_nothing_else(files: tuple[Path, Path]) -> None:
    """Every part of it is needed: any name, target, delivery, word or number less refuses the manifest."""
    files[1].write_text(draft(load_all(files[0], ENVIRONMENT)))
    desired = load(files)
    assert desired.permit is not None
    assert desired.permit.names == ("checkout-bot-a", "checkout-bot-b", "spare-**")
    whole = yaml.safe_load(files[1].read_text())
    for poorer in _poorer(whole["owners"]["platform"]):
        files[1].write_text(yaml.safe_dump({**whole, "owners": {"platform": poorer}}))
        assert refused(files), poorer


def _poorer(rule: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for field in ("names", "deliver", "allow"):
        for item in rule[field]:
            yield {**rule, field: [other for other in rule[field] if other != item]}
    yield {**rule, "targets": {name: rule["targets"][name] for name in ("vault",)}}
    yield {**rule, "limits": {**rule["limits"], "rotations": rule["limits"]["rotations"] - 1}}
    for name in rule["timing"]:
        yield {
            **rule,
            "timing": {**rule["timing"], name: "29d" if name == "freeze" else "31d" if name == "every" else "20h"},
        }


def test_a_policy_names_the_receivers(files: tuple[Path, Path]) -> None:
    """By name, or by the URL if the manifest has one: a name decides whose secrets and whose switch are used."""
    receivers = [
        {"type": "slack", "name": "chat"},
        {"type": "webhook", "name": "ops", "url": "https://x.example.com/a"},
    ]
    manifest = yaml.safe_load(files[0].read_text())
    files[0].write_text(json.dumps({**manifest, "notify": receivers}))
    text = draft(load_all(files[0], ENVIRONMENT))
    files[1].write_text(text)
    assert load(files).receivers[1].name == "ops"
    files[1].write_text(text.replace("https://x.example.com/a", "https://x.example.com/b"))
    assert ["notify[1]: the policy allows no receiver" in line for line in refused(files)] == [True]
    files[1].write_text(text.replace("- chat\n", "- cha\n"))
    assert ["notify[0]: the policy allows no receiver" in line for line in refused(files)] == [True]


@pytest.mark.parametrize("name", ["1e5", "yes", "null", "a*b", r"a\?b", "ключ", "- x: y", "#x", "'", '"', "~", "0x1f"])
def test_a_draft_survives_strange_names(tmp_path: Path, name: str) -> None:
    """As a text, and matched by itself alone."""
    data = {
        "apiVersion": "keyturn/v1",
        "name": name,
        "records": {"target": "local"},
        "keys": {"bot": {"name": name, "state": "absent"}},
    }
    manifest, policy = tmp_path / "keyturn.yaml", tmp_path / "policy.yaml"
    manifest.write_text(json.dumps(data))
    policy.write_text(draft(load_all(manifest, {})))
    assert load_all(manifest, {}, policy=read_policy(policy))[0].owner == name
    assert not admits(read_policy(policy).model.owners[literal(name)].names, f"{name}x")


def test_a_draft_changes_no_file_that_exists(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Neither an existing policy, nor what a symbolic link leads to."""
    link, aim = tmp_path / "link.yaml", tmp_path / "aim.yaml"
    link.symlink_to(aim)
    before = files[1].read_text()
    for out in (files[1], link):
        done = CliRunner().invoke(main, ["policy", "init", "-f", str(files[0]), "--out", str(out)])
        assert done.exit_code == 3
        assert "already exists and was not changed" in done.stderr
    assert files[1].read_text() == before
    assert not aim.exists()


def test_a_draft_needs_the_value_of_each_variable(files: tuple[Path, Path]) -> None:
    """A policy has values; without a file the draft goes to stdout."""
    files[0].write_text(MANIFEST.replace("root: ./run", "root: ./run, format: json"))
    assert "format: json" in CliRunner().invoke(main, ["policy", "init", "-f", str(files[0])]).stdout
    files[0].write_text(MANIFEST.replace("auth: {method", 'mount: "${KEYTURN_MOUNT}", auth: {method'))
    done = CliRunner().invoke(main, ["policy", "init", "-f", str(files[0])], env={"KEYTURN_MOUNT": ""})
    assert done.exit_code == 3
    assert "KEYTURN_MOUNT: not set or empty" in done.stderr
    assert done.stdout == ""
