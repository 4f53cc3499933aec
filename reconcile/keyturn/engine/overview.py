"""What a run reads before it looks at single keys: the account, and the records that have no entry."""

from __future__ import annotations

from collections.abc import Callable, Collection

from keyturn.core import brakes
from keyturn.core.errors import KeyturnError
from keyturn.core.record import Record
from keyturn.core.results import End, Progress
from keyturn.core.world import World
from keyturn.engine.ended import ended
from keyturn.engine.threads import map_in_threads

Listener = Callable[[Progress], None]


def unread(world: World, *meanwhile: Callable[[], None]) -> End | None:
    """Read the one list that serves a whole run, and the team; return why that is not possible.

    What is done `meanwhile` may call a listener: the first of these runs in the caller's thread.
    """
    failed: dict[str, End] = {}

    def read(what: str, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the failure of every key
            failed[what] = ended(error)

    listed, team = lambda: read("list", lambda: world.list_keys(fresh=True)), lambda: read("team", world.account)
    world.together([*meanwhile, listed, team])
    return failed.get("list") or failed.get("team")


def unmanaged(
    world: World, known: Collection[str], owner: str, hear: Listener, workers: int
) -> tuple[tuple[str, Record], ...]:
    """Return the owner's records that are none of the `known` ones; what cannot be read is said, and left alone."""
    try:
        others = tuple(sorted(set(world.list_records()) - set(known)))
    except KeyturnError as error:
        text = f"Records without an entry in the manifest could not be listed: {error}"
        hear(Progress("", text, world.now()))
        return ()

    def read(key: str, say: Listener) -> Record | None:
        try:
            return world.read_record(key).record
        except KeyturnError as error:
            say(Progress(key, f"This record has no entry in the manifest and cannot be read: {error}", world.now()))
            return None

    found = zip(others, map_in_threads(others, read, hear, workers), strict=True)
    return tuple((key, record) for key, record in found if record and brakes.mine(record, owner))
