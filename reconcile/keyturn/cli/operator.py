"""`keyturn operator`: works on the ModelAccessKeys of a Kubernetes cluster until a signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options
from keyturn.cli.run import listen_option

if TYPE_CHECKING:
    from keyturn.cli.listener import Address


@click.command(
    "operator",
    help="Work on the ModelAccessKeys of a Kubernetes cluster. It logs in as its pod, or with the current context of "
    "KUBECONFIG. Runs until SIGTERM or SIGINT; then it finishes what is under way.",
)
@click.option(
    "--namespace",
    default="",
    metavar="NAME",
    help="Namespace of the operator: of its Leases and of the records. Default: POD_NAMESPACE, or that of the pod.",
)
@click.option(
    "--account",
    "accounts",
    multiple=True,
    metavar="NAME",
    help="Work on this account only: the name of a ClusterKeyturnAccount, or NAMESPACE/NAME. May be given several "
    "times. Default: all.",
)
@click.option(
    "--watch-secrets",
    is_flag=True,
    help="Watch the metadata of all Secrets, so that a delivery that is changed or deleted is repaired at once. Needs "
    "the rights list and watch on Secrets, which allow to read them.",
)
@listen_option("Serve /healthz, /readyz, /metrics and / here, such as 0.0.0.0:8080. Default: do not listen.")
@options.talking
def command(*, namespace: str, accounts: tuple[str, ...], watch_secrets: bool, listen: Address | None) -> int:
    """Start, serve, and wait for a signal."""
    from contextlib import ExitStack

    from keyturn.cli.operating import opened, pages
    from keyturn.engine.signals import Signals

    screen = options.lasting()
    screen.log()
    with Signals() as signals, ExitStack() as stack:
        running = stack.enter_context(opened(screen, namespace, accounts, signals, watch_secrets=watch_secrets))
        if listen is not None:
            from keyturn.cli.listener import Listener

            listener = stack.enter_context(Listener(pages(running), listen))
            screen.say(f"Serves {listener.url}, {listener.url}healthz, {listener.url}readyz and {listener.url}metrics.")
        running.run()
        screen.say("Stopped. What was under way is finished, or in the records: the next operator continues it.")
    return 0
