"""One field among those of a path: what was read as a secret, and what is to be written with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from keyturn.core.errors import TargetMisfit
from keyturn.core.secret import Secret

Field = TypeVar("Field")


def secret_of(value: object, field: str, where: str) -> Secret | None:
    """Return the value of a field as a secret; None if it is absent or empty.

    Raises:
        TargetMisfit: the value is not text; it is not repeated.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return Secret(value)
    raise TargetMisfit(
        f"{named(field)} does not hold text",
        where=where,
        evidence=f"it is a JSON {type(value).__name__}",
        remedy="Use another field, or remove this one.",
    )


def with_field(fields: Mapping[str, Field], field: str, secret: Secret | None) -> dict[str, Field | str]:
    """Return the fields with `field` as the secret (None: without it), all others as they are: what is to be written.

    The text of the secret is in the result, so give it only to what sends or stores it.
    """
    others: dict[str, Field | str] = {name: value for name, value in fields.items() if name != field}
    return {**others, field: secret.reveal()} if secret else others


def named(field: str) -> str:
    """Return how messages call a field; an empty name is the whole value."""
    return f"the field {field}" if field else "the value"
