"""The live view of a run on a terminal: drawn by rich four times per second, and erased when the run ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, cast

from keyturn.report.lines import Line, paint_rich

if TYPE_CHECKING:
    from rich.console import RenderableType

PER_SECOND = 4
SMALLEST = 8
"""Lines of a terminal that is not drawn on: so small, a view would only scroll."""


class _Tolerant:
    """A stream whose reader may leave: what cannot be written is dropped, and the run continues."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        try:
            self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        except (OSError, ValueError):
            return 0
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._stream.fileno()


class LiveView:
    """A few lines at the end of a terminal that are drawn again and again; other lines scroll by above them."""

    def __init__(self, stream: TextIO, draw: Callable[[int], list[Line]], *, color: bool) -> None:
        """Prepare; `draw` is called in a thread of its own, with how many lines there is room for."""
        from rich.console import Console
        from rich.live import Live

        self._draw = draw
        self._console = Console(
            file=cast("TextIO", _Tolerant(stream)), highlight=False, markup=False, emoji=False, no_color=not color
        )
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @property
    def fits(self) -> bool:
        """Whether the terminal is large enough, and can move its cursor."""
        return self._console.is_terminal and not self._console.is_dumb_terminal and self._console.height >= SMALLEST

    def start(self) -> None:
        """Begin to draw."""
        self._live.start()

    def stop(self) -> None:
        """Erase the view."""
        self._live.stop()

    def above(self, lines: list[Line]) -> None:
        """Let lines scroll by above the view."""
        self._console.print(paint_rich(lines), end="", soft_wrap=True)

    def _render(self) -> RenderableType:
        text = paint_rich(self._draw(max(3, self._console.height // 2)))
        text.no_wrap, text.overflow, text.end = True, "ellipsis", ""
        text.rstrip()
        return text
