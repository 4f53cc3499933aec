"""Words that the pages use and this revision does not have yet. Empty each list when its feature is there.

The tests of the pages skip exactly these. They fail if a word is listed and already exists.
"""

from __future__ import annotations

COMMANDS: tuple[str, ...] = (
    "doctor",
    "forget",
    "run",
    "schedule",
)
"""Commands of `keyturn`."""

OPTIONS: tuple[str, ...] = (
    "init --from-account",
    "rotate --all",
    "status --only",
)
"""Options, each behind its command."""

VALUES: tuple[str, ...] = (
    "status --format html",
    "status --format markdown",
    "status --format openmetrics",
)
"""Values of options that exist."""

FIELDS: tuple[str, ...] = (
    "freeze",
    "moved",
    "notify",
)
"""Fields of a manifest, wherever they stand in it."""
