"""`keyturn completion`: the script that lets a shell complete commands, options and the manifest's keys."""

from __future__ import annotations

import click

from keyturn.cli import options

VARIABLE = "_KEYTURN_COMPLETE"


@click.command("completion", help="Print the completion script of a shell: commands, options and the manifest's keys.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.talking
def command(*, shell: str) -> int:
    """Print click's script."""
    from click.shell_completion import get_completion_class

    from keyturn.cli import main

    found = get_completion_class(shell)
    assert found is not None  # noqa: S101 - click has all three
    options.screen().document(found(main, {}, "keyturn", VARIABLE).source() + "\n")
    return 0
