"""What a run waits for: an operator who makes keys, and an overlap that is about to end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from keyturn.report.handoff import CLICKS, PANEL
from tests.cli.desk import Desk, desk
from tests.real.run import ForkServer
from tests.support.process import wait_until

NAMES = ("botty", "swap-a", "swap-b")
LISTED = "with exactly these names:\n" + "".join(f"  {name}\n" for name in NAMES)


@pytest.fixture
def bare(nursery: ForkServer) -> Iterator[Desk]:
    """A desk with two new keys, one of them in turn, that nobody has made, and one that is called nearly so."""
    with desk(nursery) as made:
        for key, strategy in (("botty", "in-place"), ("swap", "alternating")):
            made.add(key, strategy)
            del made.keys[key]["adopt"]
        made.sandbox.panel_create("Botty")
        yield made


def test_a_plan_shows_one_list_of_what_a_person_has_to_make(bare: Desk) -> None:
    """With the page and the clicks, once, by each command; the near miss is mentioned and not taken."""
    for command in (["plan"], ["status"], ["apply", "--yes"], ["plan"], ["status"], ["apply", "--yes"]):
        text = bare.run(*command, code=1).stdout
        assert text.count(LISTED) == text.count(PANEL) == text.count(CLICKS) == 1, text
        assert "the account has 'Botty', which is not the same name" in text
    markdown = bare.run("plan", "--format", "markdown", code=1).stdout
    assert all(f"- `{name}`\n" in markdown for name in NAMES)
    document = bare.json("plan", code=1)
    assert [name for plan in document["runs"][0]["plans"] for name in plan["end"]["make"]] == list(NAMES)
    assert bare.mints() == 0
    assert [key.name for key in bare.sandbox.state.live_keys("sandbox")] == ["Botty"]


def test_apply_waits_for_a_person(bare: Desk) -> None:
    """`--wait` shows the list at once, goes on when the keys are made, and ends with 0."""
    run = bare.start("apply", "--wait", "--yes")
    wait_until(lambda: LISTED in run.err, "the list", seconds=8)
    seen = [bare.sandbox.panel_create(name).secret for name in NAMES]
    bare.end(run)
    assert all(bare.sandbox.accepts(bare.held(key)) for key in bare.keys)
    time.sleep(1.1)
    bare.run("apply", "--yes")
    assert not any(bare.sandbox.accepts(secret) for secret in seen)
    assert bare.leaks() == []


def test_a_nightly_run_retires_the_overlap_that_the_last_one_began(nursery: ForkServer) -> None:
    """An overlap as long as the time between two runs ends some seconds after the second began; it waits for that."""
    overlap = 12.0
    with desk(nursery) as made:
        made.existing("swap", "alternating", overlap="1s")
        made.run("apply", "--yes")
        time.sleep(1.1)
        made.run("apply", "--yes")
        made.add("swap", "alternating", overlap=f"{overlap:g}s")
        old, began = made.held("swap"), time.monotonic()
        made.run("rotate", "swap", "--yes")
        committed = time.monotonic() - began
        new = made.held("swap")
        assert new != old
        assert made.sandbox.accepts(old)
        assert made.record("swap")["retire"]

        time.sleep(max(0.0, overlap - (time.monotonic() - began)))
        assert made.sandbox.accepts(old), "the overlap of the test is over too early"
        night = made.run("apply", "--yes")
        assert "for the overlap of swap to end" in night.stderr
        assert not made.sandbox.accepts(old), f"it was not retired; the rotation took {committed:.1f} s"
        assert made.sandbox.accepts(new)
        assert made.held("swap") == new
        assert not made.record("swap")["retire"]
        assert "the API promises that it is dead" in made.run("history", "swap").stdout.splitlines()[-1]
        assert made.leaks() == []
