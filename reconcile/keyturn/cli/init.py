"""`keyturn init`: writes a commented starter manifest."""

from __future__ import annotations

from pathlib import Path

import click

from keyturn.cli import options

STARTER = Path(__file__).with_name("starter.yaml")


@click.command("init", help="Write a commented starter manifest; an existing file is left alone.")
@options.manifest_file
@options.talking
def command(*, file: str) -> int:
    """Write it where there is none."""
    from keyturn.core.errors import InputError

    path = Path(file) / "keyturn.yaml" if Path(file).is_dir() else Path(file)
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(STARTER.read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError("this file is there already and was left alone", where=str(path)) from None
    except OSError as error:
        raise InputError("this file cannot be written", where=str(path), evidence=error.strerror or "") from None
    options.screen().say(f"Wrote {path}. Next: edit it, `keyturn validate`, `keyturn plan`.")
    return 0
