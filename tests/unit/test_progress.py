"""What an operator sees of a run that is at work: a live view on a terminal, a few lines elsewhere."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keyturn.cli.console import BETWEEN, Screen
from keyturn.cli.live import LiveView
from keyturn.core.reasons import Reason
from keyturn.core.results import Change, End, KeyReport, Options, Progress, Stage
from keyturn.report.lines import paint_plain
from keyturn.report.progress import Board, span
from tests.support.rig import make_rig, plan

NOW = datetime(2026, 8, 24, 12, 0, tzinfo=UTC)
LIMIT = "waits 12 s for the API's rate limit"


def at(seconds: float) -> datetime:
    """Return a moment of the run."""
    return NOW + timedelta(seconds=seconds)


def begun(*keys: str, total: int = 200) -> Board:
    """Return the board of a run that is at work on these keys."""
    board = Board()
    board.hear(Progress("", "apply", NOW, Stage.BEGIN, number=total))
    for key in keys:
        board.hear(Progress(key, "", NOW, Stage.START))
    return board


def shown(board: Board, seconds: float, height: int = 20) -> list[str]:
    """Return the lines of a board."""
    return paint_plain(board.lines(at(seconds), height)).splitlines()


def test_a_board_has_a_counter_and_the_keys_at_work() -> None:
    """Keys that are done are only counted; each key at work says what it does, and for how long."""
    board = begun("a", "checkout", "c")
    board.hear(Progress("a", "", at(1), Stage.END))
    board.hear(Progress("c", "sealed", at(1), Stage.END, code=1))
    board.hear(Progress("checkout", "delivers to vault:x#KEY", at(2), Stage.STEP))
    board.hear(Progress("", LIMIT, at(3), Stage.WAIT, until=at(15)))
    assert shown(board, 3) == [
        "2/200 keys done, 1 failed, 12 s to wait for the API's limit",
        "  checkout    3 s  delivers to vault:x#KEY",
    ]
    assert shown(board, 16)[0] == "2/200 keys done, 1 failed"


def test_a_board_of_many_keys_fits() -> None:
    """The oldest are shown, and the others counted."""
    board = begun(*(f"key-{number}" for number in range(50)))
    rows = shown(board, 5, height=6)
    assert len(rows) == 6
    assert rows[-1] == "  and 46 more keys at work"


def test_a_board_says_what_is_waited_for() -> None:
    """The end of an overlap is the run's; a limit that holds one key of several is that key's."""
    board = begun("a", "b")
    board.hear(Progress("a", "waits for the API's rate limit", NOW, Stage.WAIT, until=at(15)))
    assert shown(board, 5)[0] == "0/200 keys done"
    assert shown(board, 5)[1:] == ["  a    5 s  waits for the API's rate limit, 10 s left", "  b    5 s  begins"]
    board.hear(Progress("b", "waits for the API's rate limit", NOW, Stage.WAIT, until=at(25)))
    assert shown(board, 5)[0] == "0/200 keys done, 10 s to wait for the API's limit"
    board.hear(Progress("", "Waits 20 s for the overlap of a to end.", NOW, Stage.WAIT, until=at(20)))
    assert "Waits 20 s for the overlap of a to end. 15 s left." in shown(board, 5)


def test_a_board_knows_whose_only_secret_is_here() -> None:
    """From the mint to the first durable write, and not after the key has ended."""
    board = begun("a", "b")
    board.hear(Progress("a", "regenerates", NOW, Stage.STEP, holds=True))
    assert list(board.holds) == ["a"]
    board.hear(Progress("a", "", NOW, Stage.STEP))
    assert list(board.holds) == []
    assert board.working["a"].text == "regenerates"
    board.hear(Progress("b", "regenerates", NOW, Stage.STEP, holds=True))
    board.hear(Progress("b", "", NOW, Stage.END))
    assert list(board.holds) == []


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (120, "120 s"), (121, "3 min")])
def test_spans(seconds: float, text: str) -> None:
    """Rounded up: nothing ends earlier than is said."""
    assert span(seconds) == text


def told(screen: Screen, keys: int, capsys: pytest.CaptureFixture[str], *, seconds: float = 0.1) -> list[str]:
    """Play a run of so many keys, each of which takes so long, and return what stderr got."""
    screen.progress(Progress("", "apply", NOW, Stage.BEGIN, number=keys))
    for number in range(keys):
        key, now = f"k{number}", at(seconds * number)
        screen.progress(Progress(key, "", now, Stage.START))
        screen.progress(Progress(key, "delivers", now, Stage.STEP))
        screen.progress(Progress(key, "", now, Stage.STEP))
        screen.progress(Progress(key, "failed: sealed" if number == 5 else "", now, Stage.END, code=int(number == 5)))
    return capsys.readouterr().err.splitlines()


def test_a_plain_run_of_many_keys_tells_a_counter(capsys: pytest.CaptureFixture[str]) -> None:
    """Now and then, and each failure at once; not a line for each step."""
    rows = told(Screen(), 200, capsys, seconds=0.5)
    assert [row for row in rows if "keys done" not in row] == ["12:00:02 k5: failed: sealed"]
    assert len(rows) == 1 + 99 // int(BETWEEN)
    assert rows[1] == "12:00:10 21/200 keys done, 1 failed"


def test_a_plain_run_of_few_keys_tells_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    """With `-v`, that of many keys does, too; with `-q` none does."""
    assert told(Screen(), 3, capsys) == [f"12:00:00 k{number}: delivers" for number in range(3)]
    loud, quiet = Screen(), Screen()
    loud.verbose, quiet.quiet = 1, True
    assert sum("delivers" in row for row in told(loud, 200, capsys)) == 200
    assert told(quiet, 200, capsys) == []


def test_a_plain_wait_for_the_limit_is_told_with_the_counter(capsys: pytest.CaptureFixture[str]) -> None:
    """Not once per key that waits."""
    screen = Screen()
    screen.progress(Progress("", "apply", NOW, Stage.BEGIN, number=200))
    for second in range(11, 25):
        screen.progress(Progress("", LIMIT, at(second), Stage.WAIT, until=at(second + 12)))
    assert capsys.readouterr().err.splitlines() == [
        f"12:00:{second} 0/200 keys done, 12 s to wait for the API's limit" for second in (11, 21)
    ]


class Terminal(io.StringIO):
    """A stream that says that it is a terminal; after `gone` its reader has left."""

    gone = False

    def isatty(self) -> bool:
        """Say so."""
        return True

    def write(self, text: str) -> int:
        """Take text as long as there is a reader."""
        if self.gone:
            raise BrokenPipeError
        return super().write(text)


def view(stream: Terminal, monkeypatch: pytest.MonkeyPatch) -> LiveView:
    """Return a view of a run on one key, on a terminal of 60 columns."""
    for name, value in (("TERM", "xterm"), ("COLUMNS", "60"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    board = begun("bot")
    board.hear(Progress("bot", "delivers to " + "x" * 100, NOW, Stage.STEP))
    return LiveView(stream, lambda height: board.lines(at(3), height), color=False)


def test_a_live_view_is_drawn_and_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer than the terminal, and other lines scroll by above it."""
    stream = Terminal()
    live = view(stream, monkeypatch)
    assert live.fits
    live.start()
    live.above([])
    live.stop()
    text = stream.getvalue()
    assert "0/200 keys done" in text
    assert f"    3 s  delivers to {'x' * 33}…\r\n" in text.replace("\n", "\r\n").replace("\r\r", "\r")
    assert text.endswith("\x1b[2K")
    assert "\x1b[?25h" in text, "the cursor is shown again"


