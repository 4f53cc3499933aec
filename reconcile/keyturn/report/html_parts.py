"""Small pieces of the html page. Every text is made safe, then escaped; only this module escapes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from keyturn.core.reasons import Tone
from keyturn.report.lines import length, moment, safe

LONGEST = 2000
"""Characters of one text; more are cut."""
_CODE = re.compile(r"`([^`]+)`")
_TYPED = re.compile(r"keyturn [A-Za-z0-9 ._:/=-]+")
"""A command that may be copied: nothing in it means anything to a shell."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""A key's id, as the schema of the manifest has it. A record may have another one, such as an option."""


def text(value: str) -> str:
    """Return untrusted text for the body or a quoted attribute: nothing in it is read as html."""
    return escape(safe(value, LONGEST), quote=True)


def icon(name: str, tone: Tone | None = None) -> str:
    """Return a symbol of the sprite; its meaning stands beside it in words."""
    paint = f" {tone.value}" if tone else ""
    return f'<svg class="i{paint}" aria-hidden="true"><use href="#{name}"/></svg>'


def tone_icon(tone: Tone) -> str:
    """Return the shape of a tone in its colour."""
    return icon(f"i-{tone.value}", tone)


def time(at: datetime, ident: str = "") -> str:
    """Return a moment, in UTC."""
    whole = at.astimezone(UTC)
    mark = f' id="{ident}"' if ident else ""
    return f'<time{mark} datetime="{whole:%Y-%m-%dT%H:%M:%SZ}">{text(moment(whole))}</time>'


def span(at: datetime, now: datetime) -> str:
    """Return the distance of a moment from now: `3h`, `12d`."""
    return length(at - now)


def words(value: str, keys: Iterable[str] = ()) -> str:
    """Return a sentence with its code spans; a command that is safe to paste is marked for the button that copies.

    `keys` are the ids in it: none of its commands is marked if one of them is not an id of a manifest.
    """
    good = all(_ID.fullmatch(key) for key in keys)
    parts = _CODE.split(value)
    return "".join(_code(part, copied=good) if number % 2 else text(part) for number, part in enumerate(parts))


def _code(value: str, *, copied: bool) -> str:
    kind = ' class="cmd"' if copied and _TYPED.fullmatch(value) else ""
    return f"<code{kind}>{text(value)}</code>"
