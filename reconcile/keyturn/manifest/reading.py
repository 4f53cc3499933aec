"""One manifest that was read: its model, its tree and its mistakes so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from keyturn.core.model import RecordsConfig, TargetConfig
from keyturn.manifest.mistakes import Mistakes, Path, Place
from keyturn.manifest.schema import DeliverEntry, KeyEntry, Kinds, Manifest
from keyturn.manifest.tree import Fields, Items, Node, Scalar
from keyturn.targets.base import Capabilities

LOCAL = "local"
"""The name of the records' place that is a directory and no target."""


@dataclass(slots=True)
class Reading:
    """`model` is without the parts in `bad`; `root` is the tree after defaults, with variables expanded."""

    model: Manifest
    root: Fields
    bad: frozenset[Path]
    mistakes: Mistakes
    kinds: Kinds
    targets: dict[str, TargetConfig] = field(default_factory=dict)
    """The targets whose type is known, whatever is wrong with their settings."""
    capabilities: dict[str, Capabilities] = field(default_factory=dict)
    """What each of `targets` can do."""
    records: RecordsConfig | None = None

    def node(self, path: Path) -> Node | None:
        """Return the node at `path`, None where nothing is written."""
        node: Node = self.root
        for part in path:
            if isinstance(node, Fields) and part in node.entries:
                node = node.entries[str(part)].value
            elif isinstance(node, Items) and isinstance(part, int) and part < len(node.nodes):
                node = node.nodes[part]
            else:
                return None
        return node

    def place(self, path: Path) -> Place:
        """Return where `path` is written: the value, or the name of the innermost mapping that is."""
        node: Node = self.root
        place = Place(min(self.root.place.line, 1), min(self.root.place.column, 1))
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

    def good(self, path: Path) -> bool:
        """Tell whether neither `path` nor anything above or below it was found wrong."""
        return not any(path[: len(wrong)] == wrong or wrong[: len(path)] == path for wrong in self.bad)

    def misses(self, section: str, name: str) -> bool:
        """Tell whether a readable section has nothing of that name, not even something wrong."""
        return (section,) not in self.bad and self.node((section, name)) is None

    def mistake(self, path: Path, text: str) -> None:
        """Note a mistake at `path`."""
        self.mistakes.add(self.place(path), path, text)

    def deliveries(self, key: str, entry: KeyEntry) -> Iterator[tuple[Path, DeliverEntry]]:
        """Yield the deliveries of a key that could be read, with their paths."""
        path: Path = ("keys", key, "deliver")
        node = self.node(path)
        count = len(node.nodes) if isinstance(node, Items) else 0
        paths = [(*path, index) for index in range(count) if (*path, index) not in self.bad]
        yield from zip(paths, entry.deliver, strict=len(paths) == len(entry.deliver))

    def present(self) -> Iterator[tuple[str, KeyEntry]]:
        """Yield the keys that are to exist."""
        return ((key, entry) for key, entry in self.model.keys.items() if entry.state == "present")
