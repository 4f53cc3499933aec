"""One key in several places at once: a real OpenBao, AWS as moto plays it, a dotenv file; and one of them dies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from dotenv import dotenv_values

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
from keyturn.core.results import Options, Progress, RunReport
from keyturn.core.world import Guard, Minted
from keyturn.engine.runner import Runner
from keyturn.live.live_world import LiveWorld, open_world
from keyturn.sandbox import ReadyKey, Sandbox
from tests.support.moto import Moto
from tests.support.openbao import OpenBao

TIMING = Timing(delivery=3.0, settle=0.2, lease=20.0, propagation=1.0, request=1.2)
OVERLAP = timedelta(seconds=1)
FIELD = "MODEL_ACCESS_KEY"
OTHERS = {"DATABASE": "kept", "SCORE": 1.5}
FILE = f"# kept\nexport DATABASE='kept' # as it is\n{FIELD}=\n\nLAST=1\n"


@pytest.fixture
def aws() -> Iterator[Moto]:
    """An AWS of our own, to be frozen."""
    with Moto() as server:
        yield server


@dataclass
class Site:
    """One key with three deliveries, all servers real, and what each place holds."""

    openbao: OpenBao
    aws: Moto
    sandbox: Sandbox
    folder: Path
    strategy: Strategy
    after_mint: Callable[[], None] = lambda: None
    prefix: str = field(default_factory=lambda: f"several-{uuid4().hex[:8]}")
    said: list[Progress] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.openbao.call("POST", f"secret/data/{self.prefix}/app", {"data": OTHERS})
        self.aws.client().create_secret(Name="prod/app", SecretString=json.dumps(OTHERS))
        (self.folder / "secrets").mkdir()
        self.file.write_text(FILE)

    @property
    def file(self) -> Path:
        """The dotenv file."""
        return self.folder / "secrets" / "app.env"

    @property
    def desired(self) -> Desired:
        """The manifest."""
        places = (
            Delivery("vault", f"{self.prefix}/app", FIELD),
            Delivery("aws", "prod/app", FIELD),
            Delivery("env", "app.env", FIELD),
        )
        key = DesiredKey(
            "bot",
            "owner",
            "bot",
            adopt=Adopt(AdoptSecret.REGENERATE),
            deliveries=places,
            smoke=Smoke("llama3.3-70b-instruct"),
            timing=TIMING,
            rotation=Rotation(self.strategy, overlap=OVERLAP),
            fingerprint="1",
        )
        targets = (
            TargetConfig("vault", "vault", {"address": self.openbao.address}),
            TargetConfig("aws", "aws-secrets-manager", {}),
            TargetConfig("env", "dotenv", {"root": "secrets"}),
        )
        return Desired("owner", targets, RecordsConfig("vault", self.prefix), (key,), timing=TIMING)

    def apply(self, options: Options | None = None) -> RunReport:
        """Apply, as a command of its own would."""
        environment = (
            self.sandbox.exports
            | self.aws.environment
            | {"VAULT_ADDR": self.openbao.address, "VAULT_TOKEN": self.openbao.root_token}
        )
        with open_world(self.desired, environment, self.folder) as world:
            self._interrupt(world)
            return Runner(world, self.desired, self.said.append).apply([], options or Options())

    def retire(self) -> None:
        """Let the overlap go by, and the old secret die."""
        time.sleep(OVERLAP.total_seconds())
        assert self.apply().exit_code == 0

    def _interrupt(self, world: LiveWorld) -> None:
        regenerate = world.regenerate

        def interrupted(uuid: str, guard: Guard) -> Minted:
            minted = regenerate(uuid, guard)
            self.after_mint()
            return minted

        world.regenerate = interrupted  # type: ignore[method-assign]

    @property
    def mints(self) -> int:
        """How many secrets the API has made so far."""
        return sum(seen.op == "regenerate" for seen in self.sandbox.requests)

    def in_vault(self) -> str:
        """What OpenBao holds."""
        data = self.openbao.call("GET", f"secret/data/{self.prefix}/app")["data"]
        assert isinstance(data, dict)
        held = dict(data["data"])
        secret = held.pop(FIELD, "")
        assert held == OTHERS
        return str(secret)

    def in_aws(self) -> str:
        """What AWS holds."""
        # moto would give another version to anyone who does not say which.
        found = self.aws.client().get_secret_value(SecretId="prod/app", VersionStage="AWSCURRENT")
        held = json.loads(found["SecretString"])
        secret = held.pop(FIELD, "")
        assert held == OTHERS
        return str(secret)

    def in_file(self) -> str:
        """What the file holds."""
        secret = dotenv_values(self.file)[FIELD] or ""
        assert self.file.read_text() == FILE.replace(f"{FIELD}=", f"{FIELD}={secret}")
        return secret

    def all(self) -> set[str]:
        """The secrets that are in use; one, at rest."""
        return {self.in_vault(), self.in_aws(), self.in_file()}


@pytest.fixture
def make(openbao: OpenBao, aws: Moto, tmp_path: Path) -> Iterator[Callable[[Strategy], Site]]:
    """Make a site whose key has been adopted and is at rest."""
    with Sandbox(seed=1, keys=[ReadyKey("bot"), ReadyKey("bot-a"), ReadyKey("bot-b")]) as sandbox:
        sites: list[Site] = []

        def site(strategy: Strategy) -> Site:
            for key in tuple(sandbox.state.keys.values()):
                if (key.name == "bot") != (strategy is Strategy.IN_PLACE):
                    sandbox.by_hand("delete", key.uuid)
            made = Site(openbao, aws, sandbox, tmp_path, strategy)
            sites.append(made)
            report = made.apply()
            assert [item.problems for item in report.reports] == [()]
            assert report.exit_code == 0
            made.retire()
            [secret] = made.all()
            assert sandbox.accepts(secret)
            return made

        yield site
        assert not any("sk-do-" in line.text for one in sites for line in one.said)


def test_a_target_that_dies_after_the_mint_is_caught_up_without_another(make: Callable[[Strategy], Site]) -> None:
    """AWS dies as the API answers: exit 1, the others are right; when it is back, apply brings it the same secret."""
    site = make(Strategy.IN_PLACE)
    [old] = site.all()
    mints = site.mints
    site.after_mint = site.aws.freeze
    report = site.apply(Options(rotate=True))
    assert report.exit_code == 1
    assert "aws" in str(report.reports[0])
    assert site.in_vault() == site.in_file() != old
    assert site.sandbox.accepts(site.in_vault())
    assert site.mints == mints + 1

    site.after_mint = lambda: None
    site.aws.thaw()
    assert site.in_aws() == old
    report = site.apply()
    assert report.exit_code == 0
    assert site.all() == {site.in_vault()}
    assert site.sandbox.accepts(site.in_aws())
    assert site.mints == mints + 1

    site.sandbox.clear_requests()
    assert site.apply().exit_code == 0
    assert not any(seen.mutating for seen in site.sandbox.requests)


def test_one_dead_target_does_not_hold_up_the_others(make: Callable[[Strategy], Site]) -> None:
    """The others have the new secret before the dead one's deadline is over."""
    site = make(Strategy.IN_PLACE)
    [old] = site.all()
    reached: list[float] = []
    minted: list[float] = []

    def die() -> None:
        minted.append(time.monotonic())
        site.aws.freeze()

    site.after_mint = die
    site.said = _Watched(lambda: reached.append(time.monotonic()) if site.in_file() != old and not reached else None)
    assert site.apply(Options(rotate=True)).exit_code == 1
    assert reached
    assert reached[0] - minted[0] < TIMING.delivery


