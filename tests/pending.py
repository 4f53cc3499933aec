"""Words that the pages use and this revision does not have yet. Empty each list when its feature is there.

The tests of the pages skip exactly these. They fail if a word is listed and already exists.
"""

from __future__ import annotations

COMMANDS: tuple[str, ...] = ()
"""Commands of `keyturn`."""

OPTIONS: tuple[str, ...] = ()
"""Options, each behind its command."""

VALUES: tuple[str, ...] = ()
"""Values of options that exist."""

VARIABLES: tuple[str, ...] = ()
"""Names of variables that the code will hold, read or not."""

FIELDS: tuple[str, ...] = ()
"""Fields of a manifest, wherever they stand in it."""
