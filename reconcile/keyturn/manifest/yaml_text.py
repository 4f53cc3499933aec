"""YAML as a tree. It is built without recursion and within limits.

The types are those of the YAML 1.2 core schema: only `true` and `false` are booleans (`yes` is a string). Keys are
always strings. Tags, merge keys and multiple documents are refused. Anchors and aliases are allowed while the expanded
tree stays small.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import yaml

from keyturn.manifest.mistakes import Mistakes, Place
from keyturn.manifest.tree import LIMIT_BYTES, LIMIT_DEPTH, LIMIT_NODES, Entry, Fields, Items, Node, Plain, Scalar

_WORDS: Mapping[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMERIC = frozenset("+-.0123456789")
"""How a number begins."""
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,9})?\Z")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that YAML does not allow in a file, and the byte order mark after its start."""
_BIDIRECTIONAL = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def parse(source: str | bytes, mistakes: Mistakes) -> Fields:
    """Return the tree of a manifest. Duplicate keys, tags and merge keys are noted in `mistakes`.

    Raises:
        ManifestError: not UTF-8, not YAML, not a mapping, empty, too large or nested too deeply.
    """
    text = _decode(source, mistakes)
    try:
        root = _root(text, mistakes)
    except yaml.MarkedYAMLError as error:
        place = _at(error.problem_mark or error.context_mark)
        what = ", ".join(part for part in (error.context, error.problem) if part)
        mistakes.add(place, (), f"not YAML: {what}")
        raise mistakes.stop() from None
    except yaml.YAMLError:
        mistakes.add(Place(1, 1), (), "not YAML")
        raise mistakes.stop() from None
    if isinstance(root, Fields):
        return root
    empty = root is None or (isinstance(root, Scalar) and root.value is None)
    mistakes.add(
        Place(1, 1) if root is None else root.place,
        (),
        "the file is empty; `keyturn init` creates a starter" if empty else "a manifest is a mapping (field: value)",
    )
    raise mistakes.stop()


def _root(text: str, mistakes: Mistakes) -> Node | None:
    """Return the root, read by libyaml if PyYAML has it. What that refuses, PyYAML reads again and explains.

    So the words and the place of an error are the same with and without libyaml. A mistake is noted once.
    """
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return _built(text, yaml.CSafeLoader, mistakes)
    return _built(text, yaml.SafeLoader, mistakes)


def _built(text: str, loader: type[yaml.SafeLoader | yaml.CSafeLoader], mistakes: Mistakes) -> Node | None:
    builder = _Builder(mistakes)
    for event in yaml.parse(text, loader):
        builder.take(event)
    return builder.root


class _Mark(Protocol):
    """A position of PyYAML, counted from 0."""

    line: int
    column: int


def _at(mark: _Mark | None) -> Place:
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _decode(source: str | bytes, mistakes: Mistakes) -> str:
    size = len(source)
    if size > LIMIT_BYTES:
        mistakes.add(Place(1, 1), (), f"the file is larger than {LIMIT_BYTES // 1024} KiB")
        raise mistakes.stop()
    if isinstance(source, str):
        text = source
    else:
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError as error:
            before = source[: error.start].decode("utf-8", "replace")
            mistakes.add(_place_after(before), (), "the file is not UTF-8 text")
            raise mistakes.stop() from None
    text = text.removeprefix("\ufeff")
    for pattern, what in (
        (_FORBIDDEN, "a control character"),
        (
            _BIDIRECTIONAL,
            "a bidirectional control character (text would be displayed in another order than it is read)",
        ),
    ):
        found = pattern.search(text)
        if found:
            code = f"U+{ord(found.group()):04X}"
            mistakes.add(_place_after(text[: found.start()]), (), f"{what} ({code}) may not be in a manifest")
    if mistakes.found:
        raise mistakes.stop()
    return text


def _place_after(before: str) -> Place:
    line = before.count("\n") + 1
    return Place(line, len(before) - (before.rfind("\n") + 1) + 1)


@dataclass(slots=True)
class _Frame:
    """A collection that is being read."""

    place: Place
    anchor: str | None
    mapping: bool
    entries: dict[str, Entry] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    name: tuple[str, Place] | None = None
    """The field whose value is read next, and where its name stands."""
    size: int = 1
    height: int = 1


