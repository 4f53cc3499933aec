"""A cause that several keys share is said once, with the names of the keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keyturn.core.results import End
from keyturn.report.lines import count
from keyturn.report.remedies import remedy

NAMED = 5
"""How many keys are named beside a cause; more are counted."""

Cause = tuple[str, str]
"""The reason and its sentence: equal for keys that share the cause."""


@dataclass(frozen=True, slots=True)
class Common:
    """What the keys of a run have in common."""

    keys: Mapping[Cause, tuple[str, ...]] = field(default_factory=dict)
    ends: Mapping[Cause, End] = field(default_factory=dict)

    def own(self, ends: Iterable[End]) -> tuple[End, ...]:
        """Return those of a key's ends that no other key shares."""
        return tuple(end for end in ends if _cause(end) not in self.keys)

    def __iter__(self) -> Iterator[tuple[str, End, str]]:
        """Yield each common end with the names of its keys, and with what to do: the same only beside the last one."""
        dos = [remedy(self.ends[cause], *keys) for cause, keys in self.keys.items()]
        for number, ((cause, keys), do) in enumerate(zip(self.keys.items(), dos, strict=True), 1):
            more = f" and {count(len(keys) - NAMED, 'more key', 'more keys')}" if len(keys) > NAMED else ""
            yield ", ".join(keys[:NAMED]) + more, self.ends[cause], "" if do in dos[number:] else do


def common(found: Sequence[tuple[str, Sequence[End]]]) -> Common:
    """Return the causes that at least two keys share, each given with its ends, if they make the exit code."""
    keys: dict[Cause, list[str]] = {}
    ends: dict[Cause, End] = {}
    for key, own in found:
        for end in own:
            if end.exit_code and end.why and not end.make and not end.number:
                keys.setdefault(_cause(end), []).append(key)
                ends.setdefault(_cause(end), end)
    shared = {cause: tuple(names) for cause, names in keys.items() if len(names) > 1}
    return Common(shared, ends)


def _cause(end: End) -> Cause:
    return end.code.value, end.why
