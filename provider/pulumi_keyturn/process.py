"""What the one process of a stack's dynamic resources shares: configuration, worlds, and the way to the user's screen.

The engine starts it anew for each preview, up, refresh and destroy; up to four calls run in it at once.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime import Settings

if TYPE_CHECKING:
    from keyturn.model import Desired
    from keyturn.reality import Reality

CONFIGURED = {
    "DIGITALOCEAN_TOKEN": "keyturn:digitaloceanToken",
    "VAULT_TOKEN": "keyturn:vaultToken",
    "VAULT_ROLE_ID": "keyturn:vaultRoleId",
    "VAULT_SECRET_ID": "keyturn:vaultSecretId",
    "OP_CONNECT_TOKEN": "keyturn:opConnectToken",
    "KEYTURN_RECORDS": "keyturn:records",
}
"""The variables that the stack's configuration may give where the environment does not.

Where a credential may go is said by the environment alone: configuration comes with the program.
"""

_ADDRESS = re.compile(r"[\w.:\[\]-]+:\d+")

_lock = threading.Lock()
_config: dict[str, str] = {}
_worlds: dict[str, Reality] = {}
_declared: set[str] = set()
_made: set[str] = set()


def configure(get: Callable[[str], object]) -> None:
    """Take the stack's configuration: on refresh and destroy it is the one stored at the last up."""
    found = {name: get(key) for name, key in CONFIGURED.items()}
    with _lock:
        _config.update({name: str(value) for name, value in found.items() if value})


def environment() -> Mapping[str, str]:
    """Return the environment, and from the configuration what it lacks; it holds credentials."""
    with _lock:
        return {**_config, **{name: value for name, value in os.environ.items() if value}}


def world(desired: Desired) -> Reality:
    """Return the world of these targets, records and times; all worlds of the process share one client and one list.

    Raises CredentialError, InputError.
    """
    from keyturn.reality import open_world

    place = repr((desired.targets, desired.records, desired.timing))
    variables = environment()
    with _lock:
        if place not in _worlds:
            _worlds[place] = open_world(desired, variables, Path.cwd(), beside=next(iter(_worlds.values()), None))
        return _worlds[place]


def declare(key: str) -> None:
    """Take note that a resource of this run's program has this key."""
    with _lock:
        _declared.add(key)


def is_declared(key: str) -> bool:
    """Tell whether a resource of this run's program has this key: whoever deletes it means another resource."""
    with _lock:
        return key in _declared


def is_first(key: str) -> bool:
    """Tell whether no other resource made this key in this run, and take note that one does."""
    with _lock:
        first = key not in _made
        _made.add(key)
        return first


def say(text: str) -> None:
    """Show a line of progress, through `pulumi.log`."""
    _connect()
    pulumi.log.info(text)


def warn(text: str) -> None:
    """Show a warning, through `pulumi.log`."""
    _connect()
    pulumi.log.warn(text)


def _connect() -> None:
    """Tell `pulumi.log`, in this thread, where the engine is; without one it writes to standard error."""
    if engine := _engine():
        pulumi.runtime.configure(Settings(pulumi.get_project(), pulumi.get_stack(), engine=engine))


@cache
def _engine() -> object:
    """Return the engine that started this process, None where none did; its address is a provider's first argument."""
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    return Settings(None, None, engine=address).engine if _ADDRESS.fullmatch(address) else None
