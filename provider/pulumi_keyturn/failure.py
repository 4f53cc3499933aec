"""How a call of the provider ends: with all its lines shown, or with one paragraph and nothing else.

The engine prints the whole traceback of an exception.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from pulumi_keyturn import talk

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")

LIMIT = 2000
"""Characters of a paragraph; an API or a target may have had its say in it."""


class KeyturnFailed(Exception):
    """What the engine shows of a failed call; holds no secret, no token and no body."""


def told(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Wrap a method so that it raises nothing but KeyturnFailed, without the exception that caused it.

    An error that is not keyturn's own shows the name of its type only: its text could hold a secret.
    """

    @functools.wraps(method)
    def wrapper(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - everything is told in our own words
            text = _paragraph(error)
        finally:
            talk.flush()
        raise KeyturnFailed(text)

    return wrapper


def _paragraph(error: Exception) -> str:
    from keyturn.core.errors import KeyturnError
    from keyturn.core.sanitize import plain
    from pulumi_keyturn import words

    if isinstance(error, KeyturnError | KeyturnFailed):
        return plain(words.of_pulumi(str(error)), LIMIT)
    return (
        f"An unexpected {type(error).__name__} stopped this resource. This is a mistake in keyturn, please report it. "
        "The next `pulumi up` goes on where it was."
    )
