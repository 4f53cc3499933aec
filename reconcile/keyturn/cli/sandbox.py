"""`keyturn sandbox`: a local DigitalOcean that behaves like the real one."""

from __future__ import annotations

from pathlib import Path

import click

from keyturn.cli import options


@click.command(
    "sandbox", help="Run a local DigitalOcean (control and inference API on one loopback port) until Ctrl-C."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0: any free one.")
@click.option("--token", help="The account token that it accepts. [default: a new one]")
@click.option(
    "--create", type=click.Choice(["gone", "allowed"]), default="gone", show_default=True, help="POST of keys."
)
@click.option("--propagation", callback=options.seconds, metavar="DURATION", default="0s", help="Until a secret works.")
@click.option("--latency", callback=options.seconds, metavar="DURATION", default="0s", help="Before every answer.")
@click.option("--hour-limit", type=click.IntRange(min=1), default=5000, show_default=True, help="Requests an hour.")
@click.option("--minute-limit", type=click.IntRange(min=1), default=250, show_default=True, help="Requests a minute.")
@click.option("--seed", type=int, help="Make the same uuids and secrets each time.")
@click.option("--keys", type=click.Path(exists=True, dir_okay=False), help="A JSON or YAML list of ready-made keys.")
@options.talking
def command(  # noqa: PLR0913 - each is an option
    *,
    port: int,
    token: str | None,
    create: str,
    propagation: float,
    latency: float,
    hour_limit: int,
    minute_limit: int,
    seed: int | None,
    keys: str | None,
) -> int:
    """Serve until a signal."""
    from keyturn.errors import InputError, KeyturnError

    try:
        from keyturn.sandbox import Settings, load_keys, serve
    except ImportError as error:
        raise InputError(
            f"the sandbox needs {error.name}", remedy="Install it with `pip install 'keyturn[sandbox]'`."
        ) from None
    screen = options.screen()
    settings = Settings(
        create=create,
        propagation=propagation,
        latency=latency,
        hour_limit=hour_limit,
        minute_limit=minute_limit,
    )
    try:
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
