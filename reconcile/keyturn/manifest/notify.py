"""The receivers of notices and the hooks of a manifest, and what the operator has to permit for them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from keyturn.core.errors import InputError, Mistake
from keyturn.core.literals import masked
from keyturn.core.model import Desired, Hook, Receiver
from keyturn.core.notify import COMMANDS, check_origin, secrets_of, url_of, variable
from keyturn.core.sanitize import plain
from keyturn.manifest.mistakes import Path, show_path
from keyturn.manifest.reading import Reading
from keyturn.manifest.receivers import CommandEntry, DeadManEntry, HookEntry, ReceiverEntry, SlackEntry
from keyturn.manifest.tree import Items
from keyturn.targets.origins import listed_in


def read_receivers(reading: Reading, environment: Mapping[str, str]) -> None:
    """Add the receivers and the permitted programs to `reading`, and note what is wrong or what the environment lacks.

    What the environment lacks is no mistake of the manifest: commands that only read need none of it.
    """
    reading.commands = listed_in(COMMANDS, environment, os.pathsep)
    names: dict[str, str] = {}
    found = []
    for path, entry in _entries(reading):
        receiver = _receiver(entry, reading.commands)
        found.append(receiver)
        held = names.setdefault(variable(receiver.name, ""), receiver.name)
        if sum(variable(one.name, "") == variable(receiver.name, "") for one in found) > 1:
            reading.mistake((*path, "name"), f"another receiver is named {held!r}; give each a name of its own")
            continue
        for where, text in _lacking(receiver, environment):
            _note(reading, (*path, where) if where else path, text)
    reading.receivers = tuple(found)


def hook_of(entry: HookEntry | None, commands: Collection[str]) -> Hook | None:
    """Return the hook of an entry; `commands` are the permitted programs."""
    if entry is None:
        return None
    return Hook(tuple(entry.command), entry.timeout.total_seconds(), allowed=entry.command[0] in commands)


def unpermitted(reading: Reading) -> tuple[Mistake, ...]:
    """Return each program of a manifest that the environment does not permit."""
    found: list[Mistake] = []
    for path, entry in _entries(reading):
        if isinstance(entry, CommandEntry):
            found += _refused(reading, (*path, "command"), entry.command[0])
    for key, of in reading.model.keys.items():
        if of.after_delivery:
            found += _refused(reading, ("keys", key, "after_delivery", "command"), of.after_delivery.command[0])
    return tuple(found)


def permit_all(desired: Desired) -> Desired:
    """Return the desired state with all its programs permitted: the policy allows each of them."""
    keys = (replace(key, hook=replace(key.hook, allowed=True)) if key.hook else key for key in desired.keys)
    receivers = (replace(one, allowed=True) for one in desired.receivers)
    return replace(desired, keys=tuple(keys), receivers=tuple(receivers), unpermitted=())


def _entries(reading: Reading) -> Iterator[tuple[Path, ReceiverEntry]]:
    """Yield the readable receivers with their paths."""
    node = reading.node(("notify",))
    count = len(node.nodes) if isinstance(node, Items) else 0
    paths: list[Path] = [("notify", index) for index in range(count) if ("notify", index) not in reading.bad]
    if len(paths) == len(reading.model.notify):
        yield from zip(paths, reading.model.notify, strict=True)


def _receiver(entry: ReceiverEntry, commands: Collection[str]) -> Receiver:
    name = entry.name or entry.type
    if isinstance(entry, CommandEntry):
        allowed = entry.command[0] in commands
        return Receiver(entry.type, name, tuple(entry.on), command=tuple(entry.command), allowed=allowed)
    if isinstance(entry, DeadManEntry):
        return Receiver(entry.type, name, url=entry.url)
    return Receiver(entry.type, name, tuple(entry.on), url="" if isinstance(entry, SlackEntry) else entry.url)


def _lacking(receiver: Receiver, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the field and the reason of each thing that the environment lacks for a receiver."""
    if receiver.kind == "command":
        return
    try:
        if receiver.url:
            check_origin(receiver.name, receiver.url, environment)
        else:
            url_of(receiver.name, environment)
    except InputError as error:
        yield "url" if receiver.url else "", str(error)
    try:
        if receiver.kind == "webhook":
            secrets_of(receiver.name, environment)
    except InputError as error:
        yield "", str(error)


def _refused(reading: Reading, path: Path, program: str) -> Iterator[Mistake]:
    if program not in reading.commands:
        text = (
            f"the program {program} may not be run: it is neither in {COMMANDS} nor in `commands` of a policy. "
            f"If it is right, type: export {COMMANDS}={shlex.quote(os.pathsep.join((*reading.commands, program)))}"
        )
        yield _mistake(reading, path, text)


def _note(reading: Reading, path: Path, text: str) -> None:
    reading.unset.append(_mistake(reading, path, text))
    if reading.mistakes.offline:
        reading.mistakes.add(reading.place(path), path, text, in_environment=True)


def _mistake(reading: Reading, path: Path, text: str) -> Mistake:
    place = reading.place(path)
    return Mistake(plain(reading.mistakes.file), place.line, place.column, show_path(path), plain(masked(text), 600))
