"""`keyturn run`: applies what is due, when it is due, until a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from keyturn.cli.listener import Address

LONGEST = 24 * 3600.0


def _interval(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Return the interval in seconds. A click callback."""
    found = options.seconds(ctx, param, value)
    if not 1.0 <= found <= LONGEST:
        raise click.BadParameter("must be between 1s and 24h")
    return found


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Address | None:
    """Return the address to listen on. A click callback."""
    if value is None:
        return None
    try:
        from keyturn.cli.listener import parse_address
    except ImportError:
        from keyturn.core.errors import InputError

        raise InputError("--listen needs the extra `run`", remedy="Install keyturn[run].") from None
    try:
        return parse_address(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}") from None


def listen_option(text: str) -> options.Command:
    """Return the option `--listen`."""
    return click.option("--listen", metavar="HOST:PORT", callback=_address, help=text)


@click.command(
    "run",
    help="Apply what is due at the moment when it is due, without confirmation, and look at all keys at intervals. "
    "Runs until SIGTERM or SIGINT; then it finishes the delivery under way.",
)
@options.manifest_file
@options.policy_file
@click.option(
    "--every",
    default="10m",
    show_default=True,
    metavar="DURATION",
    callback=_interval,
    help="Interval of looks at all keys, for drift and for API keys that an operator created.",
)
@listen_option("Serve /healthz, /metrics and / here, such as 127.0.0.1:9464. Default: do not listen.")
@options.verify
@options.lock_timeout
@options.talking
def command(*, file: str, every: float, listen: Address | None, verify: bool, lock_timeout: float) -> int:
    """Look and wait in turn."""
    from contextlib import ExitStack
    from datetime import timedelta

    from keyturn.cli.running import FileWork, pages
    from keyturn.core.results import Options
    from keyturn.engine.loop import Loop
    from keyturn.engine.signals import Signals

    screen = options.lasting()
    screen.log()
    asked = Options(verify=verify, by=options.person(), lock_timeout=lock_timeout)
    with Signals() as signals, ExitStack() as stack:
        work = stack.enter_context(FileWork(screen, file, asked, signals))
        loop = Loop(work, timedelta(seconds=every))
        if listen is not None:
            from keyturn.cli.listener import Listener

            listener = stack.enter_context(Listener(pages(loop, work.now), listen))
            screen.say(f"Serves {listener.url}, {listener.url}healthz and {listener.url}metrics.")
            if not listen.loopback:
                screen.error("Anyone who reaches this address can read the names and conditions of the keys.")
        loop.run()
        screen.say("Stopped. What was under way is finished, or in the records: the next run continues it.")
    return 0