class _Anchored(NamedTuple):
    node: Node
    size: int
    height: int


@dataclass(slots=True)
class _Builder:
    """Builds the tree from YAML events, one at a time."""

    mistakes: Mistakes
    root: Node | None = None
    stack: list[_Frame] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    documents: int = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            place = self._place(event)
            frame = self.stack[-1] if self.stack else None
            if frame and frame.mapping and frame.name is None and event.anchor is None:  # half of a manifest is names
                frame.size += 1
                frame.name = self._name(event.value, place)
                return
            node = Scalar(_resolve(event), place, event.value)
            if event.anchor is not None:
                self.anchors[event.anchor] = _Anchored(node, 1, 0)
            self._attach(node, event.value, 1, 0, place)
        elif isinstance(event, yaml.CollectionStartEvent):
            place = self._place(event)
            self.stack.append(_Frame(place, event.anchor, isinstance(event, yaml.MappingStartEvent)))
            self._check_depth(place, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            frame = self.stack.pop()
            collection: Node = (
                Fields(frame.entries, frame.place) if frame.mapping else Items(tuple(frame.nodes), frame.place)
            )
            if frame.anchor is not None:
                self.anchors[frame.anchor] = _Anchored(collection, frame.size, frame.height)
            self._attach(collection, None, frame.size, frame.height, frame.place)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, _at(event.start_mark))
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(_at(event.start_mark), "a second document; write one manifest per file")

    def _alias(self, event: yaml.AliasEvent, place: Place) -> None:
        anchored = self.anchors.get(event.anchor or "")
        if anchored is None:
            self.mistakes.add(place, (), "this alias refers to no earlier anchor")
            anchored = _Anchored(Scalar(None, place), 1, 0)
        self._check_depth(place, anchored.height)
        text = anchored.node.shown if isinstance(anchored.node, Scalar) else None
        self._attach(anchored.node, text, anchored.size, anchored.height, place)

    def _attach(self, node: Node, text: str | None, size: int, height: int, place: Place) -> None:
        """Add a finished node as a name, a value, an item, or the root."""
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        frame.size += size
        if height >= frame.height:
            frame.height = height + 1
        if frame.size > LIMIT_NODES:
            self._stop(frame.place, "too many values (aliases count each time they are used)")
        if not frame.mapping:
            frame.nodes.append(node)
        elif frame.name is None:
            frame.name = self._name(text, place)
        else:
            (name, where), frame.name = frame.name, None
            first = frame.entries.get(name)
            if first is None:
                frame.entries[name] = Entry(name, where, node)
            else:
                known = f"on line {first.place.line}"
                self.mistakes.add(
                    where, self._path(name), f"duplicate name, first {known}; one of the values would be lost"
                )

    def _name(self, text: str | None, place: Place) -> tuple[str, Place]:
        if text is None:
            self.mistakes.add(place, self._path(), "the name of a field must be a plain word")
            text = ""
        if text == "<<":
            self.mistakes.add(
                place, self._path(), "merge keys (<<) are not supported; use `defaults:`, or an alias alone"
            )
        return text, place

    def _path(self, *last: str) -> tuple[str | int, ...]:
        path: list[str | int] = []
        for frame in self.stack:
            if not frame.mapping:
                path.append(len(frame.nodes))
            elif frame.name is not None:
                path.append(frame.name[0])
        return (*path, *last)

    def _place(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Place:
        """Return where a value begins. Note its tag, if it has one."""
        place = _at(event.start_mark)
        if event.tag is not None:
            self.mistakes.add(place, self._path(), "YAML tags (!…) are not supported; write a plain value")
        return place

    def _check_depth(self, place: Place, height: int) -> None:
        if len(self.stack) + height > LIMIT_DEPTH:
            self._stop(place, f"nested deeper than {LIMIT_DEPTH} levels")

    def _stop(self, place: Place, text: str) -> None:
        self.mistakes.add(place, (), text)
        raise self.mistakes.stop()


def _resolve(event: yaml.ScalarEvent) -> Plain:
    """Return a plain scalar by the core schema. A quoted scalar is a string."""
    text: str = event.value
    if event.style:  # "" or None if it is plain
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:  # nearly all
        return text
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text
