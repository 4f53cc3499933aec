"""What the user reads: keyturn's sentences with the remedies of a program, and the way of each line to the screen.

One thread shows all lines, through `pulumi.log`. An engine that was killed or stopped makes `pulumi.log` raise, or wait
without end. A caller may hold a fresh secret, so none of that ever reaches it.

Imports nothing of keyturn until it is needed: a stack at rest has no use for it.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from queue import Queue
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime import Settings

if TYPE_CHECKING:
    from keyturn.core.model import Desired
    from keyturn.core.record import Record

LONGEST = 1.0
"""Seconds that the end of a call waits for its lines to be shown."""

_SAID = (
    (r"`keyturn adopt \S+ --secret existing --uuid UUID` keeps it", "adopt={'secret': 'existing', 'a': UUID} keeps it"),
    (r"say whose it is: `keyturn adopt \S+ --live a or b`", "empty it, and the next `pulumi up` makes a new one"),
    (r"`--secret stdin` gives the present one, ", ""),
    (r"`--secret regenerate`", "adopt={'secret': 'regenerate'}"),
    (r"run `keyturn apply --verify`: it replaces", "verify=True replaces"),
    (r"set `smoke\.from: skip`", "set smoke={'from': 'skip'}"),
    (r"`smoke\.(model|expect_models)`", r"'\1' of smoke"),
    (r"apply --verify mints again", "verify=True mints again"),
    (
        r"`adopt:` in its entry takes it over",
        "adopt={'secret': 'existing' or 'regenerate'} takes it over",
    ),
    (r"by `adopt: \{(\w): UUID\}`", r"by adopt={'secret': …, '\1': UUID}"),
    (r"give `adopt: \{live: a or b\}`", "give adopt={'secret': 'existing', 'live': 'a' or 'b'}"),
    (r"--take-over (?=\w+s\b)", "take_over=True "),
    (r"; if the keys were really deleted, apply them one by one", ""),
    (r" If the token is right and the keys were really deleted, go on with --take-over\.", ""),
    (r"\b([Rr]un) apply again\b", r"\1 `pulumi up` again"),
    (r"\bthe next apply\b", "the next `pulumi up`"),
)

_ADDRESS = re.compile(r"[\w.:\[\]-]+:\d+")

_lines: Queue[tuple[Callable[[str], None], str]] = Queue()
_starting = threading.Lock()


class KeyturnFailed(Exception):
    """What the engine shows of a failed call; holds no secret, no token and no body."""


def of_pulumi(text: str) -> str:
    """Return a sentence of keyturn with the remedies of a program instead of those of the command line."""
    for ours, theirs in _SAID:
        text = re.sub(ours, theirs, text)
    return text


def parked(record: Record) -> str:
    """Say why a key is parked, and what lets it mint again."""
    why = record.parked.why if record.parked else ""
    return f"it is parked: {why}; a change of rotation_trigger, or of smoke, rotation or deliver, lets it mint again"


def no_record(key: str, desired: Desired) -> str:
    """Say that a resource's record is not where it should be."""
    place = f"{desired.records.target}:{desired.records.prefix}"
    return (
        f"{key}: {place} holds no record of this key, so nothing was done. If the records were moved, move this one "
        "too; if the key is no longer wanted, delete its API key in the control panel and empty its deliveries: "
        "`pulumi state delete` then forgets it."
    )


def half_done(record: Record) -> str:
    """Say how to go on after an update or delete that left something open; empty if nothing is."""
    late = any(item.digest != record.live_digest for item in record.deliveries)
    if record.deleted_at or not (record.intent or late):
        return ""
    return (
        "This change is half done, and the record knows it: run the same command again, and it goes on. To take the "
        "change back, run `pulumi up --refresh`: without the refresh an up would not see what is open."
    )


def made(record: Record) -> str:
    """Say what a failed create left behind; empty if there is no API key."""
    from keyturn.core.record import Op

    uuids = ", ".join(slot.uuid for slot in record.slots.values())
    if record.deleted_at or not (uuids or (record.intent and record.intent.op is Op.CREATE)):
        return ""
    what = f"The API key {uuids} exists and is recorded" if uuids else "An API key may have been made, and is recorded"
    return (
        f"{what}, though not in Pulumi's state, so a destroy would leave it: run `pulumi up` again, which goes on with "
        "it; to be rid of it, destroy it after that."
    )


def hand_off(names: Iterable[str]) -> str:
    """Say how the operator makes API keys of these names, empty if there are none."""
    from keyturn.report.handoff import CLICKS, PANEL

    wanted = ", ".join(map(repr, names))
    if not wanted:
        return ""
    return (
        f"Make {wanted}, with exactly that name, at {PANEL}: {CLICKS}. No secret has to be copied. "
        "Then run `pulumi up` again: it takes the API key over and regenerates it."
    )


def say(text: str) -> None:
    """Show a line of progress; never raises, never waits."""
    _put(pulumi.log.info, text)


def warn(text: str) -> None:
    """Show a warning; never raises, never waits."""
    _put(pulumi.log.warn, text)


def flush(seconds: float = LONGEST) -> None:
    """Wait until all lines are shown, for so long at most: the engine may end this process after a call."""
    with _lines.all_tasks_done:
        _lines.all_tasks_done.wait_for(lambda: not _lines.unfinished_tasks, seconds)


def _put(show: Callable[[str], None], text: str) -> None:
    _lines.put((show, text))
    with _starting, suppress(Exception):
        _start()


@cache
def _start() -> None:
    threading.Thread(target=_show_all, name="keyturn-messages", daemon=True).start()


def _show_all() -> None:
    with suppress(Exception):
        _connect()
    while True:
        show, text = _lines.get()
        with suppress(Exception):
            show(text)
        _lines.task_done()


def _connect() -> None:
    """Tell `pulumi.log`, in this thread, where the engine is; without one it writes to standard error.

    Its address is a provider's first argument.
    """
    address = sys.argv[1] if len(sys.argv) > 1 else ""
    if _ADDRESS.fullmatch(address):
        pulumi.runtime.configure(Settings(None, None, engine=address))
