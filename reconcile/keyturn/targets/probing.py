"""What a target may offer besides `Target`: to try a write that changes nothing, and to say all that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from keyturn.core.errors import KeyturnError


@runtime_checkable
class Probing(Protocol):
    """A target that can tell whether it may write without leaving a new version, value or file."""

    def probe(self, path: str) -> None:
        """Check that this login may write a delivery.

        Raises TargetForbidden or TargetMisfit, which name what is missing, and the errors of `Target.read`.
        """

    def probe_document(self, path: str) -> None:
        """Check that this login may write a document. Raises the errors of `probe` and `Target.read_document`."""


@runtime_checkable
class Explaining(Protocol):
    """A target that can say at once all that its login needs, not only what the last request lacked."""

    def whole_remedy(self, error: KeyturnError, deliveries: Iterable[str], documents: str) -> str:
        """Return what to do about an error so that none of the same kind follows; empty if its own remedy is enough.

        deliveries: the paths that have to be usable. documents: the prefix of the documents, empty if there are none.
        """
