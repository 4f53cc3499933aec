"""`keyturn history`: the events of keys, and why they happened."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from keyturn.cli.session import Opened
    from keyturn.core.model import Event
    from keyturn.core.record import Record


@click.command("history", help="Show what happened to a key and why: its last 20 events.")
@options.some_keys
@options.manifests
@click.option("--all", "every", is_flag=True, help="Every key of the manifest's records, also those without an entry.")
@click.option("--since", default="", help="Only events of the last TIME, such as 30d or 12h.", metavar="TIME")
@options.formatted("text", "json")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], every: bool, since: str) -> int:
    """Read the records and show their events."""
    from datetime import UTC, datetime

    from keyturn.cli.session import opened
    from keyturn.core.errors import KeyturnError
    from keyturn.report.documents import HistoriesDocument, HistoryDocument, KeyHistory, dump
    from keyturn.report.history import histories_lines, history_lines

    if every == bool(keys):
        raise click.UsageError("name one KEY or more, or say --all")
    screen = options.screen()
    now = datetime.now(UTC)
    first = now - _length(since) if since else None
    with opened(screen, file) as manifests:
        records = list(_records(manifests, keys))
    if len(keys) == 1 and not records:
        raise KeyturnError("this key has no history yet", where=keys[0], remedy="`keyturn apply` starts it.")
    found = [
        KeyHistory(record.key, record.owner, record.generation, _late(record, first))
        for record in sorted(records, key=lambda record: record.key)
    ]
    if len(keys) == 1:
        (one,) = found
        if screen.format == "json":
            screen.document(dump(HistoryDocument(one.key, one.owner, one.generation, one.events)))
        else:
            screen.result(history_lines(one.events), calm=True)
    elif screen.format == "json":
        screen.document(dump(HistoriesDocument(now, tuple(found), first)))
    else:
        screen.result(histories_lines((one.key, event) for one in found for event in one.events), calm=True)
    return 0


def _records(manifests: Sequence[Opened], keys: Sequence[str]) -> Iterator[Record]:
    """Yield the records of these keys, or every record of these owners; raises InputError for an unknown key.

    A key with an entry is read by itself; only other names, and `--all`, need a list of the records.
    """
    from keyturn.core.errors import InputError

    known, left = set[str](), set(keys)
    for one in manifests:
        entries = {key.id for key in one.desired.keys}
        known |= entries
        for key in sorted(left & entries):
            if record := one.world.read_record(key).record:
                yield record
        left -= entries
    for one in manifests if left or not keys else ():
        stored = set(one.world.list_records())
        known |= stored
        for key in sorted(stored & left if keys else stored):
            record = one.world.read_record(key).record
            if record is not None and (keys or record.owner == one.desired.owner):
                left.discard(key)
                yield record
    if left:
        near = difflib.get_close_matches(min(left), known, n=1)
        remedy = f"Did you mean {near[0]!r}?" if near else "`--all` shows every record."
        raise InputError(f"there is no key and no record called {min(left)!r}", remedy=remedy)


def _late(record: Record, first: datetime | None) -> tuple[Event, ...]:
    return tuple(event for event in record.history if first is None or event.at >= first)


def _length(text: str) -> timedelta:
    from keyturn.manifest.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(f"--since {error}") from None
