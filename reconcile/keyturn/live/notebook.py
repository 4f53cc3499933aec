"""The notebook of a manifest's notices: what was told of each key, and which notices wait for which receivers.

It is one document beside the records. A notice is in it before it is sent, and it leaves when its receivers have it: a
run that is killed in between loses nothing, and what is sent a second time has the same id. A notebook that is forged
or damaged counts for nothing: it is begun again, which tells too much at worst, and the next report says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from keyturn.core.errors import Conflict, Forged, TargetMisfit
from keyturn.core.notify import NAME
from keyturn.core.sanitize import plain
from keyturn.live.signatures import Stored
from keyturn.report.notices import LONGEST, Notice, Told
from keyturn.targets.base import Document

TRIES = 5
MOST = 100
"""The most notices that wait. The oldest are dropped, and counted."""
LARGEST = 32 * 1024
"""The most bytes of waiting notices: some stores hold no more than 64 KiB in one document."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A notice, and the names of the receivers that do not have it yet."""

    notice: Notice
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Notes:
    """The document. `made`: how many notices there were ever. `dropped`: how many each receiver never got.

    `lost`: why the document before it counted for nothing; empty as soon as a report said it. `key` is empty: it tells
    a delivery that this path is one of keyturn's own.
    """

    owner: str
    keys: Mapping[str, Told] = field(default_factory=dict)
    outbox: tuple[Waiting, ...] = ()
    made: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    lost: str = ""
    key: Literal[""] = ""
    kind: Literal["notices"] = "notices"
    schema: Literal[1] = 1

    def bounded(self) -> Notes:
        """Return the notes without the oldest notices that are too many or too large."""
        sizes = [len(_waiting().dump_json(one)) for one in self.outbox]
        first = max(0, len(sizes) - MOST)
        while sum(sizes[first:]) > LARGEST:
            first += 1
        dropped = dict(self.dropped)
        for lost in self.outbox[:first]:
            for name in lost.to:
                dropped[name] = dropped.get(name, 0) + 1
        return replace(self, outbox=self.outbox[first:], dropped=dropped)

    def without(self, sent: Mapping[str, frozenset[str]], receivers: frozenset[str]) -> Notes:
        """Return the notes without what was sent, by receiver, and without receivers that no longer exist."""
        left = []
        for one in self.outbox:
            to = tuple(name for name in one.to if name in receivers and one.notice.id not in sent.get(name, ()))
            if to:
                left.append(Waiting(one.notice, to))
        dropped = {name: count for name, count in self.dropped.items() if name in receivers and not sent.get(name)}
        return replace(self, outbox=tuple(left), dropped=dropped)


@cache
def _waiting() -> TypeAdapter[Waiting]:
    return TypeAdapter(Waiting)


@cache
def _notes() -> TypeAdapter[Notes]:
    return TypeAdapter(Notes)


@dataclass(frozen=True, slots=True)
class Notebook:
    """Where the document is: what reads it, what writes it over a version, and what returns it unchecked."""

    read: Callable[[], Document]
    write: Callable[[str, str], str]
    stored: Callable[[], Stored | None]
    where: str

    def open(self, owner: str) -> tuple[Notes, str]:
        """Return the notes and their version; new notes if there are none, or if the document counts for nothing.

        Raises KeyturnError: the store does not answer, or a later version of keyturn wrote the document.
        """
        try:
            found = self.read()
        except Forged as error:
            stored = self.stored()
            return Notes(owner, lost=error.evidence or error.what), stored.version if stored else ""
        if found.text is None:
            return Notes(owner), found.version
        try:
            notes = _notes().validate_json(found.text)
        except ValidationError:
            if _later(found.text):
                remedy = "Use the version of keyturn that wrote it."
                raise TargetMisfit("a later keyturn wrote these notes", where=self.where, remedy=remedy) from None
            return Notes(owner, lost="they cannot be read"), found.version
        if notes.owner != owner:
            return Notes(owner, lost="they are those of another owner"), found.version
        wrong = _wrong(notes)
        return (Notes(owner, lost=wrong) if wrong else notes), found.version

    def change(self, owner: str, by: Callable[[Notes], Notes]) -> Notes:
        """Change the notes by compare-and-set, and return them. Nothing is written if nothing changes.

        Raises KeyturnError: the store does not answer, or other runs were faster each time.
        """
        for _ in range(TRIES):
            notes, version = self.open(owner)
            after = by(notes).bounded()
            if after == notes:
                return notes
            try:
                self.write(json.dumps(_notes().dump_python(after, mode="json")), version)
            except Conflict:
                continue
            return after
        raise Conflict("the notes of notices keep changing", where=self.where)


def _wrong(notes: Notes) -> str:
    """Say what keyturn never writes into its notes; empty if there is nothing of the kind."""
    named = {*notes.dropped, *(name for one in notes.outbox for name in one.to)}
    if not all(re.fullmatch(NAME, name) for name in named) or not all(one.to for one in notes.outbox):
        return "a notice waits for nobody, or for a name that no receiver can have"
    if any(one.notice.owner != notes.owner for one in notes.outbox):
        return "a notice of another owner waits"
    if any(plain(text, LONGEST) != text for one in notes.outbox for text in (one.notice.text, one.notice.do)):
        return "the text of a notice is none of keyturn's"
    if min(notes.made, *notes.dropped.values(), *(one.generation for one in notes.keys.values()), 0) < 0:
        return "a number is negative"
    return ""


def _later(text: str) -> bool:
    """Tell whether this is the document of a later version."""
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        return isinstance(found, dict) and isinstance(found.get("schema"), int) and found["schema"] > 1
    return False
