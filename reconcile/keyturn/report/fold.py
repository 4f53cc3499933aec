"""Lines folded to the width of a terminal, with a hanging indent; wide characters count as two columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from unicodedata import combining, east_asian_width

from keyturn.report.lines import Line, Span, Tone

LEAST = 20
"""Columns below which folding helps nobody."""
HANG = 2
"""Columns by which a folded line is indented more than its first part."""

_Cell = tuple[str, Tone]


def wide(row: Line) -> int:
    """Return how many columns of a terminal a line takes."""
    return sum(_columns(character) for part in row for character in part.text)


def fold(lines: Iterable[Line], width: int) -> list[Line]:
    """Return the lines, each cut into as many as it needs to fit `width` columns; none is cut inside a word that fits.

    A command between backticks is one word if it fits, so that it can be copied. A `width` below 20 counts as 20.
    """
    room = max(width, LEAST)
    return [piece for row in lines for piece in ((row,) if wide(row) <= room else _folded(row, room))]


def _folded(row: Line, width: int) -> Iterator[Line]:
    cells: list[_Cell] = [(character, part.tone) for part in row for character in part.text]
    text = "".join(character for character, _ in cells)
    lead = len(text) - len(text.lstrip(" "))
    hang = min(lead + HANG, width // 2)
    current: list[_Cell] = []
    used, started = 0, False
    for start, end in _words(text, width - hang):
        word = cells[start:end]
        blank = word[0][0] == " "
        size = sum(_columns(character) for character, _ in word)
        if started and not blank and used + size > width and size <= width - hang:
            yield _line(current)
            current, used = [(" ", Tone.PLAIN)] * hang, hang
        for cell in word:
            take = _columns(cell[0])
            if used + take > width:
                if blank:
                    break
                yield _line(current)
                current, used = [(" ", Tone.PLAIN)] * hang, hang
            current.append(cell)
            used += take
        started = started or not blank
    yield _line(current)


def _words(text: str, room: int) -> Iterator[tuple[int, int]]:
    """Yield where each word and each run of blanks begins and ends; a command between backticks is one if it fits."""
    for found in re.finditer(r" +|(?:`[^`]*`|[^ ])+", text):
        if sum(map(_columns, found[0])) <= room:
            yield found.span()
        else:
            yield from (part.span() for part in re.compile(" +|[^ ]+").finditer(text, *found.span()))


def _line(cells: list[_Cell]) -> Line:
    """Join neighbours of one tone; blanks at the end are dropped."""
    end = len(cells)
    while end and cells[end - 1][0] == " ":
        end -= 1
    grouped = groupby(cells[:end], key=lambda cell: cell[1])
    return tuple(Span("".join(character for character, _ in part), tone) for tone, part in grouped)


def _columns(character: str) -> int:
    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
