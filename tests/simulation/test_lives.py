"""A key's life as hypothesis imagines it: any order of edits, faults, hands and time ends at rest with nothing lost."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keyturn.core.model import Strategy
from keyturn.core.results import Options
from tests.simulation.faults import Class, faults_at
from tests.simulation.lives import ALL_PLACES, MILD, ROUGH, Apply, Edit, Forget, Hand, Life, Pass
from tests.simulation.sequences import SET

FAULTS = some.dictionaries(
    some.integers(0, 30),
    some.sampled_from(sorted({fault for kind in Class for fault in faults_at(kind)})),
    max_size=2,
)
PLACES = some.lists(some.sampled_from(ALL_PLACES), min_size=1, max_size=3, unique=True).map(tuple)


class AnyLife(RuleBasedStateMachine):
    """One key, from its first apply on."""

    life: Life

    @initialize(strategy=some.sampled_from(Strategy))
    def begin(self, strategy: Strategy) -> None:
        """Apply the entry for the first time."""
        self.life = Life(strategy)
        self.life.live(Apply())

    @rule(faults=FAULTS, rotate=some.booleans(), verify=some.booleans())
    def apply(self, faults: dict[int, object], rotate: bool, verify: bool) -> None:
        """Run, disturbed."""
        self.life.live(Apply(faults, Options(rotate=rotate, verify=verify, allow_delete=True)))  # type: ignore[arg-type]

    @rule(faults=FAULTS, take_over=some.booleans(), skew=some.sampled_from((0.0, 0.0, SET, -SET)))
    def alarm(self, faults: dict[int, object], take_over: bool, skew: float) -> None:
        """Rotate what leaked, disturbed, perhaps by a clock that is wrong."""
        options = Options(rotate=True, compromised=True, take_over=take_over, allow_delete=True)
        self.life.live(Apply(faults, options, skew))  # type: ignore[arg-type]

    @rule(absent=some.booleans())
    def let_go(self, absent: bool) -> None:
        """Take the entry out, or back in."""
        self.life.live(Edit(absent=absent))

    @rule(faults=FAULTS)
    def forget(self, faults: dict[int, object]) -> None:
        """Forget the key, disturbed, and adopt its API keys again."""
        self.life.live(Forget(faults))  # type: ignore[arg-type]

    @rule(seconds=some.sampled_from((1.0, 100.0, 4000.0, 86400.0, 2700000.0)))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.life.live(Pass(seconds))

    @rule(places=PLACES)
    def deliver_elsewhere(self, places: tuple[object, ...]) -> None:
        """Change the deliveries."""
        self.life.live(Edit(places=places))  # type: ignore[arg-type]

    @rule(strategy=some.sampled_from(Strategy))
    def change_strategy(self, strategy: Strategy) -> None:
        """Change the strategy."""
        self.life.live(Edit(strategy=strategy))

    @rule(number=some.integers(1, 3))
    def change_name(self, number: int) -> None:
        """Change the name."""
        self.life.live(Edit(name=f"app{number}"))

    @rule(does=some.sampled_from((*MILD, *ROUGH)), which=some.integers(0, 3))
    def meddle(self, does: str, which: int) -> None:
        """Let an operator do something."""
        self.life.live(Hand(does, which))

    @invariant()
    def nothing_is_wrong(self) -> None:
        """What must hold at every instant holds."""
        if hasattr(self, "life"):
            assert self.life.universe.wrong == ()

    def teardown(self) -> None:
        """With the faults gone, it converges with nothing lost."""
        if hasattr(self, "life"):
            assert self.life.end() == ()


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(
    max_examples=60,
    stateful_step_count=12,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
