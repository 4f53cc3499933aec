"""Places that a manifest may name only if the environment lists them: a login there reaches places of many owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from keyturn.core.errors import TargetForbidden
from keyturn.core.sanitize import plain
from keyturn.targets.origins import NoConsent, listed_in

ALLOWED_PLACES = "KEYTURN_ALLOWED_PLACES"


class NoPlace(NoConsent):
    """The environment does not permit this place. `entry` would."""

    entry = ""


def place_mistakes(kind: str, path: str, environment: Mapping[str, str]) -> Iterator[NoPlace]:
    """Yield a mistake unless KEYTURN_ALLOWED_PLACES has an entry `KIND=PATTERN` for a path.

    In a pattern `*` stands for any text and `?` for one character. A path is compared in lower case, as it is written.
    """
    patterns = (entry.partition("=") for entry in listed_in(ALLOWED_PLACES, environment, ","))
    if any(name == kind and fnmatchcase(path.lower(), pattern.lower()) for name, _, pattern in patterns):
        return
    mistake = NoPlace(
        f"the environment does not permit the place {plain(path, 200)}",
        where="path",
        evidence=f"{ALLOWED_PLACES} has no entry for it",
    )
    mistake.entry = f"{kind}={plain(path, 200)}"
    yield mistake


def check_permitted(kind: str, path: str, where: str, environment: Mapping[str, str]) -> None:
    """Raise TargetForbidden unless the environment permits a place. A manifest was checked before."""
    for mistake in place_mistakes(kind, path, environment):
        remedy = f"If it is right, add the entry {mistake.entry} to {ALLOWED_PLACES}."
        raise TargetForbidden(mistake.what, where=where, evidence=mistake.evidence, remedy=remedy)
