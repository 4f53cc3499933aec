"""`keyturn smoke`: the smoke-check alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.cli.session import Opened
    from keyturn.core.model import Smoke, SmokeResult, Timing
    from keyturn.core.secret import Secret
    from keyturn.core.world import World
    from keyturn.report.documents import Checked


@click.command("smoke", help="Test the delivered secrets: list the models, and request a tiny completion.")
@options.some_keys
@options.manifest_file
@click.option(
    "--secret",
    type=click.Choice(["stdin"]),
    help="Test a secret from standard input, with the model of KEY. Without KEY, only list the models.",
)
@options.formatted("text", "json")
@options.talking
def command(*, keys: tuple[str, ...], file: str, secret: str | None) -> int:
    """Test all deliveries, or the one secret."""
    from keyturn.cli.session import opened
    from keyturn.core.model import GOOD, Smoke
    from keyturn.report.documents import Checked, SmokeDocument, dump
    from keyturn.report.status import smoke_lines

    if secret and len(keys) > 1:
        raise click.UsageError("--secret stdin tests one secret: use one KEY or none")
    screen = options.screen()
    with opened(screen, file, (), keys) as manifests:
        if secret:
            one = manifests[0]
            smoke = one.entries()[0].smoke if keys else Smoke()
            result = _check(one.world, options.secret_from_stdin(), smoke, one.desired.timing)
            checked = [Checked(keys[0] if keys else "", None, result)]
        else:
            checked = [found for one in manifests for found in _delivered(one)]
    code = 0 if all(found.result.verdict in GOOD for found in checked) else 1
    if screen.format == "json":
        screen.document(dump(SmokeDocument(code, tuple(checked))))
    else:
        screen.result(smoke_lines([(found.key, found.delivery, found.result) for found in checked]))
    return code


def _delivered(one: Opened) -> Iterator[Checked]:
    """Test the secret of each delivery."""
    from keyturn.core.errors import KeyturnError
    from keyturn.core.model import SmokeResult, Verdict
    from keyturn.report.documents import Checked

    for entry in one.entries():
        for delivery in entry.deliveries:
            try:
                held = one.world.read_delivery(delivery).secret
            except KeyturnError as error:
                result = SmokeResult(Verdict.UNREACHABLE, str(error))
            else:
                result = (
                    _check(one.world, held, entry.smoke, entry.timing)
                    if held
                    else SmokeResult(Verdict.REFUSED, "there is no secret")
                )
            yield Checked(entry.id, delivery, result)


def _check(world: World, secret: Secret, smoke: Smoke, timing: Timing) -> SmokeResult:
    from keyturn.engine.smoke import check

    return check(world, secret, smoke, timing, fresh=False)
