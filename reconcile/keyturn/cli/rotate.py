"""`keyturn rotate`: rotates keys now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options
from keyturn.core.reasons import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.session import Opened
    from keyturn.core.results import Options

COMPROMISED = (
    "These keys are rotated immediately: no preflight, no window, no overlap. When the new secret is created, the old "
    "one dies. Each consumer is refused until it reads the new secret: that is an outage."
)


@click.command(
    "rotate", help="Rotate keys now, regardless of their schedule: those named, every key, or those in a condition."
)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@options.manifests
@click.option("--all", "every", is_flag=True, help="Rotate every key of the manifest.")
@click.option(
    "--only",
    type=click.Choice([one.value for one in Condition]),
    metavar="CONDITION",
    help="Rotate the keys of which `status --verify` tells this condition, such as refused.",
)
@click.option("--compromised", is_flag=True, help="The secret has leaked: no overlap, the old one dies immediately.")
@click.option("--reason", default="", metavar="TEXT", help="Reason, for the key's history.")
@options.lock_timeout
@options.yes
@options.formatted("text", "json", "markdown")
@options.talking
def command(
    *,
    keys: tuple[str, ...],
    file: str,
    every: bool,
    only: str | None,
    compromised: bool,
    reason: str,
    lock_timeout: float,
    yes: bool,
) -> int:
    """Rotate."""
    from keyturn.cli.session import Order, change, opened, report
    from keyturn.core.literals import masked
    from keyturn.core.results import Options

    if bool(keys) + every + bool(only) != 1:
        raise click.UsageError("name one KEY or more, or use --all, or --only CONDITION: exactly one of the three")
    if masked(reason) != reason:
        raise click.UsageError("--reason holds something that looks like a secret: it would stay in the key's history")
    screen = options.screen()
    asked = Options(rotate=True, compromised=compromised, reason=reason, by=options.person(), lock_timeout=lock_timeout)
    with opened(screen, file, (), keys) as manifests:
        chosen = _in_condition(manifests, only) if only else manifests
        if not keys:
            _permitted(chosen, asked)
        if only and not chosen:
            screen.say(f"No key is in the condition {only}.")
            return report(screen, ())
        return change(screen, chosen, Order(asked, yes=yes, warning=COMPROMISED if compromised else ""))


def _in_condition(manifests: Sequence[Opened], condition: str) -> tuple[Opened, ...]:
    """Return the manifests that have keys in this condition, each with these keys. Deliveries and secrets are read."""
    from dataclasses import replace

    from keyturn.core.results import Options

    chosen = []
    for one in manifests:
        present = {key.id for key in one.desired.keys if not key.absent}
        found = one.runner.status((), Options(verify=True)).keys
        wanted = tuple(
            key.key for key in found if key.key in present and any(end.condition == condition for end in key.every)
        )
        if wanted:
            chosen.append(replace(one, keys=wanted))
    return tuple(chosen)


def _permitted(manifests: Sequence[Opened], asked: Options) -> None:
    """Raise OwnershipError if a policy does not allow as many rotations per run: all of these keys, or none.

    Keys that an operator names one by one are not counted.
    """
    from keyturn.core.brakes import NONE_ALLOWED, Limits
    from keyturn.engine.worklist import check_permitted

    for one in manifests:
        count = sum(not key.absent for key in one.entries())
        check_permitted(one.desired.permit, asked, Limits.under(one.desired, count, 0, NONE_ALLOWED))
