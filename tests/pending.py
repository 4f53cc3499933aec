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

VARIABLES: tuple[str, ...] = (
    "BAO_ADDR",
    "BAO_CACERT",
    "BAO_TOKEN",
    "DIGITALOCEAN_API_TOKEN",
    "KEYTURN_ALLOWED_COMMANDS",
    "KEYTURN_GENERATION",
    "KEYTURN_KEY",
    "KEYTURN_NOTIFY_",
    "KEYTURN_OWNER",
    "KEYTURN_PLACES",
)
"""Names of variables that the code will hold, read or not."""

FIELDS: tuple[str, ...] = (
    "freeze",
    "moved",
    "notify",
)
"""Fields of a manifest, wherever they stand in it."""
