"""Keeps secrets out of keyturn's own documents: no delivery may read or replace a record or a claim."""

from __future__ import annotations

import json

from keyturn.core.errors import TargetMisfit

MARKS = frozenset({"schema", "owner", "key"})
"""The fields that every record and every claim has."""


def check_no_document(value: object, where: str) -> None:
    """Raise TargetMisfit if the value of a field, or of a whole path, is a record or a claim of any owner."""
    if not isinstance(value, str) or not all(f'"{mark}"' in value for mark in MARKS):
        return
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return
    if isinstance(found, dict) and found.keys() >= MARKS:
        raise TargetMisfit(
            "this path holds a keyturn document, so it cannot hold a secret",
            where=where,
            evidence="it is the record of a key, or the claim on an API key",
            remedy="Nothing was changed. Deliver to another path.",
        )
