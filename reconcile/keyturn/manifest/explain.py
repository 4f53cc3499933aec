"""Turns pydantic's errors into mistakes with a position and our wording. A value is never repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from keyturn.manifest.mistakes import Mistakes, Path, Place, suggest
from keyturn.manifest.schema import ID, UUID
from keyturn.manifest.tree import Fields, Items, Node, Scalar, scalars, to_plain

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

"""Planned fields that this version does not support."""

_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be a mapping (field: value)",
    "model_type": "must be a mapping (field: value)",
    "model_attributes_type": "must be a mapping (field: value)",
    "string_too_short": "may not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "too_long": "has more than {max_length} items",
    "too_short": "may not be empty",
    "union_tag_invalid": "type must be one of {expected_tags}",
    "union_tag_not_found": "needs a type",
}
_PATTERNS = {
    ID: "must be at most 64 letters, digits, dots, hyphens and underscores, and start with a letter or a digit",
    UUID: "must be a uuid",
}


@dataclass(frozen=True, slots=True)
class _Found:
    """The location of an error: the path as far as nodes exist, the last node, and the position of its name."""

    path: Path
    node: Node
    name: Place

    @property
    def place(self) -> Place:
        """The position of the value, or of its name if it is a collection."""
        return self.node.place if isinstance(self.node, Scalar) else self.name


def validate(
    model: type[Model],
    node: Node,
    path: Path,
    mistakes: Mistakes,
    *,
    place: Place,
    fallback: Mapping[str, object] | None = None,
) -> tuple[Model | None, frozenset[Path]]:
    """Return the model of `node` without its wrong parts, and the paths of the wrong parts relative to `node`.

    Each wrong field is noted in `mistakes`, so that the rest can still be checked. A wrong list item is removed as a
    whole. `fallback` replaces required fields at the top. The model is None if nothing is left.
    """
    data = to_plain(node)
    bad: set[Path] = set()
    while True:
        try:
            return model.model_validate(data), frozenset(bad)
        except ValidationError as error:
            details = error.errors(include_url=False)
        wrong: set[Path] = set()
        for detail in details:
            location = detail["loc"][:-1] if detail["type"] == "missing" else detail["loc"]
            found = _locate(node, location, place)
            if not bad:
                _note(model, detail, found, path, mistakes)
            wrong.add(_up_to_last_item(found.path))
        if wrong <= bad:
            return None, frozenset(bad)
        bad |= wrong
        data = _without(data, wrong)
        if not isinstance(data, dict) or (fallback is None and () in wrong):
            return None, frozenset(bad)
        data = {**(fallback or {}), **data}


def _note(model: type[BaseModel], detail: ErrorDetails, found: _Found, path: Path, mistakes: Mistakes) -> None:
    kind = detail["type"]
    shown = (*path, *found.path)
    if kind == "missing":
        mistakes.add(found.place, (*shown, detail["loc"][-1]), _WORDS[kind])
    elif kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        known = () if mistakes.full else sorted(set(_fields(model, detail["loc"][:-1])) - {name})
        mistakes.add(found.name, shown, f"is not a field; {suggest(name, known)}")
    else:
        place = found.name if detail["loc"][-1:] == ("[key]",) else found.place
        mistakes.add(place, shown, _sentence(detail, found.node))


def _sentence(detail: ErrorDetails, node: Node) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
    text = _WORDS[kind].format(**context) if kind in _WORDS else detail["msg"].removeprefix("Value error, ")
    if isinstance(node, Scalar):
        if node.value is None:
            text += " and is empty"
        elif kind == "string_type":
            text += "; put it in quotes"
        elif kind == "bool_type" and isinstance(node.value, str) and node.value.lower() in _BOOLEANS:
            text += f"; write {_BOOLEANS[node.value.lower()]}"
        elif kind == "literal_error" and isinstance(node.value, str):
            choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
            close = get_close_matches(node.value[:80], choices, n=1) if len(choices) > 1 else []
            text += f"; did you mean {close[0]}?" if close else ""
    # A target's settings model may repeat the value in its message. Hide the values of variables.
    for scalar, _ in scalars(node):
        if isinstance(scalar.value, str) and scalar.value and scalar.shown != scalar.value:
            text = text.replace(scalar.value, scalar.shown)
    return text


_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _locate(node: Node, location: tuple[int | str, ...], place: Place) -> _Found:
    """Follow pydantic's location. Skip parts that are not nodes (`[key]`, the tag of a union)."""
    path: Path = ()
    for part in location:
        if isinstance(node, Fields) and part in node.entries:
            entry = node.entries[str(part)]
            node, path, place = entry.value, (*path, part), entry.place
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.nodes):
            node, path = node.nodes[part], (*path, part)
            place = node.place
    return _Found(path, node, place)


def _up_to_last_item(path: Path) -> Path:
    """Return the path up to its last list item: removing whole items keeps the positions of the others known."""
    last = max((index for index, part in enumerate(path) if isinstance(part, int)), default=None)
    return path if last is None else path[: last + 1]


def _without(data: object, paths: Iterable[Path]) -> object:
    """Return a copy of `data` without the values at `paths`. An empty path removes nothing."""
    below: dict[str | int, list[Path]] = {}
    for path in paths:
        if path:
            below.setdefault(path[0], []).append(path[1:])
    if isinstance(data, dict):
        return {
            name: _without(value, below.get(name, ())) for name, value in data.items() if () not in below.get(name, ())
        }
    if isinstance(data, list):
        return [
            _without(item, below.get(index, ())) for index, item in enumerate(data) if () not in below.get(index, ())
        ]
    return data


def _fields(annotation: object, location: tuple[int | str, ...]) -> Iterator[str]:
    """Yield the field names of the models at `location`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        named = {info.alias or name: info.annotation for name, info in annotation.model_fields.items()}
        if not location:
            yield from named
        elif location[0] in named:
            yield from _fields(named[str(location[0])], location[1:])
        else:  # the tag of a union
            yield from _fields(annotation, location[1:])
        return
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        yield from _fields(arguments[0], location)
    elif get_origin(annotation) in {dict, list} and location:
        yield from _fields(arguments[-1], location[1:])
    else:
        for argument in arguments:
            yield from _fields(argument, location)
