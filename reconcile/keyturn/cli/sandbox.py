"""`keyturn sandbox`: a local DigitalOcean that behaves like the real one."""

from __future__ import annotations

from pathlib import Path

import click

from keyturn.cli import options


@click.command(
    "sandbox", help="Run a local DigitalOcean (control API and inference API on one loopback port) until Ctrl-C."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="Port. 0 means any free port."
)
@click.option("--token", help="Account token to accept. [default: a new one]")
@click.option(
    "--create",
    type=click.Choice(["gone", "allowed"]),
    default="gone",
    show_default=True,
    help="Whether the API creates keys.",
)
@click.option(
    "--propagation", callback=options.seconds, metavar="DURATION", default="0s", help="Time until a new secret works."
)
@click.option("--latency", callback=options.seconds, metavar="DURATION", default="0s", help="Delay before each answer.")
@click.option(
    "--deployment",
    callback=options.seconds,
    metavar="DURATION",
    default="0s",
    help="Time that a deployment of App Platform takes.",
)
@click.option("--hour-limit", type=click.IntRange(min=1), default=5000, show_default=True, help="Requests per hour.")
@click.option("--minute-limit", type=click.IntRange(min=1), default=250, show_default=True, help="Requests per minute.")
@click.option(
    "--secret-prefix",
    type=click.Choice(["sk-do-", "doo_v1_", "mixed"]),
    default="sk-do-",
    show_default=True,
    help="Prefix of secrets. mixed alternates, and a regenerate returns the other one.",
)
@click.option("--tier-denied", multiple=True, metavar="MODEL", help="Listed, but a completion gets 403. Repeatable.")
@click.option("--retired-model", multiple=True, metavar="MODEL", help="Not listed, and gets 404. Repeatable.")
@click.option(
    "--quota",
    type=click.Choice(["ok", "exceeded", "unpaid", "blocked"]),
    default="ok",
    show_default=True,
    help="exceeded, unpaid, blocked: completions get 429, 402, 403.",
)
@click.option(
    "--balance",
    type=click.Choice(["ok", "blocked"]),
    default="ok",
    show_default=True,
    help="blocked: the prepaid balance is used up.",
)
@click.option(
    "--balance-status",
    type=click.Choice(["401", "402", "403"]),
    default="402",
    show_default=True,
    help="Status of completions with a blocked balance.",
)
@click.option("--openai-errors", is_flag=True, help="Inference errors are {error: {…}} instead of {id, message}.")
@click.option("--seed", type=int, help="Create the same uuids and secrets each time.")
@click.option("--keys", type=click.Path(exists=True, dir_okay=False), help="JSON or YAML list of existing keys.")
@options.talking
def command(  # noqa: PLR0913 - each is an option
    *,
    port: int,
    token: str | None,
    create: str,
    propagation: float,
    latency: float,
    deployment: float,
    hour_limit: int,
    minute_limit: int,
    secret_prefix: str,
    tier_denied: tuple[str, ...],
    retired_model: tuple[str, ...],
    quota: str,
    balance: str,
    balance_status: str,
    openai_errors: bool,
    seed: int | None,
    keys: str | None,
) -> int:
    """Serve until a signal."""
    from keyturn.core.errors import InputError, KeyturnError

    try:
        from keyturn.sandbox import Settings, load_keys, serve
    except ImportError as error:
        raise InputError(
            f"the sandbox needs {error.name}", remedy="Install keyturn[sandbox], as its README says."
        ) from None
    screen = options.lasting()
    try:
        settings = Settings(
            create=create,
            propagation=propagation,
            latency=latency,
            deployment=deployment,
            hour_limit=hour_limit,
            minute_limit=minute_limit,
            quota=quota,
            balance=balance,
            balance_status=int(balance_status),
            tier_denied=tier_denied,
            retired=retired_model,
            secret_prefix=secret_prefix,
            openai_errors=openai_errors,
        )
        ready = load_keys(Path(keys)) if keys else ()
        screen.say("The sandbox runs until Ctrl-C. Copy these lines into the shell that runs keyturn:")
        number = serve(
            settings,
            port,
            announce=lambda text: screen.document(f"{text}\n"),
            seed=seed,
            tokens=(token,) if token else (),
            keys=ready,
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    except OSError as error:
        raise KeyturnError(
            "the sandbox cannot listen", where=f"port {port}", evidence=error.strerror or "", remedy="Try `--port 0`."
        ) from None
    return 128 + number
