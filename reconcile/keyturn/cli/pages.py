"""What `keyturn run` serves, without the library that serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keyturn.report.documents import StatusDocument

Render = Callable[[StatusDocument], str]
Judge = Callable[[], tuple[bool, dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served. All are called in the server's thread.

    `health` returns whether all is well, and what is told of it, and so does `ready`: whether the work has begun.
    `status` is None before the first look.
    """

    health: Judge
    status: Callable[[], StatusDocument | None]
    metrics: Render
    html: Render
    ready: Judge | None = None
