"""A nightly run meets an overlap of 24 h: it retires what becomes due while it is at work, or shortly after."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from keyturn.core.model import Desired, RecordsConfig, Rotation, Strategy
from keyturn.core.results import Change, Options, RunReport
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from tests.simulation.scenarios import ROTATE, TIMING, empty, entry, settled
from tests.simulation.universe import Universe
from tests.simulation.world import SimWorld

DAY = 24 * 3600.0
NIGHTLY = replace(entry(Strategy.ALTERNATING), rotation=Rotation(Strategy.ALTERNATING, overlap=timedelta(days=1)))


class Nights:
    """One key in a world whose runs begin at the same second of each day."""

    def __init__(self, folder: Path) -> None:
        """Let it converge."""
        self.folder = folder
        self.world: Universe = settled(NIGHTLY, start=empty())
        self.said: list[str] = []

    def runner(self) -> Runner:
        """Return the runner of a new run."""
        desired = Desired("tests", (), RecordsConfig("v"), (NIGHTLY,), timing=TIMING)
        world = SimWorld(self.world, {}, TIMING)
        return Runner(world, desired, lambda line: self.said.append(line.text), runs=Runs([self.folder]), workers=1)

    def run(self, at: float, options: Options = Options(), digest: str = "") -> RunReport:  # noqa: B008 - frozen
        """Run at this moment, in seconds."""
        self.world.advance(at - self.world.now)
        return self.runner().apply([], options, expected_digest=digest)


def _retired(report: RunReport) -> bool:
    return any(change.change is Change.RETIRE for change in report.reports[0].done)


def test_a_nightly_run_retires_on_the_next_night(tmp_path: Path) -> None:
    """The rotation takes some seconds; the next night's run begins those seconds too early, waits, and retires."""
    nights = Nights(tmp_path)
    start = nights.world.now + DAY
    assert nights.run(start, ROTATE).exit_code == 0
    committed = nights.world.now
    assert committed - start > 1
    report = nights.run(start + DAY)
    assert _retired(report)
    assert report.reports[0].end.code == "at-rest"
    assert nights.world.now >= committed + DAY
    assert [text for text in nights.said if text.startswith("Waits")] == ["Waits 5 s for the overlap of main to end."]


def test_a_run_does_not_wait_for_the_overlap_that_it_began(tmp_path: Path) -> None:
    """`rotate` ends once the new secret is delivered."""
    nights = Nights(tmp_path)
    start = nights.world.now + DAY
    report = nights.run(start, ROTATE)
    assert report.reports[0].end.code == "overlap"
    assert nights.world.now - start < 60


def test_a_run_does_not_wait_for_an_overlap_that_ends_much_later(tmp_path: Path) -> None:
    """Longer than a delivery may take is left for the next run."""
    nights = Nights(tmp_path)
    start = nights.world.now + DAY
    nights.run(start, ROTATE)
    report = nights.run(start + DAY - 120)
    assert not _retired(report)
    assert nights.world.now - (start + DAY - 120) < 5


def test_what_was_agreed_to_is_all_that_is_done(tmp_path: Path) -> None:
    """A reviewed plan said nothing of a retire, so its apply does not wait for one."""
    nights = Nights(tmp_path)
    start = nights.world.now + DAY
    nights.run(start, ROTATE)
    nights.world.advance(start + DAY - nights.world.now)
    plan = nights.runner().plan([], Options())
    assert nights.runner().retires_soon(plan)
    assert not _retired(nights.run(nights.world.now, digest=plan.digest))


def test_the_limit_of_rotations_holds_over_the_whole_run(tmp_path: Path) -> None:
    """What waits behind an overlap rotates only as far as the limit allows."""
    nights = Nights(tmp_path)
    start = nights.world.now + DAY
    nights.run(start, ROTATE)
    nights.world.advance(60)
    nights.run(nights.world.now, ROTATE)  # asked for during the overlap: it waits
    assert nights.world.records["main"][0].requested is not None
    generation = nights.world.records["main"][0].generation
    nights.world.advance(start + DAY - nights.world.now)
    desired = Desired("tests", (), RecordsConfig("v"), (NIGHTLY,), rotations_per_run=0, timing=TIMING)
    world = SimWorld(nights.world, {}, TIMING)
    report = Runner(world, desired, lambda _: None, runs=Runs([tmp_path])).apply([], Options())
    assert nights.world.records["main"][0].generation == generation
    assert report.exit_code == 4
