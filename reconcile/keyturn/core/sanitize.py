"""The one place that makes untrusted text safe to show: names, API messages, model ids, manifest text."""

from __future__ import annotations

import re
import unicodedata

from keyturn.core.literals import masked

LIMIT = 200

_SPARE = 500
"""Characters beyond the limit that are read, so that a secret is recognised although the limit cuts it."""

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that show as nothing although Unicode calls them letters, marks or symbols."""
_COMMAND = re.compile(r"\A\s*(?=::)|(?<=#)(?=#\w*\[)")
"""Where a backslash keeps a CI runner from finding a command: `::` at the start, `##[` or `##vso[` anywhere."""


def plain(text: str, limit: int = LIMIT) -> str:
    r"""Return `text` on one line, every unsafe character written out (`\n`, `\u202e`), at most `limit` characters.

    Unsafe are control, format (bidirectional, zero-width), surrogate and blank characters, and all spaces but U+0020.
    A text that a CI runner would take for a command gets a backslash into it. A word that looks like a secret is
    masked: an operator may have pasted one, and an API key may be named by one.
    """
    text = masked(text[: limit + _SPARE])[: limit + 1]
    shown = "".join(_written_out(character) if _is_unsafe(character) else character for character in text)
    shown = _COMMAND.sub(r"\\", shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def code_span(text: str, limit: int = LIMIT) -> str:
    """Return `plain(text)` as a Markdown code span that nothing in it can close, fit for a table's cell too."""
    shown = plain(text, limit).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if not shown or shown[0] in "` " or shown[-1] in "` " else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def unsafe(text: str) -> str:
    """Return the first character that may not stand in a name, as `U+202E`; empty where all may."""
    if text.isascii() and text.isprintable():  # nearly all are, and each value of a manifest is asked about
        return ""
    return next((f"U+{ord(character):04X}" for character in text if _is_unsafe(character)), "")


def _is_unsafe(character: str) -> bool:
    if " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    return category in _CATEGORIES or category == "Zs" or character in _BLANK


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()
