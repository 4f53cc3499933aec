"""`keyturn status`: the condition of every key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options
from keyturn.core.reasons import STATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.console import Screen
    from keyturn.cli.session import Opened
    from keyturn.core.model import ApiKey
    from keyturn.core.results import KeyStatus
    from keyturn.report.documents import StatusDocument


@click.command("status", help="Show the condition of each key, the worst first, and what to do next.")
@options.some_keys
@options.manifests
@click.option("--all", "every", is_flag=True, help="Also list API keys of the account that no manifest owns.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(STATES),
    metavar="CONDITION",
    help="Show keys of this condition only; repeat it for more. The exit code is that of what is shown. Conditions: "
    f"{', '.join(STATES)}.",
)
@options.verify
@options.formatted("text", "json", "markdown", "html", "openmetrics")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], every: bool, only: tuple[str, ...], verify: bool) -> int:
    """Read and show."""
    from datetime import UTC, datetime

    from keyturn.cli.session import opened
    from keyturn.core.results import Options
    from keyturn.report.overview import status_document

    screen = options.screen()
    with opened(screen, file, (), keys) as manifests:
        runs = [one.runner.status(one.keys, Options(verify=verify, by=options.person())) for one in manifests]
        found = tuple(key for run in runs for key in run.keys)
        unowned = _unowned(manifests, found) if every else None
        waiting = [text for one in manifests for text in one.notices.waiting()]
    document = status_document(runs, datetime.now(UTC), unowned, only)
    _show(screen, document)
    for text in waiting:
        screen.say(text)
    return document.exit_code


def _show(screen: Screen, document: StatusDocument) -> None:
    """Show the document in the chosen format."""
    match screen.format:
        case "json":
            from keyturn.report.documents import dump

            screen.document(dump(document))
        case "markdown":
            from keyturn.report.status_markdown import status_markdown

            screen.document(status_markdown(document))
        case "html":
            from keyturn.report.html import status_html

            screen.document(status_html(document))
        case "openmetrics":
            from keyturn.report.openmetrics import status_openmetrics

            screen.document(status_openmetrics(document))
        case _:
            from keyturn.report.overview import needing_someone
            from keyturn.report.status import status_lines

            told = needing_someone(document) if screen.quiet else document
            screen.result(status_lines(told, _width()), calm=document.exit_code == 0)


def _width() -> int | None:
    """Return the columns of the terminal; None if stdout is a pipe or a file, where no line is folded."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _unowned(manifests: Sequence[Opened], found: Sequence[KeyStatus]) -> tuple[ApiKey, ...]:
    """Return the account's API keys that serve none of `found` and have no claim in any manifest's records."""
    ours = {uuid for key in found for _, uuid in key.uuids}
    keys = {key.uuid: key for one in manifests for key in one.world.list_keys() if not key.deleted_at}
    return tuple(
        key
        for uuid, key in keys.items()
        if uuid not in ours
        and not any((claim := one.world.read_claim(uuid).claim) and not claim.released_at for one in manifests)
    )
