"""`keyturn validate`: checks the manifest offline."""

from __future__ import annotations

import os

import click

from keyturn.cli import options


@click.command("validate", help="Check the manifest offline, and report all mistakes at once, each with its position.")
@options.manifests
@options.talking
def command(*, file: tuple[str, ...]) -> int:
    """Load the manifest, and report its size and any missing environment."""
    from keyturn.cli.files import sources
    from keyturn.cli.session import policy_of
    from keyturn.manifest import check_all
    from keyturn.report.lines import count, line

    checked = check_all(sources(file), os.environ, policy=policy_of(options.screen()))
    if checked.unsure:
        options.screen().say("The environment lacks settings that `plan` and `apply` need:")
    for mistake in checked.unsure:
        options.screen().say(f"  {mistake}")
    for desired in checked.manifests:
        what = f"{count(len(desired.keys), 'key')}, {count(len(desired.targets), 'target')}"
        options.screen().result([line(f"{desired.owner}: {what}. OK.")])
    return 0
