"""PURE: what the operator's policy allows the runs of one owner, and the patterns in which it is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

EXISTING = "existing"
SKIP = "skip"
TAKE_OVER = "take-over"
NO_CLEANING = "no-cleaning"

PARTS = ("", "names", "allow", "limits.rotations", "limits.deletes", "limits.removals", "deliver")
"""The parts of a rule to which messages of a run refer; the first is the rule itself."""

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WORD = re.compile(r"\\(.)|(\*\*)|(\*)|(\?)|(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Permit:
    """The rule of the operator's policy for one owner, as far as a run has to ask for it.

    `names`: patterns of the API keys that a run may change. `rotations`, `deletes`, `removals`: how many one run may
    do. `allow`: the words that the rule allows. `key_prefixes`: further prefixes of secrets that are model access keys.
    `deliver`: patterns of deliveries; None admits any. `where`: the place of each part of the rule, for messages; that
    of the rule itself is `""`.
    """

    names: tuple[str, ...]
    rotations: int
    deletes: int
    removals: int
    allow: frozenset[str] = frozenset()
    key_prefixes: tuple[str, ...] = ()
    deliver: tuple[str, ...] | None = None
    where: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(PARTS, "policy"))

    def refusal(self, name: str) -> str:
        """Return why an API key of this name may not be changed; empty if it may be."""
        if admits(self.names, name):
            return ""
        return f"its name {name!r} matches no pattern of the policy ({self.where['names']})"

    def foreign(self, place: str, name: str) -> str:
        """Return that no pattern of the policy admits a delivery, given as for `delivers`; empty if one does."""
        if self.deliver is None or delivers(self.deliver, place, name):
            return ""
        return f"it matches no pattern of the policy ({self.where['deliver']})"


def delivers(patterns: Iterable[str], place: str, name: str) -> bool:
    """Tell whether a pattern matches a delivery: its part before `#` the place `target:path`, the rest the field."""
    exact, others = sort_out(tuple(patterns))
    if (f"{place}#{name}" if name else place) in exact:
        return True
    for pattern in others:
        path, _, field_ = pattern.partition("#")
        if admits([path], place) and (admits([field_], name) if field_ else not name):
            return True
    return False


def admits(patterns: Iterable[str], text: str) -> bool:
    """Tell whether one of the patterns matches the whole text."""
    exact, others = sort_out(tuple(patterns))
    return text in exact or any(_compiled(pattern).fullmatch(text) for pattern in others)


@lru_cache(maxsize=64)
def sort_out(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the texts that patterns without a placeholder match, and the other patterns."""
    texts = {pattern: _ESCAPED.sub(r"\1", pattern) for pattern in patterns}
    exact = frozenset(text for pattern, text in texts.items() if literal(text) == pattern)
    return exact, tuple(pattern for pattern, text in texts.items() if text not in exact)


def literal(text: str) -> str:
    """Return the pattern that matches only this text."""
    return re.sub(r"([\\*?])", r"\\\1", text)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a pattern as a regular expression: `**` is any text, `*` any text without `/`, `?` one character but `/`.

    A backslash takes the meaning from the character after it.
    """

    def word(found: re.Match[str]) -> str:
        escaped, anything, part, one, plain = found.groups()
        return ".*" if anything else "[^/]*" if part else "[^/]" if one else re.escape(escaped or plain)

    return re.compile(_WORD.sub(word, pattern), re.DOTALL)
