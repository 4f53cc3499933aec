"""A manifest that is being read: its model, its tree and its mistakes so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from pydantic import BaseModel

from keyturn.core.errors import Mistake
from keyturn.core.model import Receiver, RecordsConfig, TargetConfig
from keyturn.manifest.mistakes import Mistakes, Path, Place
from keyturn.manifest.schema import DeliverEntry, KeyEntry, Kinds, Manifest
from keyturn.manifest.tree import Fields, Items, Node, place_at
from keyturn.targets.base import Capabilities

LOCAL = "local"
"""The name of the record store that is a directory and not a target."""


@dataclass(slots=True)
class Reading:
    """`model` does not include the parts in `bad`. `root` is the tree with defaults and expanded variables."""

    model: Manifest
    root: Fields
    bad: frozenset[Path]
    mistakes: Mistakes
    kinds: Kinds
    base: FilePath
    """The manifest's directory."""
    targets: dict[str, TargetConfig] = field(default_factory=dict)
    """The targets with a known type, even if their settings are wrong."""
    settings: dict[str, BaseModel] = field(default_factory=dict)
    """The settings of each of `targets` in which there is no mistake of form."""
    capabilities: dict[str, Capabilities] = field(default_factory=dict)
    """The capabilities of each of `targets`."""
    records: RecordsConfig | None = None
    commands: tuple[str, ...] = ()
    """The programs that the environment permits."""
    receivers: tuple[Receiver, ...] = ()
    unset: list[Mistake] = field(default_factory=list)
    """What the environment lacks to tell the receivers."""
    above: frozenset[Path] = field(init=False)
    """Everything that contains a part in `bad`, and those parts."""

    def __post_init__(self) -> None:
        self.above = frozenset(path[:length] for path in self.bad for length in range(len(path) + 1))

    def node(self, path: Path) -> Node | None:
        """Return the node at `path`, or None if the manifest does not have it."""
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
        """Return the position of the value at `path`, or of the name of the innermost mapping that exists."""
        return place_at(self.root, path)

    def good(self, path: Path) -> bool:
        """Tell whether `path` and everything above and below it has no mistake."""
        if not self.bad:
            return True
        return path not in self.above and not any(path[:length] in self.bad for length in range(len(path) + 1))

    def misses(self, section: str, name: str) -> bool:
        """Tell whether a readable section has no entry of that name, not even a wrong one."""
        return (section,) not in self.bad and self.node((section, name)) is None

    def mistake(self, path: Path, text: str) -> None:
        """Note a mistake at `path`."""
        self.mistakes.add(self.place(path), path, text)

    def deliveries(self, key: str, entry: KeyEntry) -> Iterator[tuple[Path, DeliverEntry]]:
        """Yield the readable deliveries of a key, with their paths."""
        path: Path = ("keys", key, "deliver")
        if not self.bad:
            yield from (((*path, index), delivery) for index, delivery in enumerate(entry.deliver))
            return
        node = self.node(path)
        count = len(node.nodes) if isinstance(node, Items) else 0
        paths = [(*path, index) for index in range(count) if (*path, index) not in self.bad]
        yield from zip(paths, entry.deliver, strict=len(paths) == len(entry.deliver))

    def present(self) -> Iterator[tuple[str, KeyEntry]]:
        """Yield the keys whose state is not `absent`."""
        return ((key, entry) for key, entry in self.model.keys.items() if entry.state == "present")
