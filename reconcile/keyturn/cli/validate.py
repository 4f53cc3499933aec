"""`keyturn validate`: checks the manifest, offline."""

from __future__ import annotations

import os
from pathlib import Path

import click

from keyturn.cli import options


@click.command("validate", help="Check the manifest, offline: every mistake at once, each with its place.")
@options.manifest_file
@options.talking
def command(*, file: str) -> int:
    """Load it and say what it has."""
    from keyturn.manifest import load_all
    from keyturn.report.lines import count, line

    for desired in load_all(Path(file), os.environ):
        what = f"{count(len(desired.keys), 'key')}, {count(len(desired.targets), 'target')}"
        options.screen().result([line(f"{desired.owner}: {what}. OK.")])
    return 0
