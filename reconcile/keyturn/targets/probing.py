"""What a target may offer besides `Target`: to try a write that changes nothing."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Probing(Protocol):
    """A target that can tell whether it may write without leaving a new version, value or file."""

    def probe(self, path: str) -> None:
        """Check that this login may write a delivery.

        Raises TargetForbidden or TargetMisfit, which name what is missing, and the errors of `Target.read`.
        """

    def probe_document(self, path: str) -> None:
        """Check that this login may write a document. Raises the errors of `probe` and `Target.read_document`."""
