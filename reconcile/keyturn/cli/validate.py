"""`keyturn validate`: checks the manifest, offline."""

from __future__ import annotations

import click

from keyturn.cli import options


@click.command("validate", help="Check the manifest, offline: every mistake at once, each with its place.")
@options.manifest_file
@options.talking
def command(*, file: str) -> int:
    """Load it and say what it has."""
    from keyturn.cli.work import loaded
    from keyturn.report.lines import count, line

    for path, desired in loaded(file):
        what = f"{count(len(desired.keys), 'key')}, {count(len(desired.targets), 'target')}"
        options.screen().result([line(f"{path}: {desired.owner}: {what}. OK.")])
    return 0
