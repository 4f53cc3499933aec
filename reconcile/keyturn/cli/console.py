"""Output of a command: the result goes to stdout, messages go to stderr. A closed pipe never stops the work."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from keyturn.core.results import Progress
    from keyturn.report.lines import Line


class Screen:
    """The two output streams of a command, with the settings of `-v`, `-q`, `--no-color` and `--format`."""

    def __init__(self) -> None:
        """Start with text and without details."""
        self.verbose = 0
        self.quiet = False
        self.no_color = False
        self.format = "text"
        self.policy: str | None = None
        self._silence: list[Callable[[], None]] = []

    def result(self, lines: Iterable[Line]) -> None:
        """Show the result on stdout."""
        self._paint(sys.stdout, lines)

    def document(self, text: str) -> None:
        """Write a document to stdout unchanged."""
        _write(sys.stdout, text)

    def inform(self, lines: Iterable[Line]) -> None:
        """Show lines on stderr, unless `-q`."""
        if not self.quiet:
            self._paint(sys.stderr, lines)

    def say(self, text: str) -> None:
        """Show one message on stderr, unless `-q`."""
        if not self.quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Show text on stderr, even with `-q`. Each line is escaped."""
        from keyturn.report.lines import line, paint_plain

        _write(sys.stderr, paint_plain(line(row) for row in text.splitlines()))

    def progress(self, step: Progress) -> None:
        """Show the progress of a key or of the whole run."""
        whose = f"{step.key}: " if step.key else ""
        self.say(f"{step.at:%H:%M:%S} {whose}{step.text}")

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
        """Stop showing log records. Flush, so that a closed pipe is detected here."""
        for silence in self._silence:
            silence()
        _write(sys.stdout, "")
        _write(sys.stderr, "")

    def _paint(self, stream: TextIO, lines: Iterable[Line]) -> None:
        from keyturn.report.lines import paint_plain, paint_rich

        if not stream.isatty() or self.no_color or os.environ.get("NO_COLOR"):
            _write(stream, paint_plain(lines))
            return
        from rich.console import Console

        console = Console(file=stream, highlight=False, markup=False, emoji=False)
        with console.capture() as capture:
            console.print(paint_rich(lines), end="", soft_wrap=True)
        _write(stream, capture.get())


def _write(stream: TextIO, text: str) -> None:
    """Write and flush. Characters that the stream cannot encode are escaped."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`): discard further output, but keep working and keep the exit code.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
