"""`keyturn forget`: stops managing keys that have no entry any more, and leaves everything alive."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from keyturn.cli.console import Screen
    from keyturn.cli.session import Opened

WARNING = (
    "From then on nothing rotates, retires or repairs these keys. Their API keys and delivered secrets stay as they "
    "are, and any manifest may adopt the API keys."
)


@click.command(
    "forget",
    help="Stop managing keys whose entry was removed. Their records and claims are released; API keys, names and "
    "delivered secrets stay as they are.",
)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@options.manifests
@click.option("--leave-old-secret", is_flag=True, help="Also if an old secret still works that was to be retired.")
@click.option("--reason", default="", metavar="TEXT", help="Reason, for the key's history.")
@options.lock_timeout
@options.yes
@options.formatted("text", "json", "markdown")
@options.talking
def command(
    *, keys: tuple[str, ...], file: tuple[str, ...], leave_old_secret: bool, reason: str, lock_timeout: float, yes: bool
) -> int:
    """Forget."""
    from keyturn.cli.files import named
    from keyturn.cli.session import Order, change, opened
    from keyturn.core.literals import masked
    from keyturn.core.results import Options

    if masked(reason) != reason:
        raise click.UsageError("--reason holds something that looks like a secret: it would stay in the key's history")
    screen = options.screen()
    asked = Options(
        forget=True, leave_old=leave_old_secret, reason=reason, by=options.person(), lock_timeout=lock_timeout
    )
    with opened(screen, file) as manifests:
        released = tuple(_released(screen, manifests, keys, named(file)))
        return change(screen, released, Order(asked, yes=yes, warning=WARNING, command="forget"))


def _released(screen: Screen, manifests: Sequence[Opened], keys: Sequence[str], where: str) -> Iterator[Opened]:
    """Yield each manifest that owns records of these keys, with an entry for each that only releases it.

    Raises InputError for a key with an entry or without a record, OwnershipError for a record of another owner.
    """
    from dataclasses import replace

    from keyturn.core.errors import InputError
    from keyturn.engine.executor import released_key
    from keyturn.engine.runner import Runner

    entries = {key.id for one in manifests for key in one.desired.keys}
    if kept := [key for key in keys if key in entries]:
        remedy = f"Remove the entry, then run `keyturn forget {kept[0]}` again."
        raise InputError(f"the key {kept[0]!r} has an entry in the manifest", where=where, remedy=remedy)
    owners = _owners(manifests, dict.fromkeys(keys))
    for number, one in enumerate(manifests):
        mine = tuple(key for key, owner in owners.items() if owner == number)
        if mine:
            released = tuple(released_key(one.desired, key) for key in mine)
            desired = replace(one.desired, keys=released)
            yield replace(one, desired=desired, runner=Runner(one.world, desired, screen.progress), keys=mine)


def _owners(manifests: Sequence[Opened], keys: Iterable[str]) -> dict[str, int]:
    """Return which manifest owns the record of each key, by its number."""
    from keyturn.core.errors import InputError, OwnershipError

    stored = [frozenset(one.world.list_records()) for one in manifests]
    found: dict[str, int] = {}
    for key in keys:
        records = {n: one.world.read_record(key).record for n, one in enumerate(manifests) if key in stored[n]}
        mine = [n for n, record in records.items() if record and record.owner == manifests[n].desired.owner]
        theirs = next((record.owner for record in records.values() if record), "")
        if mine:
            found[key] = mine[0]
        elif theirs:
            raise OwnershipError(
                f"the record of {key!r} belongs to {theirs!r}",
                evidence=f"the manifest is of {', '.join(repr(one.desired.owner) for one in manifests)}",
                remedy="Nothing was done. Its owner can forget it, with its own manifest.",
            )
        else:
            near = difflib.get_close_matches(key, frozenset().union(*stored), n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else "`keyturn history --all` shows every record."
            raise InputError(f"there is no record of a key {key!r}", remedy=remedy)
    return found
