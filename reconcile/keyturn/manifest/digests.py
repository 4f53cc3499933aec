"""PURE: short digests of what a manifest says: whether an entry changed, and whether two targets are one place."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping

from keyturn.core.model import DesiredKey, Timing

_DIGITS = 16


def fingerprint(desired: DesiredKey) -> str:
    """Return 16 hex digits of the SHA-256 of an entry after defaults; owner and timing are not part of it."""
    entry = dataclasses.asdict(dataclasses.replace(desired, owner="", timing=Timing(), fingerprint="", homes={}))
    # What came later is left out unless it is used, so that a new version does not take every entry for a changed one.
    return _digest({name: value for name, value in entry.items() if name != "pool" or value is not None})


def home(kind: str, settings: Mapping[str, object]) -> str:
    """Return 16 hex digits that tell one place from another; targets that differ only in their login are the same."""
    return _digest([kind, {name: value for name, value in settings.items() if name != "auth"}])


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
