"""Rules against a manifest that leaks credentials: it may come from a pull request.

Literal secrets are refused and never repeated. `${VAR}` reads only variables that are meant for manifests, and only in
settings such as an address. A target's `origin_mistakes` checks the origins of its credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from keyturn.core.literals import looks_secret, names_secret
from keyturn.core.sanitize import unsafe
from keyturn.core.variables import read
from keyturn.manifest.mistakes import Mistakes, Path, Place
from keyturn.manifest.tree import Entry, Fields, Items, Node, Scalar

EXPANDED = ("address", "host", "url", "region", "role", "mount")
"""The settings of a target in which variables are expanded."""

_SECRET = "a manifest may not contain a literal secret; revoke it, and see the README for how to pass credentials"
_VARIABLE = re.compile(r"\$\{(?P<name>KEYTURN_[A-Z0-9_]+)(?::-(?P<fallback>[^{}]*))?\}")
_WHERE = f"variables are read only in {', '.join(EXPANDED[:-1])} and {EXPANDED[-1]} of a target"
_WHICH = "only variables named KEYTURN_… are read, as ${KEYTURN_NAME} or ${KEYTURN_NAME:-default}"


class Settings(dict[str, object]):
    """The settings of a target. The `repr` shows the names of variables, never their values."""

    def __init__(self, values: Mapping[str, object], shown: Mapping[str, object]) -> None:
        super().__init__(values)
        self._shown = dict(shown)

    def __repr__(self) -> str:
        return repr(self._shown)


def settings_of(target: Fields) -> Settings:
    """Return the settings of a target's entry: all fields except its type."""
    values = {name: _values(entry.value, shown=False) for name, entry in target.entries.items() if name != "type"}
    shown = {name: _values(entry.value, shown=True) for name, entry in target.entries.items() if name != "type"}
    return Settings(values, shown)


def read_untrusted(root: Fields, environment: Mapping[str, str], mistakes: Mistakes) -> Fields:
    """Return the tree with expanded variables. Note literal secrets, unsafe characters and misplaced variables."""
    reader = _Reader(environment, mistakes)
    node = reader.read(root, ())
    return node if isinstance(node, Fields) else root


def variables_in(text: str) -> tuple[str, ...]:
    """Return the names of the variables in a text that is not expanded."""
    return tuple(found["name"] for found in _VARIABLE.finditer(text))


def _values(node: Node, *, shown: bool) -> object:
    if isinstance(node, Fields):
        return {name: _values(entry.value, shown=shown) for name, entry in node.entries.items()}
    if isinstance(node, Items):
        return [_values(item, shown=shown) for item in node.nodes]
    return node.shown if shown and isinstance(node.value, str) else node.value


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.value is None


@dataclass(frozen=True, slots=True)
class _Reader:
    environment: Mapping[str, str]
    mistakes: Mistakes
    harmless: set[str] = field(default_factory=set)
    """Texts without a secret, an unsafe character or a variable. Most of a manifest repeats a few of them."""

    def read(self, node: Node, path: Path) -> Node:
        if isinstance(node, Scalar):
            return self._scalar(node, path)
        if isinstance(node, Fields):
            entries = {name: self._entry(entry, (*path, name)) for name, entry in node.entries.items()}
            return node if entries == node.entries else Fields(entries, node.place)
        nodes = tuple([self.read(item, (*path, index)) for index, item in enumerate(node.nodes)])
        return node if nodes == node.nodes else Items(nodes, node.place)

    def _entry(self, entry: Entry, path: Path) -> Entry:
        name, place, value = entry
        if name not in self.harmless:
            self._check(name, place, path)
            if "${" in name:
                self.mistakes.add(place, path, _WHERE)
        is_field = path[:-1] not in {("keys",), ("targets",)}
        if is_field and names_secret(name) and not _is_null(value):
            self.mistakes.settle(value.place, path, _SECRET)
            return entry
        found = self.read(value, path)
        return entry if found is value else Entry(name, place, found)

    def _scalar(self, scalar: Scalar, path: Path) -> Scalar:
        if not isinstance(scalar.value, str) or scalar.value in self.harmless:
            return scalar
        self._check(scalar.value, scalar.place, path)
        if "${" not in scalar.value:
            return scalar
        if path[0] != "targets" or len(path) < 3 or path[-1] not in EXPANDED:  # noqa: PLR2004  (targets.NAME.setting)
            self.mistakes.settle(scalar.place, path, _WHERE)
            return scalar
        return self._expand(scalar, path)

    def _check(self, text: str, place: Place, path: Path) -> None:
        if looks_secret(text):
            self.mistakes.settle(place, path, _SECRET)
        elif unsafe(text):
            self.mistakes.add(place, path, f"may not contain the invisible or control character {unsafe(text)}")
        elif "${" not in text:
            self.harmless.add(text)

    def _expand(self, scalar: Scalar, path: Path) -> Scalar:
        """Replace variables by their values. An empty one counts as missing, as in a shell."""
        text = str(scalar.value)
        if "${" in _VARIABLE.sub("", text):
            self.mistakes.settle(scalar.place, path, _WHICH)
            return scalar
        found = tuple(_VARIABLE.finditer(text))
        if own := next((one["name"] for one in found if read(one["name"])), ""):
            text = f"{own} is a variable of keyturn itself; choose another name"
            self.mistakes.settle(scalar.place, path, text)
            return scalar
        unset = [one for one in found if not self.environment.get(one["name"])]
        missing = [one["name"] for one in unset if one["fallback"] is None]
        if missing:
            names = " and ".join(missing)
            text = f"{names}: not set or empty, and without a default"
            self.mistakes.settle(scalar.place, path, text, in_environment=True)
            return scalar
        value = _VARIABLE.sub(lambda found: self.environment.get(found["name"]) or found["fallback"] or "", text)
        if looks_secret(value) or unsafe(value):
            self.mistakes.settle(scalar.place, path, "the variable contains a secret or an invisible character")
            return scalar
        # A default is part of the manifest, so it may be shown.
        whole = unset[0]["name"] if [one[0] for one in unset] == [text] else ""
        return Scalar(value, scalar.place, value if len(unset) == len(found) else scalar.shown, whole)
