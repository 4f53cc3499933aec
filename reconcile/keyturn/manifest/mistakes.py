"""Collects every mistake of a manifest, each with its place, and makes its text safe to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from keyturn.core.errors import ManifestError, Mistake
from keyturn.core.sanitize import plain
from keyturn.manifest.secrets import looks_secret, masked

Path = tuple[str | int, ...]

_MOST = 100


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Line and column, both from 1; 0 where there is no file."""

    line: int = 0
    column: int = 0


@dataclass(slots=True)
class Mistakes:
    """The mistakes of one file; the same one at the same place counts once, for every key that has it by default.

    `offline`: what the environment lacks goes to `unsure`; else it is a mistake like any other.
    """

    file: str
    offline: bool = False
    found: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    unsure: dict[tuple[Place, Path, str], Mistake] = field(default_factory=dict)
    settled: set[Path] = field(default_factory=set)
    """Fields about which all is said; what is below them counts too."""

    def add(self, place: Place, path: Path, text: str, *, in_environment: bool = False) -> None:
        """Note a mistake; `text` says what would be right and never repeats a value.

        `in_environment`: the manifest may be right, but the environment lacks what it asks for.
        """
        if not any(path[:length] in self.settled for length in range(len(path) + 1)):
            shown = plain(masked(text), 600)
            mistake = Mistake(plain(self.file), place.line, place.column, show_path(path), shown)
            into = self.unsure if in_environment and self.offline else self.found
            into.setdefault((place, path[-1:], shown), mistake)

    def settle(self, place: Place, path: Path, text: str, *, in_environment: bool = False) -> None:
        """Note a mistake like `add`, and keep silent about anything else in that field."""
        self.add(place, path, text, in_environment=in_environment)
        self.settled.add(path)

    def stop(self) -> ManifestError:
        """Return the error that tells all."""
        return error_of(self.found.values())


def error_of(found: Iterable[Mistake]) -> ManifestError:
    """Return the error that tells all mistakes, or the first hundred and how many more there are."""
    mistakes = sorted(found)
    if len(mistakes) > _MOST:
        more = replace(mistakes[_MOST], path="", text=f"and {len(mistakes) - _MOST} more mistakes")
        mistakes = [*mistakes[:_MOST], more]
    return ManifestError(mistakes)


def show_path(path: Path) -> str:
    """Show as `keys.bot.deliver[0].path`; a part that looks like a secret is masked."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = "[secret]" if looks_secret(part) else plain(part, 80)
            shown += f".{name}" if shown else name
    return shown


def suggest(wrong: str, known: Sequence[str]) -> str:
    """Return what was probably meant, or what there is: the end of a sentence."""
    close = get_close_matches(wrong[:80].lower(), known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(known)}" if known else "there is none"
