"""What the one process of a stack's dynamic resources shares: configuration, worlds, and what was declared.

The engine starts it anew for each preview, up, refresh and destroy; up to four calls run in it at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pulumi_keyturn.once import Once

if TYPE_CHECKING:
    from keyturn.core.model import Desired
    from keyturn.live.live_world import LiveWorld
    from pulumi_keyturn.fate import Fate

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

once = Once()
"""What the resources of this run's program have declared."""

_lock = threading.Lock()
_config: dict[str, str] = {}
_worlds: dict[tuple[float, str], LiveWorld] = {}
_fates: dict[tuple[int, str], Fate] = {}


def configure(get: Callable[[str], object]) -> None:
    """Take the stack's configuration: on refresh and destroy it is the one stored at the last up."""
    found = {name: get(key) for name, key in CONFIGURED.items()}
    with _lock:
        _config.update({name: str(value) for name, value in found.items() if value})


def environment() -> Mapping[str, str]:
    """Return the environment, and from the configuration what it lacks; it holds credentials."""
    with _lock:
        return {**_config, **{name: value for name, value in os.environ.items() if value}}


def world(desired: Desired) -> LiveWorld:
    """Return the world of these targets, records and times.

    All worlds of the process share one rate budget and one list, those of one request time their clients, too. Raises
    CredentialError, InputError.
    """
    from keyturn.live.live_world import open_world
    from pulumi_keyturn import talk

    place = (desired.timing.request, repr((desired.targets, desired.records, desired.timing)))
    variables = environment()
    with _lock:
        if place not in _worlds:
            alike = (world for (seconds, _), world in _worlds.items() if seconds == place[0])
            beside = next(alike, next(iter(_worlds.values()), None))
            _worlds[place] = open_world(
                desired, variables, Path.cwd(), beside=beside, hear=lambda line: talk.say(f"keyturn {line.text}")
            )
        return _worlds[place]


def fate(world: LiveWorld, owner: str) -> Fate:
    """Return what is known of all keys of a stack, by the owner of one of their records."""
    from pulumi_keyturn.fate import Fate, family

    with _lock:
        return _fates.setdefault((id(world), family(owner)), Fate(world, family(owner)))
