"""`keyturn status`: the condition of every key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.session import Opened
    from keyturn.core.model import ApiKey
    from keyturn.core.results import KeyStatus


@click.command("status", help="Show each key with its live slot, age, next rotation and condition.")
@options.some_keys
@options.manifests
@click.option("--all", "every", is_flag=True, help="Also list API keys of the account that no manifest owns.")
@options.verify
@options.formatted("text", "json")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], every: bool, verify: bool) -> int:
    """Read and show."""
    from datetime import UTC, datetime

    from keyturn.cli.session import opened
    from keyturn.core.reasons import mixed
    from keyturn.core.results import Options
    from keyturn.report.documents import StatusDocument, dump
    from keyturn.report.status import status_lines

    screen = options.screen()
    with opened(screen, file, (), keys) as manifests:
        runs = [one.runner.status(one.keys, Options(verify=verify)) for one in manifests]
        found = tuple(key for run in runs for key in run.keys)
        unowned = _unowned(manifests, found) if every else None
    now = datetime.now(UTC)
    code = mixed(run.exit_code for run in runs)
    pools = tuple(pool for run in runs for pool in run.pools)
    stopped = tuple(run.stop for run in runs if run.stop)
    if screen.format == "json":
        screen.document(dump(StatusDocument(now, code, found, unowned, pools, tuple(end.why for end in stopped))))
    else:
        screen.result(status_lines(found, now, unowned, pools, stopped))
    return code


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
