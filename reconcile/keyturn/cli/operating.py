"""What `keyturn operator` is made of: the login to the cluster, the identity of this process, and what is served."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime

from keyturn import __version__
from keyturn.cli.console import Screen
from keyturn.cli.metrics import report
from keyturn.cli.pages import Pages
from keyturn.core.errors import InputError
from keyturn.core.reasons import mixed
from keyturn.core.sanitize import plain
from keyturn.core.variables import TOKENS
from keyturn.engine.signals import Signals
from keyturn.kube.account import Setting
from keyturn.kube.operator import Connection, Operator
from keyturn.kube.remedies import by_itself
from keyturn.live.digitalocean.budget import uptime
from keyturn.report.documents import StatusDocument
from keyturn.targets import kubernetes_login
from keyturn.targets.files import read_small
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.origins import proxy_for
from keyturn.targets.rest import Endpoint

NAMESPACE, POD = "POD_NAMESPACE", "POD_NAME"
REQUEST, LEASE = 10.0, 4.0
"""Seconds that a request may take, and one for a Lease: less than half of the time for which it is held."""
LONGEST = 2000
"""Characters of a line of the log."""


@contextmanager
def opened(
    screen: Screen, namespace: str, accounts: Sequence[str], signals: Signals, *, watch_secrets: bool
) -> Iterator[Operator]:
    """Log in to the cluster. Raises InputError if there is no login, or no namespace."""
    environment = dict(os.environ)
    home, address = home_of(namespace), kubernetes_login.present_address(environment)
    origin = kubernetes_login.server_of(address, environment)
    login = kubernetes_login.login(address, environment, REQUEST)
    proxy = proxy_for(origin, environment)

    def now() -> datetime:
        return datetime.now(UTC)

    def say(text: str) -> None:
        screen.say(f"{now():%Y-%m-%d %H:%M:%S} {plain(by_itself(text), LONGEST)}")

    ours = {name: text for name, text in environment.items() if name not in TOKENS}
    setting = Setting(ours, home, address, identity(), now, say, watches_secrets=watch_secrets)
    with (
        closing(Server(Endpoint(origin, proxy, REQUEST), login, "the cluster")) as server,
        closing(Server(Endpoint(origin, proxy, LEASE), login, "the cluster")) as leases,
    ):
        connection = Connection(server, leases, login, origin)
        say(f"keyturn {__version__} works for {origin} as {setting.identity}; its records are in {home}")
        yield Operator(
            connection,
            setting,
            only=frozenset(accounts),
            stopping=lambda: signals.stop_requested is not None,
            uptime=uptime,
        )


def home_of(named: str) -> str:
    """Return the namespace of the operator. Raises InputError if nothing says it."""
    if found := named or os.environ.get(NAMESPACE, ""):
        return found
    file = kubernetes_login.SERVICE_ACCOUNT / "namespace"
    try:
        return read_small(file).strip()
    except (OSError, ValueError):
        raise InputError(
            "the namespace of the operator is not known",
            evidence=f"neither {NAMESPACE} nor {file} says it",
            remedy="Name it with --namespace.",
        ) from None


def identity() -> str:
    """Return the name of this process: that of its pod, or one that no other process has."""
    return os.environ.get(POD, "") or f"{socket.gethostname()}-{secrets.token_hex(4)}"


def pages(running: Operator) -> Pages:
    """Return what the server of the operator serves. The probes name nothing: anyone who reaches the pod may ask."""

    def told(*, ready: bool) -> tuple[bool, dict[str, object]]:
        seen = running.seen()
        good = seen.ready if ready else seen.well
        return good, {
            "status": "ok" if good else "starting" if ready else "failing",
            "accounts": len(seen.accounts),
            "in_trouble": sum(bool(trouble) for trouble in seen.accounts.values()),
            "exit_code": mixed(key.exit_code for key in seen.keys),
            "keyturn": __version__,
        }

    def status() -> StatusDocument | None:
        seen = running.seen()
        if seen.looked is None:
            return None
        return StatusDocument(seen.looked, mixed(key.exit_code for key in seen.keys), seen.keys, None, seen.pools, ())

    return Pages(lambda: told(ready=False), status, report("openmetrics"), report("html"), lambda: told(ready=True))
