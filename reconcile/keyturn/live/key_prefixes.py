"""How further model access keys begin, as the operator names it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from keyturn.core.errors import InputError
from keyturn.engine.observe import PREFIXES

PREFIX = re.compile(r"[A-Za-z0-9_-]{4,}")


def key_prefixes(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the further prefixes of model access keys that the operator names, separated by commas.

    Raises InputError for a prefix that is too short to tell a key from other values.
    """
    found = tuple(text for part in environment.get(PREFIXES, "").split(",") if (text := part.strip()))
    for prefix in found:
        if not PREFIX.fullmatch(prefix):
            raise InputError(
                f"{prefix!r} cannot be a prefix of model access keys",
                where=PREFIXES,
                remedy="Write four or more letters, digits, - or _; separate prefixes by commas.",
            )
    return found
