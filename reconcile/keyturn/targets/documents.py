"""Records and claims among the paths of a target: no secret is delivered to a path that holds one."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyturn.core.errors import TargetMisfit

DOCUMENT = "document"
"""The field of a path or a file in which a record or a claim is kept."""


def refuse_document(content: Mapping[str, object] | str | None, where: str) -> None:
    """Keep deliveries out of records: `content` is the text of a path, or its fields.

    Raises:
        TargetMisfit: it is a record or a claim of keyturn, of whatever owner.
    """
    whole = content if isinstance(content, Mapping) else _parsed(content)
    if not (_is_document(whole) or _is_document(_parsed(whole.get(DOCUMENT)))):
        return
    raise TargetMisfit(
        "this path holds a record of keyturn, so nothing is delivered to it",
        where=where,
        remedy="Nothing was changed. Deliver to another path.",
    )


def refuse_null(fields: Mapping[str, object], field: str, where: str) -> None:
    """Keep deliveries out of a field that holds JSON's null: someone made it, so it is not absent.

    Raises:
        TargetMisfit: it holds null.
    """
    if field in fields and fields[field] is None:
        raise TargetMisfit(
            f"the field {field} does not hold text",
            where=where,
            evidence="it is a JSON null",
            remedy="Use another field, or remove this one.",
        )


def _parsed(text: object) -> Mapping[str, object]:
    """Return the JSON object in a text, empty if it is none."""
    if not isinstance(text, str) or not text.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_document(found: Mapping[str, object]) -> bool:
    return {"schema", "owner", "key"} <= found.keys() and not found.keys().isdisjoint({"digest_key", "uuid", "outbox"})