class _Watched(list[Progress]):
    """Looks each time something is said."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def append(self, line: Progress) -> None:
        """Look, then keep it."""
        self._look()
        super().append(line)


@pytest.mark.parametrize("strategy", Strategy)
def test_a_target_that_is_dead_before_is_found_and_nothing_is_minted(
    make: Callable[[Strategy], Site], strategy: Strategy
) -> None:
    """Preflight says so; all places keep what they hold, and the API accepts it."""
    site = make(strategy)
    [old] = site.all()
    mints = site.mints
    with site.aws.frozen():
        report = site.apply(Options(rotate=True))
    assert report.exit_code == 1
    assert "target aws" in str(report.reports[0])
    assert site.mints == mints
    assert site.all() == {old}
    assert site.sandbox.accepts(old)


def test_alternating_keeps_the_old_secret_alive_until_all_have_the_new(make: Callable[[Strategy], Site]) -> None:
    """AWS is away for the whole rotation: what it holds is accepted until it has the new one, however often we try."""
    site = make(Strategy.ALTERNATING)
    [old] = site.all()
    site.after_mint = site.aws.freeze
    assert site.apply(Options(rotate=True)).exit_code == 1
    site.after_mint = lambda: None
    new = site.in_vault()
    assert new == site.in_file() != old
    assert site.sandbox.accepts(new)
    assert site.sandbox.accepts(old)
    mints = site.mints
    assert site.apply().exit_code == 1
    assert site.sandbox.accepts(old)
    assert site.mints == mints

    site.aws.thaw()
    assert site.apply().exit_code == 0
    assert site.all() == {new}
    assert site.sandbox.accepts(new)
    assert site.mints == mints
    site.retire()
    assert site.sandbox.accepts(new)
    assert not site.sandbox.accepts(old)
