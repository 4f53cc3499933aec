"""`keyturn rotate`: rotates keys now."""

from __future__ import annotations

import click

from keyturn.cli import options

COMPROMISED = (
    "These keys are rotated immediately: no preflight, no window, no overlap. When the new secret is created, the old "
    "one dies. Each consumer is refused until it reads the new secret: that is an outage."
)


@click.command("rotate", help="Rotate keys now, regardless of their schedule.")
@options.keys_argument(required=True)
@options.manifests
@click.option("--compromised", is_flag=True, help="The secret has leaked: no overlap, the old one dies immediately.")
@click.option("--reason", default="", metavar="TEXT", help="Reason, for the key's history.")
@options.lock_timeout
@options.yes
@options.formatted("text", "json", "markdown")
@options.talking
def command(
    *, keys: tuple[str, ...], file: tuple[str, ...], compromised: bool, reason: str, lock_timeout: float, yes: bool
) -> int:
    """Rotate."""
    from keyturn.cli.session import Order, change, opened
    from keyturn.core.literals import masked
    from keyturn.core.results import Options

    if masked(reason) != reason:
        raise click.UsageError("--reason holds something that looks like a secret: it would stay in the key's history")
    screen = options.screen()
    asked = Options(rotate=True, compromised=compromised, reason=reason, by=options.person(), lock_timeout=lock_timeout)
    with opened(screen, file, (), keys) as manifests:
        return change(
            screen, manifests, Order(asked, yes=yes, warning=COMPROMISED if compromised else "", command="rotate")
        )
