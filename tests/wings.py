"""The picture of the wings in docs/architecture.md: a Mermaid graph computed from the imports."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path("docs/architecture.md")
PACKAGES = ("keyturn", "keyturn_provider", "pulumi_keyturn")
BEGIN, END = "<!-- begin: wings, written by `make generate` -->", "<!-- end: wings -->"
_BLOCK = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)

Arrows = frozenset[tuple[str, str]]


def drawn(page: str) -> str:
    """Return the page with its block replaced by today's picture; `ValueError` if the page has no such block."""
    if not _BLOCK.search(page):
        raise ValueError(f"{PAGE} has no block between {BEGIN} and {END}")
    return _BLOCK.sub(lambda _: f"{BEGIN}\n{picture(arrows())}\n{END}", page)


def arrows() -> Arrows:
    """Return which wing imports which, from the imports of every module."""
    import grimp  # the small environments of `make unit-all` do without it

    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    pairs = {
        (wing(module), wing(imported))
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    }
    return frozenset((one, other) for one, other in pairs if one and other and one != other)


def wing(module: str) -> str:
    """Return the wing of a module: the folder below `keyturn`, or another package; empty for `keyturn` itself."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == PACKAGES[0] else package


def picture(pairs: Arrows) -> str:
    """Return the graph as Mermaid: solid if it is the only way between two wings, dotted if a longer one exists."""
    lines = [f"  {one} {'-.->' if _longer_way(pairs, one, other) else '-->'} {other}" for one, other in sorted(pairs)]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def _longer_way(pairs: Arrows, start: str, goal: str) -> bool:
    """Tell whether `goal` can be reached from `start` through another wing."""
    seen, left = set[str](), [other for one, other in pairs if one == start and other != goal]
    while left:
        here = left.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            left += [other for one, other in pairs if one == here]
    return False
