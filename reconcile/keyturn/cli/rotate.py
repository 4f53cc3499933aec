"""`keyturn rotate`: rotates keys now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options
from keyturn.core.reasons import Condition, mixed

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from keyturn.cli.console import Screen
    from keyturn.cli.session import Opened
    from keyturn.core.results import Options

COMPROMISED = (
    "These keys are rotated immediately: no preflight, no window, no overlap. The old secret of an in-place key dies "
    "when the new one is created, that of an alternating key once the new one was delivered or could not be. Each "
    "consumer is refused until it reads the new secret: that is an outage."
)
UNKNOWN = frozenset({Condition.UNKNOWN, Condition.LOGIN_REFUSED})
"""What is told of a key that could not be looked at."""


@click.command(
    "rotate", help="Rotate keys now, regardless of their schedule: those named, every key, or those in a condition."
)
@options.some_keys
@options.manifests
@click.option("--all", "every", is_flag=True, help="Rotate every key of the manifest.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([one.value for one in Condition]),
    metavar="CONDITION",
    help="Rotate the keys that `status --verify` shows in this condition, such as refused; repeat it for more.",
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
    file: tuple[str, ...],
    every: bool,
    only: tuple[str, ...],
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
        chosen, unseen = _in_condition(screen, manifests, only) if only else (manifests, 0)
        if not keys:
            _permitted(chosen, asked)
        order = Order(asked, yes=yes, warning=COMPROMISED if compromised else "", command="rotate")
        if only and not chosen:
            screen.say(f"No key is in the condition {' or '.join(only)}, as far as is known.")
        return mixed((change(screen, chosen, order) if chosen else report(screen, ()), unseen))


def _in_condition(screen: Screen, manifests: Sequence[Opened], only: Collection[str]) -> tuple[tuple[Opened, ...], int]:
    """Return the manifests that have keys in these conditions, each with these keys; and an exit code.

    Deliveries are read and secrets are tried. The exit code is that of keys whose condition is not known: they are
    told, because they may be meant.
    """
    from dataclasses import replace

    from keyturn.core.results import Options

    chosen, codes = [], [0]
    for one in manifests:
        present = {key.id for key in one.desired.keys if not key.absent}
        run = one.runner.status((), Options(verify=True))
        found = [key for key in run.keys if key.key in present]
        wanted = tuple(key.key for key in found if key.condition in only)
        if wanted:
            chosen.append(replace(one, keys=wanted))
        unknown = [key for key in found if key.condition in UNKNOWN and key.key not in wanted]
        if unknown:
            names = ", ".join(key.key for key in unknown)
            screen.error(f"The condition of {names} is not known, so they are left out: {unknown[0].why}")
        if run.stop:
            screen.error(f"The whole run stops: {run.stopped}")
        codes += [*(key.exit_code for key in unknown), run.stop.exit_code if run.stop else 0]
    return tuple(chosen), mixed(codes)


def _permitted(manifests: Sequence[Opened], asked: Options) -> None:
    """Raise OwnershipError if a policy does not allow as many rotations per run: all of these keys, or none.

    Keys that an operator names one by one are not counted.
    """
    from keyturn.core.limits import NONE_ALLOWED, Limits
    from keyturn.engine.worklist import check_permitted

    for one in manifests:
        count = sum(not key.absent for key in one.entries())
        check_permitted(one.desired.permit, asked, Limits.under(one.desired, count, 0, NONE_ALLOWED))
