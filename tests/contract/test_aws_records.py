"""What a rotation costs where records and deliveries are in AWS Secrets Manager: versions are few there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.core.model import (
    Adopt,
    AdoptSecret,
    Delivery,
    Desired,
    DesiredKey,
    RecordsConfig,
    Rotation,
    Smoke,
    Strategy,
    TargetConfig,
    Timing,
)
from keyturn.core.results import Options
from keyturn.engine.runner import Runner
from keyturn.live.live_world import open_world
from keyturn.sandbox import ReadyKey, Sandbox
from tests.support.moto import Moto

TIMING = Timing(delivery=5.0, settle=0.2, lease=20.0, propagation=1.0, request=5.0)
OVERLAP = timedelta(seconds=1)
RECORD, DELIVERY = "keyturn/keys/bot", "prod/bot"


@pytest.fixture
def aws() -> Iterator[Moto]:
    """An AWS of our own."""
    with Moto() as server:
        yield server


@pytest.mark.parametrize(
    ("strategy", "names", "writes"), [(Strategy.IN_PLACE, ("bot",), 3), (Strategy.ALTERNATING, ("bot-a", "bot-b"), 5)]
)
def test_a_rotation_writes_its_record_at_most_six_times(
    aws: Moto, tmp_path: Path, strategy: Strategy, names: tuple[str, ...], writes: int
) -> None:
    """The retire of the old secret included; a delivery costs two versions; at rest nothing is written."""
    key = DesiredKey(
        "bot",
        "owner",
        "bot",
        adopt=Adopt(AdoptSecret.REGENERATE),
        deliveries=(Delivery("aws", DELIVERY, "KEY"),),
        smoke=Smoke("llama3.3-70b-instruct"),
        timing=TIMING,
        rotation=Rotation(strategy, overlap=OVERLAP),
        fingerprint="1",
    )
    targets = (TargetConfig("aws", "aws-secrets-manager", {"create": True}),)
    desired = Desired("owner", targets, RecordsConfig("aws"), (key,), timing=TIMING)
    client = aws.client()

    def versions(path: str) -> int:
        return len(client.list_secret_version_ids(SecretId=path, IncludeDeprecated=True, MaxResults=100)["Versions"])

    with Sandbox(seed=1, keys=[ReadyKey(name) for name in names]) as sandbox:

        def apply(options: Options) -> None:
            with open_world(desired, sandbox.exports | aws.environment, tmp_path) as world:
                assert Runner(world, desired, lambda line: None).apply([], options).exit_code == 0
            time.sleep(OVERLAP.total_seconds())

        for _ in range(2):
            apply(Options())
        record, delivery = versions(RECORD), versions(DELIVERY)
        for options in (Options(rotate=True), Options(), Options()):
            apply(options)
    client.close()
    assert versions(RECORD) - record == writes <= 6
    assert versions(DELIVERY) - delivery == 2
