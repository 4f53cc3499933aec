"""What the documentation points at: links, anchors, and paths in code spans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

MAPS = (Path("docs/architecture.md"), Path("CONTRIBUTING.md"))
"""Pages in which every path in a code span has to exist. In other pages, only paths below a folder of ours have to."""
INDEX = Path("docs/README.md")
HOMES = ("", "reconcile/keyturn", "provider/keyturn_provider", "provider/pulumi_keyturn")
"""Where a path of a map may start."""
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2`*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_BARE = re.compile(r"<([a-z]+:[^>\s]+)>")
_OUTSIDE = re.compile(
    r"https://(?:[a-z0-9-]+\.)+[a-z]{2,}(?:/[\w./~%@:+-]*)?(?:\?[\w=&%.-]+)?(?:#[\w./-]+)?|mailto:\S+@\S+"
)
_SPAN = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+?) *#*$", re.MULTILINE)
_OURS = re.compile(r"(?:docs|examples|provider|reconcile|requirements|schemas|sdk|tests)/[\w./*-]*")
_MAPPED = re.compile(r"([\w./*-]+(?:/|\.(?:in|json|md|py|toml|txt|ya?ml)))(?:::(\w+))?")


def links(text: str) -> Iterator[str]:
    """Yield the relative links of a page of markdown."""
    for target in _LINK.findall(_without_code(text)):
        if not re.match(r"[a-z]+:", target):
            yield target


def malformed_links(root: Path, page: Path) -> Iterator[str]:
    """Yield the links out of the repository that no browser could follow; nothing is asked."""
    text = _without_code((root / page).read_text(encoding="utf-8"))
    for link in [*_LINK.findall(text), *_BARE.findall(text)]:
        if re.match(r"[a-z]+:", link) and not _OUTSIDE.fullmatch(link):
            yield f"{page}: the link {link} is no address: https://HOST/PATH, or mailto:"


def anchors(text: str) -> frozenset[str]:
    """Return the anchors of a page's headings, by GitHub's rules."""
    times: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w -]", "", plain).replace(" ", "-")
        times[slug] = times.get(slug, 0) + 1
    return frozenset(f"{slug}-{again}" if again else slug for slug, count in times.items() for again in range(count))


def broken_links(root: Path, page: Path) -> Iterator[str]:
    """Yield the links of a page that lead nowhere: no such file, or no such heading in it."""
    for link in links((root / page).read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        there = (root / page).parent / name if name else root / page
        if not there.exists():
            yield f"{page}: the link {link} leads to no file"
        elif anchor and there.suffix == ".md" and anchor not in anchors(there.read_text(encoding="utf-8")):
            yield f"{page}: the link {link} leads to no heading"


def broken_paths(root: Path, page: Path) -> Iterator[str]:
    """Yield the paths in a page's code spans that do not exist, and names that are not defined in their file."""
    for span in _SPAN.findall(_FENCE.sub("", (root / page).read_text(encoding="utf-8"))):
        path, name = span, ""
        if page in MAPS and (mapped := _MAPPED.fullmatch(span)):
            path, name = mapped[1], mapped[2] or ""
        elif not _OURS.fullmatch(span):
            continue
        homes = HOMES if page in MAPS else ("",)
        found = [there for home in homes for there in (root / home).glob(path.rstrip("/"))]
        if not found:
            yield f"{page}: there is no {path}"
        elif name and not any(_defines(there, name) for there in found):
            yield f"{page}: {path} defines no {name}"


def unmapped(root: Path, files: list[Path]) -> Iterator[str]:
    """Yield the modules that the map does not name."""
    named = set(_SPAN.findall((root / MAPS[0]).read_text(encoding="utf-8")))
    for home in HOMES[1:]:
        for path in files:
            if path.suffix == ".py" and path.is_relative_to(home) and path.name != "__init__.py":
                module = path.relative_to(home).as_posix()
                if module not in named:
                    yield f"{path}: {MAPS[0]} has no line for `{module}`"


def _defines(path: Path, name: str) -> bool:
    text = path.read_text(encoding="utf-8")
    return bool(re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b[^=\n]*=", text, re.MULTILINE))


def _without_code(text: str) -> str:
    return _SPAN.sub("", _FENCE.sub("", text))
