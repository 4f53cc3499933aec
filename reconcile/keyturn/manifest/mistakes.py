"""Collects all mistakes of a manifest with their positions, and makes their text safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from keyturn.core.errors import ManifestError, Mistake
from keyturn.core.literals import looks_secret, masked
from keyturn.core.sanitize import plain

Path = tuple[str | int, ...]

_MOST = 100
_KNOWN = 50
"""A suggestion looks at no more names than this: comparing names is slow."""


class Place(NamedTuple):
    """Line and column, counted from 1, or 0 without a file."""

    line: int = 0
    column: int = 0


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file. A mistake in `defaults` counts once, not once per key.

    The first hundred are kept, and the others are counted. Then the file is `full`: looking for more is of no use.

    With `offline`, settings that the environment lacks go to `unsure`; otherwise they are mistakes like any other.
    """

    file: str
    offline: bool = False
    found: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    unsure: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    others: set[tuple[Place, Path]] = field(default_factory=set)
    """Where the mistakes are that are only counted."""
    settled: set[Path] = field(default_factory=set)
    """Fields, including those below them, for which no further mistake is noted."""

    @property
    def full(self) -> bool:
        """Whether there are more than a hundred mistakes."""
        return len(self.found) + len(self.others) > _MOST

    def add(self, place: Place, path: Path, text: str, *, in_environment: bool = False) -> None:
        """Note a mistake. `text` says what would be right, and never repeats a value.

        `in_environment`: the manifest may be right, but the environment lacks something that it needs.
        """
        if any(path[:length] in self.settled for length in range(len(path) + 1)):
            return
        if len(self.found) >= _MOST:
            self.others.add((place, path[-1:]))
            return
        shown = plain(masked(text), 600)
        mistake = Mistake(plain(self.file), place.line, place.column, show_path(path), shown)
        into = self.unsure if in_environment and self.offline else self.found
        into.setdefault((place, path[-1:], shown), mistake)

    def settle(self, place: Place, path: Path, text: str, *, in_environment: bool = False) -> None:
        """Note a mistake like `add`, and ignore further mistakes in that field."""
        self.add(place, path, text, in_environment=in_environment)
        self.settled.add(path)

    def stop(self) -> ManifestError:
        """Return the error with all mistakes."""
        return error_of(self.found.values(), len(self.others))


def error_of(found: Iterable[Mistake], others: int = 0) -> ManifestError:
    """Return the error with the first hundred mistakes and the number of the rest. `others` were only counted."""
    return ManifestError(first_of(found, "mistakes", others))


def first_of(found: Iterable[Mistake], noun: str, others: int = 0) -> list[Mistake]:
    """Return the first hundred, and the number of the rest; `others` were only counted."""
    mistakes = sorted(found)
    more = len(mistakes) - _MOST + others
    if more <= 0:
        return mistakes
    last, least = mistakes[-1], "at least " if others else ""
    return [*mistakes[:_MOST], Mistake(last.file, last.line, last.column, "", f"and {least}{more} more {noun}")]


def show_path(path: Path) -> str:
    """Format as `keys.bot.deliver[0].path`. A part that looks like a secret is masked."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = "[secret]" if looks_secret(part) else plain(part, 80)
            shown += f".{name}" if shown else name
    return shown


def suggest(wrong: str, known: Sequence[str]) -> str:
    """Return the end of a sentence: the closest name, or the known names."""
    few = known[:_KNOWN]
    close = get_close_matches(wrong[:80].lower(), few, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    more = f" and {len(known) - _KNOWN} more" if len(known) > _KNOWN else ""
    return f"known: {', '.join(few)}{more}" if known else "none exists"
