"""PURE: reads and changes one value in a dotenv file, as python-dotenv reads it. All other characters are kept.

Each way to quote the value is tried in turn. The first one that python-dotenv reads back as the same value is used.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from keyturn.targets.shell_text import PLAIN

LONGEST = 64 * 1024
"""The longest line, and the longest value after its variables were replaced, in characters."""

_MOST_LINES = 5000
_MOST_BLANKS = 200
_MOST_OPEN = 10
_BLANK = r"[^\S\r\n]*"
_HEAD = re.compile(rf"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+){_BLANK}(?P<equals>={_BLANK})?")
_VALUE = re.compile(
    r"'(?:\\.|[^'\\])*'" + r'|"(?:\\.|[^"\\])*"' + r"|(?!['\"])[^\r\n]*?(?=\s+#|[^\S\r\n]*(?:[\r\n]|\Z))", re.DOTALL
)


def read(text: str, field: str) -> str | None:
    """Return the value of a name, or None if it is not set. Raises ValueError if the value cannot be determined."""
    known: dict[str, str | None] = {}
    for binding in _bindings(_as_read(text)):
        if binding.key:
            known[binding.key] = _resolved(binding, known, strict=binding.key == field)
    _place(_bindings(text), field)
    return known.get(field)


def changed(text: str, field: str, value: str | None) -> str:
    """Return the text with a name set to `value`, or removed if it is None. Raises ValueError."""
    bindings = _bindings(text)
    place = _place(bindings, field)
    before = "".join(binding.original.string for binding in bindings[:place])
    after = "".join(binding.original.string for binding in bindings[place:][1:])
    own = bindings[place].original.string if place < len(bindings) else None
    if value is None:
        # python-dotenv includes the blank lines above in the text of a line.
        blank = "" if own is None else own[: len(own) - len(own.lstrip())]
        return before + blank[: blank.rfind("\n") + 1] + after
    others = _others(bindings, field)
    for written in _ways(value):
        line = _replaced(own, written) if own is not None else _appended(before, field, written)
        fresh = before + line + after
        if _others(_bindings(fresh), field) == others and read(fresh, field) == value:
            return fresh
    raise ValueError("python-dotenv cannot read this secret back, however it is quoted")


def _ways(value: str) -> Iterator[str]:
    """Yield the ways to write a value, the plainest first: some dotenv parsers do not support quotes."""
    if PLAIN.fullmatch(value):
        yield value
    # python-dotenv expands ${…} in quotes of any kind. It keeps the default of a variable without a name as it is.
    escaped = value.replace("${", "${:-$}{").replace("\\", "\\\\")
    if value.isprintable():
        yield "'" + escaped.replace("'", "\\'") + "'"
    yield '"' + escaped.replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'


def _replaced(line: str, written: str) -> str:
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("this line cannot be changed")
    rest = line[head.end() :]
    if not head["equals"]:
        return f"{head[0].rstrip()}={written}{rest}"
    if rest.startswith("#") and not head[0].endswith("="):
        return f"{head[0].rstrip()}{written} {rest}"
    value = _VALUE.match(rest)
    return head[0] + written + rest[value.end() if value else len(rest) :]


def _appended(before: str, field: str, written: str) -> str:
    ending = "\r\n" if "\r\n" in before else "\n"
    gap = "" if not before or before.endswith(("\n", "\r")) else ending
    return f"{gap}{field}={written}{ending}"


def _bindings(text: str) -> Sequence[Binding]:
    _check_bounds(text)
    return tuple(parse_stream(io.StringIO(text, newline="")))


def _check_bounds(text: str) -> None:
    """Raise ValueError for a text that python-dotenv would not read in linear time. This check itself is linear."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(lines) > _MOST_LINES:
        raise ValueError(f"it has more than {_MOST_LINES} lines")
    if max(map(len, lines)) > LONGEST:
        raise ValueError(f"a line is longer than {LONGEST // 1024} KiB")
    if max(map(len, re.findall(r"[^\S\n]+", "\n".join(lines))), default=0) > _MOST_BLANKS:
        raise ValueError(f"there are more than {_MOST_BLANKS} blanks in a row")
    if sum(line.count("${", line.rfind("}") + 1) for line in lines) > _MOST_OPEN:
        raise ValueError(f"more than {_MOST_OPEN} variables (${{…) have no end")


def _others(bindings: Sequence[Binding], field: str) -> Sequence[tuple[str | None, str | None]]:
    return [(one.key, one.value) for one in bindings if one.key != field and (one.key or one.error)]


def _place(bindings: Sequence[Binding], field: str) -> int:
    """Return the index of the binding that sets the name, or the number of bindings if none does."""
    found = [place for place, binding in enumerate(bindings) if binding.key == field]
    if len(found) > 1:
        raise ValueError(f"{field} is set twice")
    return found[0] if found else len(bindings)


def _resolved(binding: Binding, known: dict[str, str | None], *, strict: bool) -> str | None:
    atoms = tuple(parse_variables(binding.value or ""))
    unknown = [atom for atom in atoms if isinstance(atom, Variable) and atom.default is None and atom.name not in known]
    if unknown and strict:
        raise ValueError(f"the value of {binding.key} refers to another variable")
    parts = [atom.resolve(known) for atom in atoms]
    # Values that refer to each other could double their length with each line.
    if sum(map(len, parts)) > LONGEST:
        raise ValueError(f"the value of {binding.key} is longer than {LONGEST // 1024} KiB")
    return "".join(parts)


def _as_read(text: str) -> str:
    """Return the text with every line ending as one newline, as a file opened for reading returns it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
