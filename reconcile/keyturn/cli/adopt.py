"""`keyturn adopt`: takes over an existing API key."""

from __future__ import annotations

import click

from keyturn.cli import options

SLOTS = 2


@click.command("adopt", help="Take over the existing API key of a manifest's entry.")
@options.key_argument
@options.manifests
@click.option(
    "--uuid", "uuids", multiple=True, metavar="UUID", help="UUID of the API key. Give it twice for slots a and b."
)
@click.option("--live", type=click.Choice(["a", "b"]), help="Slot to which the current secret belongs.")
@click.option(
    "--secret",
    type=click.Choice(["existing", "regenerate", "stdin"]),
    help="Keep the delivered secret, create a new one, or read the current one from standard input, in a pipe "
    "together with --yes. [default: the manifest's]",
)
@options.take_over
@options.lock_timeout
@options.yes
@options.formatted("text", "json", "markdown")
@options.talking
def command(
    *,
    key: str,
    file: tuple[str, ...],
    uuids: tuple[str, ...],
    live: str | None,
    secret: str | None,
    take_over: bool,
    lock_timeout: float,
    yes: bool,
) -> int:
    """Adopt."""
    from keyturn.cli.files import no_secret_beside
    from keyturn.cli.session import Order, change, opened
    from keyturn.core.model import Adopt, AdoptSecret, SlotName
    from keyturn.core.results import Options

    no_secret_beside(file, secret)
    if len(uuids) > SLOTS:
        raise click.UsageError("a key has at most two slots: use --uuid once or twice")
    screen = options.screen()
    with opened(screen, file, (), (key,)) as manifests:
        entry = manifests[0].entries()[0]
        if secret is None and entry.adopt is None:
            raise click.UsageError(
                f"the manifest has no `adopt:` for {key}: add --secret existing, regenerate or stdin"
            )
        before = entry.adopt or Adopt(AdoptSecret.EXISTING)
        kind = {None: before.secret, "regenerate": AdoptSecret.REGENERATE}.get(secret, AdoptSecret.EXISTING)
        a, b = (*uuids, "", "")[:SLOTS] if uuids else (before.a, before.b)
        asked = Options(
            adopt=Adopt(kind, a, b, SlotName(live) if live else before.live),
            confirmed=True,
            secret=options.key_from_stdin(manifests[0].world) if secret == "stdin" else None,
            take_over=take_over,
            same_team=take_over,
            by=options.person(),
            lock_timeout=lock_timeout,
        )
        return change(screen, manifests, Order(asked, yes=yes, given=secret == "stdin", command="adopt"))
