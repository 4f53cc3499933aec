"""What the preflight of a path found there: the next write goes over exactly that, without another read.

A new secret kills the old one when it is made, so each request before its write makes an outage longer. This saves only
a read: a write over what is no longer there loses its compare-and-set, and `merge` reads again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

from keyturn.core.secret import Secret
from keyturn.targets.base import Found, Value


class Prepared(Generic[Found]):
    """The state of each path that a preflight has seen, until the next write to it. Thread-safe."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._found: dict[str, Found] = {}

    def keep(self, path: str, found: Found) -> None:
        """Keep the state of a path for the next write to it."""
        self._found[path] = found

    def reader(
        self, path: str, expected: Secret | None, read: Callable[[], Found], value: Callable[[Found], Value]
    ) -> Callable[[], tuple[Value, Found]]:
        """Return the `read` of `merge`: it answers once from what is kept, if its `value` is as expected.

        What is kept is used up by this write, whatever comes of it.
        """
        kept = self._found.pop(path, None)
        left = [kept] if kept is not None and value(kept).secret == expected else []

        def next_one() -> tuple[Value, Found]:
            found = left.pop() if left else read()
            return value(found), found

        return next_one
