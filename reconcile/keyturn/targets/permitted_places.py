"""Places that a manifest may name only if the environment lists them: a login there reaches places of many owners."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from keyturn.core.errors import TargetForbidden
from keyturn.core.origins import to_list
from keyturn.core.sanitize import plain
from keyturn.targets.origins import listed_in

ALLOWED_PLACES = "KEYTURN_ALLOWED_PLACES"


def check_permitted(kind: str, path: str, where: str, environment: Mapping[str, str]) -> None:
    """Raise TargetForbidden unless KEYTURN_ALLOWED_PLACES has an entry `KIND=PATTERN` for a path.

    In a pattern `*` stands for any text and `?` for one character. A path is compared in lower case, as it is written.
    """
    patterns = (entry.partition("=") for entry in listed_in(ALLOWED_PLACES, environment, ","))
    if any(name == kind and fnmatchcase(path.lower(), pattern.lower()) for name, _, pattern in patterns):
        return
    raise TargetForbidden(
        f"the environment does not permit the place {plain(path, 200)}",
        where=where,
        evidence=f"{ALLOWED_PLACES} has no entry for it",
        remedy=f"If it is right, type: {to_list(ALLOWED_PLACES, f'{kind}={plain(path, 200)}', environment, ',')}",
    )
