"""Completes the names of keys from the manifest: no server, no environment, no validation, and no word on an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

LARGEST: Final = 1024 * 1024
"""Bytes of a manifest that is looked into."""
DEEPEST: Final = 24
"""No manifest is nested deeper; the parser gets slow where one is."""
MOST_FILES: Final = 100
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A key of a manifest."""


def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the keys of the manifest that begin with what was typed, without those that are on the line already."""
    with suppress(Exception):  # a Tab key has no place for messages
        files = ctx.params.get("file") or ["keyturn.yaml"]
        typed = ctx.params.get("keys") or ()
        found = dict.fromkeys(name for file in files for name in _names(Path(file)))
        # A shell puts a name into the command line as it is: only what a manifest may have as a key is offered.
        return [name for name in found if ID.fullmatch(name) and name.startswith(incomplete) and name not in typed]
    return []


def _names(path: Path) -> Iterator[str]:
    files: Sequence[Path] = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"} and file.name[0] != ".")
    for file in files[:MOST_FILES]:
        if file.is_file() and file.stat().st_size <= LARGEST:
            with suppress(Exception):  # the other files may be right
                yield from _keys(file.read_bytes())


def _keys(source: bytes) -> list[str]:
    """Return the keys of the mapping `keys` at the top of a YAML document; what stands below is not built."""
    import yaml

    events = yaml.parse(source, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    depth, at_name, field, found = 0, True, "", list[str]()
    for event in events:
        if depth > DEEPEST:
            break
        if depth in {1, 2} and isinstance(event, yaml.ScalarEvent) and at_name:
            if depth == 1:
                field = event.value
            elif field == "keys":
                found.append(event.value)
        if isinstance(event, yaml.CollectionStartEvent):
            depth, at_name = depth + 1, True
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            depth, at_name = depth - 1, True
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            at_name = not at_name
    return found
