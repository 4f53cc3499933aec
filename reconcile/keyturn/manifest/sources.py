"""Where manifests come from: files, directories of files, and standard input. None may be named twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keyturn.core.errors import InputError, ManifestError, Mistake


@dataclass(frozen=True, slots=True)
class Text:
    """A manifest that is no file, such as standard input; its relative paths begin at the directory `base`."""

    content: bytes = field(repr=False)
    name: str = "<stdin>"
    base: Path = Path()


Source = Path | Text


def expand(sources: Path | Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources with each directory replaced by its manifests (`*.yaml`, `*.yml`), in the order given.

    A file that does not exist is kept: reading it says so.

    Raises:
        ManifestError: a directory has no manifest, or cannot be read.
        InputError: a file, or standard input, is named twice, directly or by its directory.
    """
    found: dict[Path | None, Source] = {}
    for source in [sources] if isinstance(sources, Path) else sources:
        for one in _below(source):
            place = one.resolve() if isinstance(one, Path) else None
            if place in found:
                name = one if isinstance(one, Path) else one.name
                raise InputError("this manifest is named twice", where=str(name), remedy="Name it once.")
            found[place] = one
    return tuple(found.values())


def base_of(source: Source) -> Path:
    """Return the directory at which the relative paths of a manifest begin."""
    return source.parent if isinstance(source, Path) else source.base


def unreadable(path: Path, error: OSError) -> ManifestError:
    """Return the error of a file or directory that cannot be read."""
    return ManifestError([Mistake(str(path), 0, 0, "", f"cannot be read: {error.strerror}")])


def _below(source: Source) -> Iterator[Source]:
    if not isinstance(source, Path) or not source.is_dir():
        yield source
        return
    try:
        files = sorted(file for file in source.iterdir() if file.suffix in {".yaml", ".yml"} and file.name[0] != ".")
    except OSError as error:
        raise unreadable(source, error) from None
    if not files:
        text = "there is no manifest (*.yaml, *.yml) in this directory"
        raise ManifestError([Mistake(str(source), 0, 0, "", text)])
    yield from files
