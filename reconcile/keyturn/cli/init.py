"""`keyturn init`: creates a commented starter manifest."""

from __future__ import annotations

from pathlib import Path

import click

from keyturn.cli import options

STARTER = Path(__file__).with_name("starter.yaml")


@click.command("init", help="Create a commented starter manifest. An existing file is not changed.")
@options.manifest_file
@options.talking
def command(*, file: str) -> int:
    """Write it unless the file exists."""
    from keyturn.core.errors import InputError

    path = Path(file) / "keyturn.yaml" if Path(file).is_dir() else Path(file)
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError("this file already exists and was not changed", where=str(path)) from None
    except OSError as error:
        raise InputError("this file cannot be written", where=str(path), evidence=error.strerror or "") from None
    options.screen().say(f"Wrote {path}. Next: edit it, `keyturn validate`, `keyturn plan`.")
    return 0
