"""What `keyturn run` serves, without the library that serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keyturn.report.documents import StatusDocument

Render = Callable[[StatusDocument], str]


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served. All are called in the server's thread.

    `health` returns whether all is well, and what is told of it. `status` is None before the first look.
    """

    health: Callable[[], tuple[bool, dict[str, object]]]
    status: Callable[[], StatusDocument | None]
    metrics: Render
    html: Render
