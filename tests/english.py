"""The language of the project: phrases that a native reader stumbles over, and what to say instead.

The check covers the files in `CLEAN`. Rewrite a folder, add it there, and it stays clean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CLEAN = ("CHANGELOG.md", "README.md", "CONTRIBUTING.md", "docs/", "examples/", "provider/", "reconcile/", "tests/")
"""Files and folders in which no banned phrase may stand."""
QUOTING = ("tests/english.py", "tests/unit/test_repository.py")
"""Files that name the phrases."""
PICTURES = frozenset({".png"})
"""Files without words."""

BANNED = {
    r"anew": "again",
    r"somebody": "someone, another process, an operator",
    r"else meanwhile": "modified concurrently",
    r"whoever": "anyone who, if you",
    r"a person": "an operator, someone",
    r"is (?:not )?to be had": "found, not found",
    r"(?:is|are|be) ill|is not well": "is failing, returned 503",
    r"comes? to rest": "converges",
    r"that comes? true": "that ever matches",
    r"mends?|mended": "fix",
    r"nobody agreed": "not confirmed",
    r"lets? go|letting go": "release",
    r"talks?": "progress, messages",
    r"no longer is": "is no longer, is out of date",
    r"stands? twice": "duplicate",
    r"how (?:a|an|the|every|each|one|it) ?\w* stands?": "the condition of",
    r"as good as it gets": "must suffice",
    r"by turns": "in turn, alternately",
    r"(?:moments?|ways?) of chance": "random",
    r"(?:go|goes|went) on from": "continue from",
    r"where (?:that|it|this) is so": "if so",
    r"for want of": "for lack of",
    r"(?:go|goes|going|goes on|go on) evenly|evenly[- ]going": "steady",
    r"(?:need|needs|needed) no leave": "needs no permission",
    r"the records' place": "the record store",
    r"came to an outcome|comes? to an outcome": "had an outcome",
    r"in small": "on a smaller scale",
    r"(?:one|a) (?:line|file|field|step|test|case|command) an? (?!time)\w+": "per",
    r"says who does": "names it",
}
"""Each banned phrase as a regular expression over whole words, with what to say instead."""
_PHRASES = tuple(
    (re.compile(rf"(?<!\w)(?:{phrase})(?!\w)".replace(" ", r"\s+"), re.IGNORECASE), say)
    for phrase, say in BANNED.items()
)
_SUBJECT = re.compile(r"(?:^|(?<=[.!?:]\s))(?:What|Who|Where)\s[^.!?:|]*\.(?=\s|$)", re.MULTILINE)
_QUOTED = re.compile(r"`[^`\n]*`|\]\([^)]*\)")


def breaches(path: Path, text: str) -> Iterator[str]:
    """Yield each banned phrase with its line. Code spans in markdown are quotations: they are skipped."""
    markdown = path.suffix == ".md"
    if markdown:
        text = _QUOTED.sub(lambda quote: " " * len(quote[0]), text)
    for phrase, say in _PHRASES:
        for found in phrase.finditer(text):
            yield f"{path}:{_line(text, found)}: {' '.join(found[0].split())!r}; say: {say}"
    for found in _SUBJECT.finditer(text) if markdown else ():
        start = " ".join(found[0].split()[:4])
        yield f"{path}:{_line(text, found)}: '{start} …' starts a statement; name the subject, or say if or when"


def covered(path: Path) -> bool:
    """Tell whether a file has to be clean."""
    name = path.as_posix()
    return name.startswith(CLEAN) and name not in QUOTING and path.suffix not in PICTURES


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
