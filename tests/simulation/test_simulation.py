"""Every history of a share keeps every invariant, and a share of the mutants is caught."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.simulation.beyond import demonstrate
from tests.simulation.lives import MAKERS
from tests.simulation.suite import EVERY_MUTANT, IN_PAIRS, Job, always, hunt, meetings, pairs, whole_lives, work
from tests.support.histories import SIMULATED

JOBS, MUTANTS = 2, 6
"""Of so many one is played here, so that the suite stays quick; `make simulate` plays and hunts all of them."""


def _id(job: Job) -> str:
    words = (job.operation, job.strategy, job.places, job.setting)
    return "-".join((*words, f"{job.faults}f", f"{job.part[0]}of{job.part[1]}"))


def _keeps_its_promise(job: Job, request: pytest.FixtureRequest) -> None:
    result = work(job)
    tally = result.tally
    explored = {name: getattr(tally, name) for name in ("histories", "runs", "effects", "points", "faults")}
    explored |= {"violations": len(tally.violations), "seconds": result.seconds}
    request.node.user_properties.append((SIMULATED, explored))
    assert tally.histories > 0
    assert tally.violations == []


def _of(strategy: str) -> Sequence[Job]:
    jobs = [job for job in (*always(), *pairs(*IN_PAIRS[:2])) if job.strategy == strategy]
    return random.Random(0).sample(jobs, len(jobs) // JOBS)


class TestInPlace:
    """One slot: whatever strikes, the next apply brings the key to rest with nothing lost."""

    @pytest.mark.parametrize("job", _of("in-place"), ids=_id)
    def test_keeps_its_promise(self, job: Job, request: pytest.FixtureRequest) -> None:
        """No history of this share violates any of I1 to I9."""
        _keeps_its_promise(job, request)


class TestAlternating:
    """Two slots: besides, there is no instant at which a target holds a refused secret."""

    @pytest.mark.parametrize("job", _of("alternating"), ids=_id)
    def test_keeps_its_promise(self, job: Job, request: pytest.FixtureRequest) -> None:
        """No history of this share violates any of I1 to I9."""
        _keeps_its_promise(job, request)


class TestMore:
    """Two runs at once, and whole lives."""

    @pytest.mark.parametrize(
        "job",
        [
            *[job for job in meetings(1, 4) if job.part[0] == 0],
            *whole_lives(50),
            *(one for maker in MAKERS if maker != "life" for one in whole_lives(50, maker=maker)),
        ],
        ids=_id,
    )
    def test_keeps_its_promise(self, job: Job, request: pytest.FixtureRequest) -> None:
        """No history of this share violates any of I1 to I9."""
        _keeps_its_promise(job, request)


class TestBeyond:
    """What the promise assumes is needed, and going beyond it loses nothing for good."""

    def test_verify_heals_what_breaks_beyond_the_assumptions(self) -> None:
        """Something breaks where an assumption does not hold, and one `apply --verify` heals all of it."""
        shown = demonstrate()
        assert sum(one.broken for one in shown) > 0
        assert [one for one in shown if one.healed != one.broken] == []


class TestMutants:
    """The simulator notices what it has to."""

    @pytest.mark.parametrize("name", [*EVERY_MUTANT][::MUTANTS])
    def test_catches(self, name: str) -> None:
        """A product that is broken this way violates an invariant in some history."""
        assert hunt(name).by is not None
