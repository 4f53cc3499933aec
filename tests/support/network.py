"""The guard that keeps every test on this machine."""

from __future__ import annotations

import ipaddress
import sys

WATCHED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"})


class OutsideWorld(RuntimeError):
    """A test tried to reach something beyond loopback."""


def stay_on_loopback() -> None:
    """Make this process refuse, for good, to resolve or reach any host but loopback (a hook of PEP 578)."""
    sys.addaudithook(_refuse_outside)


def _refuse_outside(event: str, args: tuple[object, ...]) -> None:
    if event not in WATCHED:
        return
    host = args[0] if event == "socket.getaddrinfo" else _host(args[1])
    if not _is_local(host):
        raise OutsideWorld(f"{event} to {host!r}: tests stay on loopback; start a server there (tests/support)")


def _host(address: object) -> object:
    """Return the host of an address of the internet families; None for a socket that is a file or is connected."""
    return address[0] if isinstance(address, tuple) and len(address) > 1 and isinstance(address[0], str) else None


def _is_local(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in {"", "localhost"}:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
