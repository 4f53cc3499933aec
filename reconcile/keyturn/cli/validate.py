"""`keyturn validate`: checks the manifest offline. It needs no environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.core.errors import Mistake
    from keyturn.core.model import Desired


@click.command("validate", help="Check the manifest offline, and report all mistakes at once, each with its position.")
@options.manifests
@options.formatted("text", "json")
@options.talking
def command(*, file: tuple[str, ...]) -> int:
    """Load the manifest, and report its size and any missing environment."""
    from keyturn.cli.files import policy_of, sources
    from keyturn.core.errors import ManifestError, PolicyError
    from keyturn.manifest import check_all
    from keyturn.report.lines import count, line

    screen = options.screen()
    try:
        checked = check_all(sources(file), os.environ, policy=policy_of(screen))
    except ManifestError as error:
        if screen.format != "json":
            raise
        return _document(error.exit_code, mistakes=error.mistakes)
    except PolicyError as error:
        if screen.format != "json":
            raise
        return _document(error.exit_code, violations=error.violations)
    if screen.format == "json":
        return _document(0, checked.manifests, unsure=checked.unsure)
    if checked.unsure:
        screen.say("This environment lacks settings that the manifest needs:")
    for mistake in checked.unsure:
        screen.say(f"  {mistake}")
    for desired in checked.manifests:
        what = f"{count(len(desired.keys), 'key')}, {count(len(desired.targets), 'target')}"
        screen.result([line(f"{desired.owner}: {what}. OK.")], calm=True)
    return 0


def _document(
    code: int,
    manifests: Sequence[Desired] = (),
    *,
    mistakes: Sequence[Mistake] = (),
    violations: Sequence[Mistake] = (),
    unsure: Sequence[Mistake] = (),
) -> int:
    """Show the document, and return its exit code."""
    from keyturn.report.documents import dump
    from keyturn.report.set_up import ValidationDocument, ValidManifest

    valid = tuple(ValidManifest(one.owner, len(one.keys), len(one.targets)) for one in manifests)
    document = ValidationDocument(code, valid, tuple(mistakes), tuple(violations), tuple(unsure))
    options.screen().document(dump(document))
    return code
