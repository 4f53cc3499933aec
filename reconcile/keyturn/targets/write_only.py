"""What a target offers besides `Target` if its values cannot be read back, or take effect later than they are written.

A write-only place shows a *marker*: a text that changes with every write. keyturn notes the marker of its own write
with the digest of the secret that it sent. As long as the place shows this marker, it holds that secret, as far as
anyone can know. Another marker means that someone else wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import ClassVar, NoReturn, Protocol, runtime_checkable

from keyturn.core.effect import Effect
from keyturn.core.errors import TargetMisfit
from keyturn.core.secret import Secret

Guard = Callable[[], None]


@runtime_checkable
class WriteOnly(Protocol):
    """The methods of a target with `capabilities.reads` False and `marks` True. They raise what those of `Target` do.

    Its `read` returns `Value(None, marker)`, and `Value(None)` if the place is absent. If it sees that a write would be
    refused, it says why (`refuses`): then no plan promises one. `preflight` changes no marker and sets nothing off: it
    asks whether the login may write, or sends a dry run. `WithoutReading` implements the methods of `Target` that need
    the value.

    A marker has 1 to 128 printable ASCII characters and shows nothing of the secret: of a ciphertext give
    `marker_of(ciphertext)`. It changes with every write, also with one by someone else. If it is a moment, two writes
    may show the same one: then `write_marked` waits before it sends, until the server's clock is past the marker.
    """

    def write_marked(self, path: str, field: str, secret: Secret, marker: str, guard: Guard) -> str:
        """Write `secret` over the value with `marker` (empty: absent), keep all else, and return the new marker.

        The place is read again right before the write: Conflict, with nothing sent, if it shows another marker. `guard`
        is called immediately before each write is sent. The new marker is that of the write's own answer, or else it is
        read right after the acknowledged write.

        Raises TargetError(ambiguous=True) if a write was sent and its result, or the marker after it, is unknown: then
        keyturn writes again until a write is acknowledged.
        """

    def remove_marked(self, path: str, field: str, marker: str, guard: Guard) -> None:
        """Remove the value if it still has `marker`. Succeed if it is absent; raise Conflict otherwise."""


@runtime_checkable
class Delayed(Protocol):
    """The methods of a target with `capabilities.effect` True; its values may be readable or not."""

    def effect(self, path: str, field: str, version: str) -> Effect:
        """Tell whether consumers use the value that keyturn wrote and that is still there at `version`.

        `version` is what `read` has just returned: the version, or the marker of a write-only place. Any change that
        brought this value into effect counts, not only the one that keyturn's own write set off: after a failed
        deployment someone repairs the app and deploys it again. FAILED only if nothing is under way that may still
        bring it into effect; `detail` then names what failed. Raises what `Target.read` does.
        """

    def consequence(self, path: str, field: str) -> str:
        """Say what a write or a removal sets off, for the plan, such as `starts a deployment of checkout/web`.

        No network. keyturn adds what it means for the old secret.
        """


class WithoutReading:
    """Implements the methods of `Target` that need the value, for a target whose values cannot be read."""

    kind: ClassVar[str]

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: no earlier value can be read either."""
        del path, field, version
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Refuse."""
        del secret, expected, guard
        self._refuse_value(path, field)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Refuse."""
        del expected, guard
        self._refuse_value(path, field)

    def _refuse_value(self, path: str, field: str) -> NoReturn:
        raise TargetMisfit(
            f"the values of a target of type {self.kind} cannot be read, so none can be compared",
            where=f"{path}#{field}",
        )


def marker_of(shown: str) -> str:
    """Return the marker of what a place shows, such as a ciphertext: 32 hex digits; empty if it shows nothing."""
    return hashlib.sha256(shown.encode()).hexdigest()[:32] if shown else ""