def test_a_live_view_survives_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that is gone is no reason to leave a key half done."""
    stream = Terminal()
    live = view(stream, monkeypatch)
    live.start()
    stream.gone = True
    live.above([])
    live.stop()


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("LINES", "4")])
def test_a_terminal_that_cannot_be_drawn_on(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets plain lines."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    assert not LiveView(Terminal(), lambda _: [], color=True).fits


def test_a_runner_tells_what_begins_and_ends(tmp_path: Path) -> None:
    """A plan of all keys, then the work on those that have something to do; a failure with its reason."""
    made = make_rig(tmp_path, ("a", "b", "c"), plans={key: plan(key, Change.RENAME) for key in "ab"})
    made.engine.reports["b"] = KeyReport("b", (), End(Reason.NO_ANSWER, "sealed"))
    made.runner.apply([], Options())
    stages = [(line.stage, line.key, line.number) for line in made.said if line.stage is Stage.BEGIN]
    assert stages == [(Stage.BEGIN, "", 3), (Stage.BEGIN, "", 2)]
    last = {line.key: (line.code, line.text) for line in made.said[-6:] if line.stage is Stage.END}
    assert last == {"a": (0, ""), "b": (1, "unknown: sealed")}
    started = [line.key for line in made.said if line.stage is Stage.START]
    assert sorted(started) == ["a", "a", "b", "b", "c"]
