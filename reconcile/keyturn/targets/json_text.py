"""PURE: changes one member in the text of a JSON object, or one element of an array. All other characters are kept.

Parsing and serializing the whole object would change numbers (1.10, 1e400), whitespace and the order of members.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the outermost object, with the offsets of its name and its value."""

    name: str
    value: object
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Element:
    """An element of the outermost array, with its offsets."""

    value: object
    start: int
    end: int


def members(text: str) -> Sequence[Member]:
    """Return the members of the JSON object in `text`.

    Raises:
        ValueError: not a JSON object, or a duplicate member name; the text is not repeated.
    """
    at = _expect(text, _skip(text, 0), "{")
    found: list[Member] = []
    if text[at : at + 1] == "}":
        _expect_end(text, at + 1)
        return found
    while True:
        name, end = _decode(text, at)
        if not isinstance(name, str):
            raise _no_object()
        start, value_start = at, _expect(text, _skip(text, end), ":")
        value, end = _decode(text, value_start)
        found.append(Member(name, value, start, value_start, end))
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            break
        at = _expect(text, at, ",")
    _expect_end(text, at + 1)
    if len({member.name for member in found}) != len(found):
        raise ValueError("this JSON object has a duplicate member name")
    return found


def elements(text: str) -> Sequence[Element]:
    """Return the elements of the JSON array in `text`.

    Raises:
        ValueError: not a JSON array; the text is not repeated.
    """
    at = _expect(text, _skip(text, 0), "[")
    found: list[Element] = []
    while text[at : at + 1] != "]" or found:
        value, end = _decode(text, at)
        found.append(Element(value, at, end))
        at = _skip(text, end)
        if text[at : at + 1] == "]":
            break
        at = _expect(text, at, ",")
    _expect_end(text, at + 1)
    return found


def changed(text: str, name: str, value: str | None) -> str:
    """Return `text` with the member set to the text `value`, or removed if it is None. Raises ValueError."""
    return placed(text, name, None if value is None else json.dumps(value))


def placed(text: str, name: str, written: str | None) -> str:
    """Return `text` with the member set to the JSON in `written`, or removed if it is None. Raises ValueError."""
    found = members(text)
    place = next((place for place, member in enumerate(found) if member.name == name), None)
    if written is None:
        return text if place is None else _without(text, found, place)
    if place is not None:
        return text[: found[place].value_start] + written + text[found[place].end :]
    opening = text.index("{") + 1
    if not found:
        return f"{text[:opening]}{json.dumps(name)}: {written}{text[opening:]}"
    blank = text[opening : found[0].start] or " "
    last = found[-1].end
    return f"{text[:last]},{blank}{json.dumps(name)}: {written}{text[last:]}"


def appended(text: str, written: str) -> str:
    """Return the array in `text` with the JSON in `written` as its last element. Raises ValueError."""
    found = elements(text)
    if not found:
        opening = text.index("[") + 1
        return f"{text[:opening]}{written}{text[opening:]}"
    blank = text[text.index("[") + 1 : found[0].start]
    return f"{text[: found[-1].end]},{blank}{written}{text[found[-1].end :]}"


def without(text: str, place: int) -> str:
    """Return the array in `text` without one of its elements. Raises ValueError."""
    return _without(text, elements(text), place)


def _without(text: str, found: Sequence[Member] | Sequence[Element], place: int) -> str:
    if len(found) == 1:
        return text[: found[0].start].rstrip(_BLANKS) + text[found[0].end :].lstrip(_BLANKS)
    if place == 0:
        return text[: found[0].start] + text[found[1].start :]
    return text[: found[place - 1].end] + text[found[place].end :]


def _decode(text: str, at: int) -> tuple[object, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        value, end = None, -1
    if end < 0:
        # Raise outside the handler: the decoder's error contains the whole text.
        raise _no_object()
    return value, end


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANKS:
        at += 1
    return at


def _expect(text: str, at: int, mark: str) -> int:
    """Return the offset after `mark` and the whitespace that follows it."""
    if text[at : at + 1] != mark:
        raise _no_object()
    return _skip(text, at + 1)


def _expect_end(text: str, at: int) -> None:
    if _skip(text, at) != len(text):
        raise _no_object()


def _no_object() -> ValueError:
    return ValueError("this is not a JSON object")
