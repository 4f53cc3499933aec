"""`keyturn policy`: the operator's policy, which says what manifests may do."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from keyturn.cli import options
from keyturn.cli.root import HELP


@click.group("policy", help="The operator's policy: what manifests may do.", context_settings=HELP)
def command() -> None:
    """Group the commands about policies."""


@command.command("init", help="Print a policy that allows exactly what the manifest does now.", context_settings=HELP)
@options.manifest_files
@click.option("--out", type=click.Path(dir_okay=False), help="Write it to this new file.")
@options.talking
def init(*, file: tuple[str, ...], out: str | None) -> int:
    """Load the manifests and draft a policy for their owners."""
    from keyturn.cli.files import sources
    from keyturn.core.errors import ManifestError
    from keyturn.manifest import check_all, draft

    checked = check_all(sources(file), os.environ)
    text = draft(checked.manifests)
    if "${" in text:  # a policy has values, not variables
        raise ManifestError(checked.unsure)
    if out is None:
        options.screen().document(text)
        return 0
    _write_new(Path(out), text)
    options.screen().say(
        f"Wrote {out}. Next: keep it where no manifest's author can change it, then: "
        f"export KEYTURN_POLICY={shlex.quote(str(Path(out).absolute()))}"
    )
    return 0


def _write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet: an existing file or symbolic link is not changed."""
    from keyturn.core.errors import InputError

    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise InputError("this file already exists and was not changed", where=str(path)) from None
    except OSError as error:
        raise InputError("this file cannot be written", where=str(path), evidence=error.strerror or "") from None
