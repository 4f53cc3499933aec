"""PURE: reads and changes one value in a file of shell assignments, as `sh` reads it. All other characters are kept.

Such a file has blank lines, comments and assignments, with or without `export`. The value of another name may be any
word without a command substitution. Anything else is a program, which cannot be changed safely without running it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
"""A value that needs no quotes in any format."""

_PIECE = re.compile(
    r"""'(?P<single>[^']*)'|"(?P<double>(?:\\.|\$(?!\()|[^"\\$`])*)"|\\(?P<escaped>.)|(?P<bare>[^\s'"\\;&|<>()`])""",
    re.DOTALL,
)
_WORD = re.sub(r"\?P<\w+>", "?:", _PIECE.pattern)
_LINE = re.compile(
    # The possessive quantifiers keep the search linear.
    rf"[ \t]*+(?:(?:export[ \t]++)?(?P<name>[A-Za-z_][A-Za-z0-9_]*+)=(?P<word>(?:{_WORD})*+))?"
    r"[ \t]*+(?:(?<!\S)#[^\n]*+)?(?:\n|\Z)",
    re.DOTALL,
)
_IN_DOUBLE = re.compile(r"\\([\\\"$`])|\\\n")


@dataclass(frozen=True, slots=True)
class _Assignment:
    name: str
    word: str
    line: tuple[int, int]
    span: tuple[int, int]


def read(text: str, field: str) -> str | None:
    """Return the value of a name, or None if it is not set. Raises ValueError if the value cannot be determined."""
    found = _find(text, field)
    return None if found is None else _literal(found.word, field)


def changed(text: str, field: str, value: str | None) -> str:
    """Return the text with a name set to `value`, or removed if it is None. Raises ValueError."""
    found = _find(text, field)
    if value is None:
        return text if found is None else text[: found.line[0]] + text[found.line[1] :]
    word = _quoted(value)
    if found:
        return text[: found.span[0]] + word + text[found.span[1] :]
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}export {field}={word}\n"


def _quoted(value: str) -> str:
    if "\0" in value:
        raise ValueError("a shell variable cannot hold a NUL character")
    return value if PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"


def _find(text: str, field: str) -> _Assignment | None:
    found = [one for one in _assignments(text) if one.name == field]
    if len(found) > 1:
        raise ValueError(f"{field} is set twice")
    return found[0] if found else None


def _assignments(text: str) -> Sequence[_Assignment]:
    found: list[_Assignment] = []
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        if line is None:
            raise ValueError(f"line {text.count(chr(10), 0, at) + 1} is not a plain assignment")
        if line["name"]:
            found.append(_Assignment(line["name"], line["word"], line.span(), line.span("word")))
        at = line.end()
    return found


def _literal(word: str, field: str) -> str:
    parts: list[str] = []
    tilde = True
    for piece in _PIECE.finditer(word):
        single, double, escaped, bare = piece.group("single", "double", "escaped", "bare")
        if bare == "$" or (bare == "~" and tilde) or (double and "$" in re.sub(r"\\.", "", double, flags=re.DOTALL)):
            raise ValueError(f"the shell would expand the value of {field}")
        tilde = bare in {"=", ":"}
        if double is not None:
            parts.append(_IN_DOUBLE.sub(lambda match: match[1] or "", double))
        else:
            parts.append(single or bare or (escaped or "").replace("\n", ""))
    return "".join(parts)
