"""`keyturn smoke`: the smoke-check alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.cli.session import Opened
    from keyturn.core.model import Smoke, SmokeResult, Timing
    from keyturn.core.results import End, KeyStatus
    from keyturn.core.secret import Secret
    from keyturn.core.world import World
    from keyturn.report.documents import Checked

EMPTY = "it holds no secret"
UNREADABLE = "its target shows no value, so nothing can be tried"
UNREAD = "it could not be read"
UNTRIED = (EMPTY, UNREAD)
"""How the details begin where nothing could be tried, which is a failure all the same."""


@click.command("smoke", help="Test the delivered secrets: list the models, and request a tiny completion.")
@options.some_keys
@options.manifests
@click.option(
    "--secret",
    type=click.Choice(["stdin"]),
    help="Test a secret from standard input, with the model of KEY. Without KEY, only list the models.",
)
@options.formatted("text", "json")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], secret: str | None) -> int:
    """Test all deliveries, or the one secret."""
    from keyturn.cli.files import no_secret_beside
    from keyturn.cli.session import opened
    from keyturn.core.model import GOOD, Smoke
    from keyturn.core.reasons import mixed
    from keyturn.core.results import Options
    from keyturn.report.documents import Checked, SmokeDocument, dump
    from keyturn.report.status import smoke_lines

    no_secret_beside(file, secret)
    if secret and len(keys) > 1:
        raise click.UsageError("--secret stdin tests one secret: use one KEY or none")
    screen = options.screen()
    found: list[KeyStatus] = []
    stopped: list[End] = []
    with opened(screen, file, (), keys) as manifests:
        if secret:
            one = manifests[0]
            smoke = one.entries()[0].smoke if keys else Smoke()
            result = _check(one.world, options.key_from_stdin(one.world), smoke, one.desired.timing)
            checked = [Checked(keys[0] if keys else "", None, result)]
            code = 0 if result.verdict in GOOD else 1
        else:
            runs = [(one, one.runner.status(one.keys, Options(verify=True))) for one in manifests]
            checked = [each for one, run in runs for each in _delivered(one, run.keys)]
            found = [key for _, run in runs for key in run.keys if key.name]
            unlike = [
                int(each.result.verdict not in GOOD or each.result.detail.startswith(UNTRIED)) for each in checked
            ]
            stopped = [run.stop for _, run in runs if run.stop]
            code = mixed([*(run.exit_code for _, run in runs), *unlike])
    if screen.format == "json":
        screen.document(dump(SmokeDocument(code, tuple(checked), tuple(found))))
    else:
        tried = [(each.key, each.delivery, each.result) for each in checked]
        screen.result(smoke_lines(tried, found, stopped), calm=code == 0)
    return code


def _delivered(one: Opened, known: Sequence[KeyStatus]) -> Iterator[Checked]:
    """Return what each delivery of the entries came to; what the status did not try is tried now."""
    from keyturn.core.errors import KeyturnError
    from keyturn.core.model import SmokeResult, Verdict
    from keyturn.report.documents import Checked

    statuses = {key.key: key for key in known}
    for entry in one.entries():
        results = dict(statuses[entry.id].results)
        for delivery in () if entry.absent else entry.deliveries:
            if result := results.get(delivery):
                yield Checked(entry.id, delivery, result)
                continue
            try:
                found = one.world.read_delivery(delivery)
            except KeyturnError as error:
                told = any(str(error) in end.why for end in statuses[entry.id].every)
                result = SmokeResult(Verdict.SKIPPED, UNREAD if told else f"{UNREAD}: {error}")
            else:
                held = found.secret
                if found.marked:
                    result = SmokeResult(Verdict.SKIPPED, UNREADABLE)
                elif held is None:
                    result = SmokeResult(Verdict.SKIPPED, EMPTY)
                elif not _own(one, entry.id, held):  # it may be a password of another system
                    result = SmokeResult(Verdict.SKIPPED, "the value is not a secret of this key, so it is not tried")
                else:
                    result = _check(one.world, held, entry.smoke, entry.timing)
            yield Checked(entry.id, delivery, result)


def _own(one: Opened, key: str, held: Secret) -> bool:
    """Tell whether a value is a secret of this key, now or earlier; without a record, whether it looks like one."""
    from keyturn.core.errors import KeyturnError
    from keyturn.core.secret import looks_like_key

    try:
        record = one.world.read_record(key).record
    except KeyturnError:
        return False
    if record is None or record.deleted_at:
        return looks_like_key(held, one.world.key_prefixes())
    return held.digest(record.digest_key) in record.digests


def _check(world: World, secret: Secret, smoke: Smoke, timing: Timing) -> SmokeResult:
    from keyturn.engine.smoke import check

    return check(world, secret, smoke, timing, fresh=False)
