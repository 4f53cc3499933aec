"""`keyturn history`: the events of one key."""

from __future__ import annotations

import click

from keyturn.cli import options


@click.command("history", help="Show the history of a key: its last 20 events.")
@click.argument("key")
@options.manifest_file
@options.formatted("text", "json")
@options.talking
def command(*, key: str, file: str) -> int:
    """Read the record and show its events."""
    from keyturn.cli.session import opened
    from keyturn.core.errors import KeyturnError
    from keyturn.report.documents import HistoryDocument, dump
    from keyturn.report.status import history_lines

    screen = options.screen()
    with opened(screen, file, (), (key,)) as manifests:
        record = manifests[0].world.read_record(key).record
    if record is None:
        raise KeyturnError("this key has no history yet", where=key, remedy="The first `keyturn apply` starts it.")
    if screen.format == "json":
        screen.document(dump(HistoryDocument(key, record.owner, record.generation, record.history)))
    else:
        screen.result(history_lines(record.history))
    return 0
