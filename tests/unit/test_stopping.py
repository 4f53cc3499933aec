"""What Ctrl-C is answered: what is being finished and for how long, and what leaving would lose."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import pytest

from keyturn.cli.console import Screen
from keyturn.cli.stopping import Stopping, ended
from keyturn.core.model import Timing
from keyturn.core.reasons import Reason
from keyturn.core.record import Record, Requested
from keyturn.core.results import Change, End, KeyReport, Planned, Progress, RunReport, Stage

NOW = datetime(2026, 8, 24, tzinfo=UTC)
STOPPED = End(Reason.INTERRUPTED, "Not started, because a signal asked to stop.")


class Desk:
    """A screen on which some keys are at work, and what was done when a press was heard."""

    def __init__(self, *keys: str, holds: bool = False) -> None:
        """Let these keys smoke-check their secrets; `holds`: there is no other copy of them yet."""
        self.screen = Screen()
        self.screen.board.hear(Progress("", "apply", NOW, Stage.BEGIN, number=9))
        for key in keys:
            self.screen.board.hear(Progress(key, "smoke-checks", NOW, Stage.STEP, holds=holds))
        self.left: list[object] = []
        self.now = 100.0
        self.stopping = Stopping(
            self.screen,
            [Timing(delivery=300, propagation=60, request=30)],
            lambda code, text: self.left.append((code, text[:12])),
            self.left.append,
            lambda: self.now,
        )

    def press(self, number: int, times: int, *, after: float = 2.0) -> None:
        """Press for the `times`th time, so many seconds after the last."""
        self.now += after
        self.stopping.answer(number, times)


def test_a_press_is_answered_with_what_is_finished(capsys: pytest.CaptureFixture[str]) -> None:
    """And for how long, and with what another press does."""
    Desk("rb").stopping.answer(signal.SIGINT, 1)
    assert capsys.readouterr().err.startswith(
        "Ctrl-C: begins no further key, and finishes the present step of rb (smoke-checks). "
        "That takes up to 90 s; then the run stops. Press Ctrl-C again to leave at once: "
    )
    Desk("rb").stopping.answer(signal.SIGTERM, 1)
    text = capsys.readouterr().err
    assert text.startswith("SIGTERM: begins no further key")
    assert "Press" not in text
    Desk().stopping.answer(signal.SIGINT, 1)
    assert capsys.readouterr().err == "Ctrl-C: nothing is under way, so the run stops now.\n"


def test_another_press_leaves_at_once() -> None:
    """With the exit code of the signal; another SIGTERM does not."""
    desk = Desk("rb")
    desk.press(signal.SIGTERM, 2)
    assert desk.left == []
    desk.press(signal.SIGINT, 2)
    assert desk.left == [(130, "Left at once"), 130]


def test_a_press_by_habit_does_not_leave() -> None:
    """Pressed twice at once, the second is no answer to a message that nobody can have read."""
    desk = Desk("rb")
    desk.press(signal.SIGINT, 1)
    desk.press(signal.SIGINT, 2, after=0.3)
    assert desk.left == []
    desk.press(signal.SIGINT, 3)
    assert desk.left[-1] == 130


def test_leaving_with_the_only_copy_of_a_secret_takes_one_press_more(capsys: pytest.CaptureFixture[str]) -> None:
    """The second press says what would be lost."""
    desk = Desk("rb", holds=True)
    desk.press(signal.SIGINT, 1)
    text = capsys.readouterr().err
    assert "delivers the new secret of rb, of which there is no other copy yet" in text
    assert "up to 7 min" in text
    desk.press(signal.SIGINT, 2)
    assert desk.left == []
    assert "the only copy of the new secret of rb is in this process" in capsys.readouterr().err
    desk.press(signal.SIGINT, 3)
    assert desk.left[-1] == 130


def test_a_stopped_rotation_that_wrote_nothing_says_so() -> None:
    """The next apply continues what the records know of; for the rest, the command has to be run again."""
    asked = Record("b", "owner", "00", requested=Requested("root", "on demand", NOW))
    begun = KeyReport("b", (), STOPPED, record=asked)
    fresh = KeyReport("a", (), STOPPED, record=Record("a", "owner", "00"))
    done = KeyReport("c", (Planned(Change.ROTATE, "requested", "rotates"),), End(Reason.AT_REST))
    continues = "Stopped by Ctrl-C; the next `keyturn apply` continues from there."
    nothing = "Nothing was written for a: run `keyturn rotate a` again."

    def text(*keys: KeyReport, command: str = "rotate") -> str:
        return ended(signal.SIGINT, [RunReport("owner", "r", keys)], command=command)

    assert text(fresh, done) == f"Stopped by Ctrl-C. {nothing}"
    assert text(fresh, begun) == f"{continues} {nothing}"
    assert text(begun, done) == continues
    assert text(fresh, command="") == continues
