"""Text as lines of plain spans: one story, painted for a terminal, a pipe or markdown.

A span's text is made safe when it is made, so that no painter can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.core.sanitize import plain
from keyturn.core.schedule import utc

if TYPE_CHECKING:
    from rich.text import Text

LONGEST = 100_000
"""Characters of one line: a sentence may name many places, a hostile one may not fill a disk."""

HANGING = 4
"""By how many characters the further lines of a folded line are indented."""

_WORDS = re.compile(r"(?:`[^`]*`|[^\s`]|`)+")


class Tone(StrEnum):
    """How a span is painted on a terminal; the value is a rich style."""

    PLAIN = ""
    HEAD = "bold"
    NAME = "bold cyan"
    GOOD = "green"
    WARN = "yellow"
    BAD = "bold red"
    DIM = "dim"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a line; its text is safe from the moment it is made."""

    text: str
    tone: Tone = Tone.PLAIN

    def __post_init__(self) -> None:
        """Make the text safe."""
        object.__setattr__(self, "text", safe(self.text))


Line = tuple[Span, ...]


def line(*parts: Span | str) -> Line:
    """Return a line; bare strings are plain spans."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def safe(text: str, limit: int = LONGEST) -> str:
    """Return `plain(text)`, and `##[` and `##vso[` cut in two: CI runners look for them anywhere in a line."""
    return re.sub(r"##(?=\w*\[)", r"#\\#", plain(text, limit))


def paint_plain(lines: Iterable[Line]) -> str:
    """Return the lines for a pipe or a file, each ended by a newline."""
    return "".join(safe("".join(part.text for part in row)).rstrip() + "\n" for row in lines)


def paint_rich(lines: Iterable[Line]) -> Text:
    """Return the lines for a terminal, as one Text object: nothing in it is read as markup."""
    from rich.text import Text  # noqa: PLC0415 - only terminals pay for it

    text = Text()
    for row in lines:
        for part in row:
            text.append(part.text, style=part.tone.value)
        text.append("\n")
    return text


def fold(lines: Iterable[Line], width: int) -> list[Line]:
    """Return the lines with those that are longer than `width` characters folded between words, further lines indented.

    A word, and what stands between backticks, stays whole: an operator copies it.
    """
    result: list[Line] = []
    for row in lines:
        text = "".join(part.text for part in row)
        if len(text.rstrip()) <= width:
            result.append(row)
            continue
        lead = len(text) - len(text.lstrip())
        indent = min(lead + HANGING, width // 2)
        start, room = 0, width
        for end in _breaks(text, lead):
            if end[1] - start > room and end[0] > start:
                result.append(_cut(row, start, end[0], 0 if not start else indent))
                start, room = end[0] + len(text[end[0] :]) - len(text[end[0] :].lstrip()), width - indent
        result.append(_cut(row, start, len(text), 0 if not start else indent))
    return result


def _breaks(text: str, lead: int) -> Iterator[tuple[int, int]]:
    """Yield where each word that may begin a line is preceded by spaces, and where it ends."""
    before = lead
    for word in _WORDS.finditer(text, lead):
        yield before, word.end()
        before = word.end()


def _cut(row: Line, start: int, end: int, indent: int) -> Line:
    """Return the characters of a line from `start` to `end` in their tones, indented."""
    parts: list[Span] = [Span(" " * indent)] if indent else []
    at = 0
    for part in row:
        piece = part.text[max(0, start - at) : max(0, end - at)]
        at += len(part.text)
        parts += [Span(piece, part.tone)] if piece else []
    return tuple(parts)


def columns(rows: Sequence[Sequence[Span]], *, indent: int = 0, gap: int = 2, most: int = LONGEST) -> list[Line]:
    """Return the rows as lines with aligned columns; the last column is not padded.

    A cell longer than `most` characters does not widen its column: the rest of its line follows it.
    """
    lengths = [[len(cell.text) for cell in column] for column in zip(*rows, strict=True)]
    widths = [max(size if size <= most else 1 for size in column) for column in lengths]
    result: list[Line] = []
    for row in rows:
        cells: list[Span] = [Span(" " * indent)] if indent else []
        for cell, width in zip(row, [*widths[:-1], 0], strict=True):
            cells += [cell, Span(" " * (max(0, width - len(cell.text)) + gap))] if width else [cell]
        result.append(tuple(cells))
    return result


def count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 key` or `2 keys`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def moment(at: datetime) -> str:
    """Return a moment as `2026-08-24 02:00:05 UTC`."""
    return utc(at)


def length(span_of_time: timedelta) -> str:
    """Return a length of time in its largest sensible unit: `42s`, `17m`, `5h`, `12d`."""
    seconds = int(abs(span_of_time.total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
