"""The operator's policy and Pulumi: each resource is held to it, by preview and up, with and without changed inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from pulumi.output import Unknown

from keyturn.core.errors import OwnershipError, PolicyError
from keyturn.core.record import Record
from keyturn.core.results import Options
from keyturn.core.world import StoredRecord
from keyturn_provider import inputs, keys, session
from pulumi_keyturn.provider import KeyProvider

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.live.live_world import LiveWorld

FREEZE = {"from": "2026-12-01T00:00:00Z", "until": "2026-12-31T00:00:00Z", "reason": "holidays"}
POLICY = """\
apiVersion: keyturn-policy/v1
owners:
  "pulumi:shop/prod/**":
    records: {target: local}
    names: ["shop-*"]
    targets: {env: {type: dotenv, root: .}}
    deliver: ["env:*.env#KEY"]
    limits: {rotations: 1}
    timing: {freeze: 7d}
"""


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the policy and name it by the environment."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    monkeypatch.setenv("KEYTURN_POLICY", str(file))
    return file


def props(**changes: object) -> dict[str, Any]:
    """Return inputs that the policy allows."""
    return {
        "project": "shop",
        "stack": "prod",
        "resource_name": "bot",
        "key": "bot",
        "name": "shop-bot",
        "targets": {"env": {"type": "dotenv", "root": "."}},
        "records": {"target": "local"},
        "deliver": [{"target": "env", "path": "bot.env", "field": "KEY"}],
        "smoke": {"model": "m"},
        **changes,
    }


def failures(news: dict[str, Any], olds: dict[str, Any] | None = None) -> list[str]:
    """Return what preview tells of a resource."""
    session.uniqueness._taken.clear()
    return [failure.reason for failure in KeyProvider().check(olds or {}, news).failures]


def test_a_resource_that_the_policy_allows_is_accepted(policy: Path) -> None:
    """And its key carries the permit of its rule."""
    assert failures(props()) == []
    _, key = inputs.key_of(props(), session.environment())
    assert key.permit is not None
    assert key.permit.where[""].startswith(f"{policy}:3: ")


@pytest.mark.finding("H3", before="any program takes any key", now="a violation fails the resource")
@pytest.mark.parametrize(
    ("changes", "field", "line"),
    [
        ({"stack": "dev"}, "name: the policy names no owner 'pulumi:shop/dev/bot'", 2),
        ({"name": "prod"}, "name: the API key name 'prod' matches no pattern", 5),
        ({"deliver": [{"target": "env", "path": "x", "field": "KEY"}]}, "deliver[0]: the delivery env:x#KEY", 7),
        ({"adopt": {"secret": "existing"}}, "adopt.secret: the policy does not allow 'existing'", 3),
        ({"smoke": {"from": "skip"}}, "smoke.from: the policy does not allow 'skip'", 3),
        ({"timing": {"lease": "60s"}}, "timing.lease: the policy allows no less than 1m30s", 9),
        ({"freeze": [FREEZE]}, "freeze[0]: the policy allows no freeze of more than 7d", 9),
    ],
    ids=["owner", "name", "delivery", "existing", "skip", "lease", "freeze"],
)
def test_a_violation_fails_the_resource(policy: Path, changes: dict[str, object], field: str, line: int) -> None:
    """By preview, also if the inputs are those of the last up: the policy may have changed. By up, too."""
    news = props(**changes)
    for olds in ({}, news):
        (said,) = failures(news, olds)
        assert said.startswith(field)
        assert f"(policy: {policy}:{line}: owners." in said or f"(policy: {policy}:{line}: owners)" in said
    with pytest.raises(PolicyError):
        inputs.key_of(news, session.environment())
    with pytest.raises(PolicyError):
        keys.create(news)


def test_unknown_inputs_are_checked_later(policy: Path) -> None:
    """A preview that does not know the deliveries yet tells nothing about them."""
    assert policy.exists()
    assert failures(props(deliver=Unknown())) == []  # type: ignore[no-untyped-call]


def test_take_over_and_delete_need_the_policy(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`take_over` is a word of the program, and a delete has no other brake; with `retain` nothing is deleted."""
    desired, key = inputs.key_of(props(), session.environment())
    monkeypatch.setattr(session, "uniqueness", session.Uniqueness())
    world = cast("LiveWorld", _World(Record("bot", key.owner, "00")))
    with pytest.raises(OwnershipError, match="does not allow to take over"):
        keys._checked(world, key, None, Options(take_over=True))
    monkeypatch.setattr(session, "world", lambda _: world)
    with pytest.raises(OwnershipError, match=rf"no API key to be deleted \({policy}:8: "):
        keys.delete(props())
    with pytest.raises(Reached):
        keys.delete(props(on_delete="retain"))
    policy.write_text(POLICY.replace("rotations: 1", "rotations: 1, deletes: 1"))
    with pytest.raises(Reached):
        keys.delete(props())
    assert desired.permit == key.permit


class Reached(Exception):
    """The code went past what the policy holds back."""


class _World:
    """A record, and nothing else that a held back call may ask for."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def read_record(self, key: str) -> StoredRecord:
        assert key == self._record.key
        return StoredRecord(self._record, "1")

    def __getattr__(self, name: str) -> object:
        raise Reached(name)
