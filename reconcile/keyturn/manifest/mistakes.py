"""Collects all mistakes of a manifest with their positions, and makes their text safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from keyturn.core.errors import ManifestError, Mistake
from keyturn.core.literals import looks_secret, masked
from keyturn.core.sanitize import plain

Path = tuple[str | int, ...]

_MOST = 100


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column, counted from 1, or 0 without a file."""

    line: int = 0
    column: int = 0


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file. A mistake in `defaults` counts once, not once per key.

    With `offline`, settings that the environment lacks go to `unsure`; otherwise they are mistakes like any other.
    """

    file: str
    offline: bool = False
    found: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    unsure: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    settled: set[Path] = field(default_factory=set)
    """Fields, including those below them, for which no further mistake is noted."""

    def add(self, place: Place, path: Path, text: str, *, in_environment: bool = False) -> None:
        """Note a mistake. `text` says what would be right, and never repeats a value.

        `in_environment`: the manifest may be right, but the environment lacks something that it needs.
        """
        if not any(path[:length] in self.settled for length in range(len(path) + 1)):
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
        return error_of(self.found.values())


def error_of(found: Iterable[Mistake]) -> ManifestError:
    """Return the error with all mistakes, or with the first hundred and the number of the others."""
    mistakes = sorted(found)
    if len(mistakes) > _MOST:
        more = replace(mistakes[_MOST], path="", text=f"and {len(mistakes) - _MOST} more mistakes")
        mistakes = [*mistakes[:_MOST], more]
    return ManifestError(mistakes)


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
    """Return the end of a sentence: the closest name, or all names."""
    close = get_close_matches(wrong[:80].lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if known else "none exists"
