r"""What will happen when, as an iCalendar file (RFC 5545): one event per rotation, retire and freeze.

Lines end with CR LF and are folded after 75 octets (section 3.1). In a text, a backslash stands before `\`, `;` and `,`
(section 3.3.11).
An event keeps its UID while the schedule moves it: the UID is made from what happens, the key and the generation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from keyturn import __version__
from keyturn.core.forecast import Coming, What
from keyturn.core.sanitize import plain
from keyturn.report.documents import ScheduleDocument
from keyturn.report.schedule import details

OCTETS = 75
"""Octets of a line without its end, at most."""

_WORDS = {What.ROTATE: "Rotation of", What.RETIRE: "Old secret retired:", What.FREEZE: "Freeze of"}


def schedule_ics(document: ScheduleDocument) -> str:
    """Return the document as one VCALENDAR."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//keyturn//keyturn {__version__}//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        "X-WR-CALNAME:keyturn",
        *(row for one in document.coming for row in _event(one, document.at)),
        "END:VCALENDAR",
    ]
    return "".join(f"{fold(row)}\r\n" for row in lines)


def fold(row: str) -> str:
    """Return a content line folded after 75 octets at most, between characters."""
    parts: list[str] = []
    part, size, room = "", 0, OCTETS
    for character in row:
        octets = len(character.encode())
        if size + octets > room:
            parts.append(part)
            part, size, room = "", 0, OCTETS - 1  # a continuation begins with a space
        part, size = part + character, size + octets
    return "\r\n ".join([*parts, part])


def escape(text: str) -> str:
    """Return a value of the type TEXT. Characters that are unsafe to show, line ends among them, are written out."""
    return re.sub(r"([\\;,])", r"\\\1", plain(text))


def _event(one: Coming, at: datetime) -> Iterator[str]:
    whose = one.key or one.owner
    summary = f"{_WORDS[one.what]} {whose}"
    yield "BEGIN:VEVENT"
    yield f"UID:{_uid(one)}"
    yield f"DTSTAMP:{_moment(at)}"
    yield f"DTSTART:{_moment(one.at)}"
    if one.until is not None:
        yield f"DTEND:{_moment(one.until)}"
    yield f"SUMMARY:{escape(f'{summary}: {one.why}' if one.what is What.FREEZE else summary)}"
    yield f"DESCRIPTION:{escape(f'{one.owner}: {details(one)}')}"
    yield f"CATEGORIES:{escape(one.what)}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _uid(one: Coming) -> str:
    which = str(one.generation) if one.key else f"{one.at.isoformat()} {one.why}"
    text = f"{one.owner}\n{one.key}\n{one.what}\n{which}"
    return f"{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}@keyturn"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
