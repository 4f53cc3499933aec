"""The tree of a manifest: its nodes know their line and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from keyturn.manifest.mistakes import Place

LIMIT_BYTES = 1024 * 1024
LIMIT_NODES = 100_000
LIMIT_DEPTH = 24

Plain = str | int | float | bool | None


class Scalar(NamedTuple):
    """One value. `shown` is its text before variables were expanded, and `unset` a variable whose default it is."""

    value: Plain
    place: Place
    shown: str = ""
    unset: str = ""


class Items(NamedTuple):
    """A list."""

    nodes: tuple[Node, ...]
    place: Place


class Entry(NamedTuple):
    """One field of a mapping. `place` is the position of its name."""

    name: str
    place: Place
    value: Node


class Fields(NamedTuple):
    """A mapping without duplicate names."""

    entries: Mapping[str, Entry]
    place: Place


Node = Scalar | Items | Fields


def to_plain(node: Node) -> object:
    """Return the node as str, int, float, bool, None, list and dict."""
    if isinstance(node, Fields):
        return {name: to_plain(entry.value) for name, entry in node.entries.items()}
    if isinstance(node, Items):
        return [to_plain(item) for item in node.nodes]
    return node.value


def from_plain(data: object, place: Place = Place()) -> Node:  # noqa: B008  (frozen)
    """Return plain data as a tree with one position. Any other value is converted with str()."""
    if isinstance(data, Mapping):
        entries = {str(name): Entry(str(name), place, from_plain(value, place)) for name, value in data.items()}
        return Fields(entries, place)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return Items(tuple(from_plain(item, place) for item in data), place)
    if data is None or isinstance(data, bool | int | float | str):
        return Scalar(data, place, str(data))
    return Scalar(str(data), place, str(data))


def scalars(node: Node, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Scalar, tuple[str | int, ...]]]:
    """Yield all scalars of the tree with their paths."""
    if isinstance(node, Scalar):
        yield node, path
    elif isinstance(node, Items):
        for index, item in enumerate(node.nodes):
            yield from scalars(item, (*path, index))
    else:
        for entry in node.entries.values():
            yield from scalars(entry.value, (*path, entry.name))


def place_at(root: Fields, path: tuple[str | int, ...]) -> Place:
    """Return the position of the value at `path`, or of the name of the innermost mapping that exists."""
    node: Node = root
    place = Place(min(root.place.line, 1), min(root.place.column, 1))
    for part in path:
        if isinstance(node, Fields) and part in node.entries:
            entry = node.entries[str(part)]
            node, place = entry.value, entry.place
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.nodes):
            node = node.nodes[part]
            place = node.place
        else:
            return place
    return node.place if isinstance(node, Scalar) else place
