"""Output of a command: the result goes to stdout, messages go to stderr. A closed pipe never stops the work."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from keyturn.cli.live import LiveView
    from keyturn.core.results import Progress
    from keyturn.report.lines import Line
    from keyturn.report.progress import Board

FEW: Final = 8
"""Without a live view, the steps of up to so many keys are told one by one; of more keys only a counter."""
BETWEEN: Final = 10.0
"""Seconds between two counter lines, at least."""


class Screen:
    """The two output streams of a command, with the settings of `-v`, `-q`, `--no-color` and `--format`."""

    def __init__(self) -> None:
        """Start with text and without details."""
        self.verbose = 0
        self.quiet = False
        self.no_color = False
        self.format = "text"
        self.policy: str | None = None
        self.wrote = False
        """Whether anything was written to stdout."""
        self.broken = ""
        """Why stdout could not be written, such as a full disk; a reader that left is no reason."""
        self._silence: list[Callable[[], None]] = []
        self._lock = threading.RLock()
        self._board: Board | None = None
        self._live: LiveView | None = None
        self._limited = False
        self._counted: datetime | None = None

    def result(self, lines: Iterable[Line], *, calm: bool = False) -> None:
        """Show the result on stdout. A `calm` one needs nobody: `-q` leaves it out."""
        self.rest()
        if not (calm and self.quiet):
            self.wrote = True
            self._paint(sys.stdout, lines)

    def document(self, text: str) -> None:
        """Write a document to stdout unchanged."""
        self.rest()
        self.wrote = True
        self._write(sys.stdout, text)

    def inform(self, lines: Iterable[Line], *, needed: bool = False) -> None:
        """Show lines on stderr, unless `-q`; with `needed` even then."""
        self.rest()
        if needed or not self.quiet:
            self._paint(sys.stderr, lines)

    def say(self, text: str) -> None:
        """Show one message on stderr, unless `-q`."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Show text on stderr, even with `-q`. Each line is escaped."""
        from keyturn.report.lines import line, paint_plain

        rows = [line(row) for row in text.splitlines()]
        with self._lock:
            if self._live:
                self._live.above(rows)
            else:
                self._write(sys.stderr, paint_plain(rows))

    def progress(self, step: Progress) -> None:
        """Show the progress of a key or of the whole run: in the live view, or as lines. Any thread may call it."""
        from keyturn.core.results import Stage

        with self._lock:
            self.board.hear(step)
            if self.quiet:
                return
            if step.stage is Stage.BEGIN:
                self._counted = step.at
                self._begin()
            elif self._live:
                if step.text and step.stage in {Stage.SAY, Stage.END}:
                    self.error(_stamped(step))
            else:
                self._tell(step)

    @property
    def board(self) -> Board:
        """What the run is doing now."""
        from keyturn.report.progress import Board

        self._board = self._board or Board()
        return self._board

    def rest(self) -> None:
        """End the live view: something else is to be shown."""
        with self._lock:
            live, self._live = self._live, None
        if live:
            live.stop()

    def log(self) -> None:
        """Show log records as set by `-v`: those of keyturn, and with `-vv` also those of HTTP requests."""
        if not self.verbose:
            return
        import logging

        handler = logging.Handler()
        handler.emit = lambda record: self.error(f"{record.name}: {record.getMessage()}")  # type: ignore[method-assign]
        for name in ["keyturn", "httpx"][: self.verbose]:
            logger = logging.getLogger(name)
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG if name == "keyturn" else logging.INFO)
            self._silence.append(partial(logger.removeHandler, handler))

    def close(self) -> None:
        """Stop showing log records. Flush, so that a closed pipe or a full disk is detected here."""
        self.rest()
        for silence in self._silence:
            silence()
        self._write(sys.stdout, "")
        self._write(sys.stderr, "")

    def cannot_write(self, stream: TextIO, error: OSError) -> None:
        """Discard further output of a stream: its reader has left (`| head`), or its disk is full.

        The work continues. A reader that left changes no exit code.
        """
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            self.broken = self.broken or error.strerror or type(error).__name__
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def _begin(self) -> None:
        """Start the live view, if stderr is a terminal that can show one."""
        plain = self.no_color or os.environ.get("CI", "").lower() not in {"", "0", "false"}
        if self._live or plain or self.verbose > 1 or not _is_terminal(sys.stderr):
            return
        from datetime import UTC, datetime

        from keyturn.cli.live import LiveView

        board = self.board
        live = LiveView(
            sys.stderr,
            lambda height: board.lines(datetime.now(UTC), height),
            color=not os.environ.get("NO_COLOR"),
        )
        if live.fits:
            live.start()
            self._live = live

    def _tell(self, step: Progress) -> None:
        """Show a message as a line, or instead of many a counter now and then."""
        from keyturn.core.results import Stage

        many = self.board.total > FEW and not self.verbose
        if step.stage is Stage.WAIT and (step.key or many):
            if limited := self.board.limited(step.at) and not self._limited:
                self._counted = None  # a run that stands still says so at once
            self._count(step.at)
            self._limited = limited or self._limited
        elif step.stage in {Stage.SAY, Stage.WAIT} or (step.stage is Stage.STEP and step.text and not many):
            self.error(_stamped(step))
        elif step.stage is Stage.END:
            self._limited = False
            if step.text and many:
                self.error(_stamped(step))
            self._count(step.at)

    def _count(self, now: datetime) -> None:
        if self._counted is None or (now - self._counted).total_seconds() >= BETWEEN:
            self._counted = now
            if text := self.board.counter(now):
                self.error(f"{now:%H:%M:%S} {text}")

    def _paint(self, stream: TextIO, lines: Iterable[Line]) -> None:
        from keyturn.report.lines import fold, paint_plain, paint_rich

        if not _is_terminal(stream):
            self._write(stream, paint_plain(lines))
            return
        from rich.console import Console

        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        folded = fold(lines, console.width)
        if self.no_color or os.environ.get("NO_COLOR"):
            self._write(stream, paint_plain(folded))
            return
        with console.capture() as capture:
            console.print(paint_rich(folded), end="", soft_wrap=True)
        self._write(stream, capture.get())

    def _write(self, stream: TextIO | None, text: str) -> None:
        """Write and flush. Characters that the stream cannot encode are escaped."""
        if stream is None:  # it was closed before the program began
            return
        encoding = stream.encoding or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except OSError as error:
            self.cannot_write(stream, error)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _stamped(step: Progress) -> str:
    whose = f"{step.key}: " if step.key else ""
    return f"{step.at:%H:%M:%S} {whose}{step.text}"
