"""Durations in the notation of the manifest: `30d`, `24h`, `5m`, `30s`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta

PATTERN = r"^(?=[0-9])([0-9]{1,5}d)?([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}s)?$"

_PATTERN = re.compile(PATTERN)


def parse_duration(text: object) -> timedelta:
    """Return the duration of `text`: days, hours, minutes and seconds, in that order, each at most once.

    Raises:
        ValueError: any other text; it is not repeated.
    """
    found = _PATTERN.match(text) if isinstance(text, str) and text.isascii() and not text.endswith("\n") else None
    if found is None:
        message = "must be a duration such as 30d, 24h, 5m, 30s or 1h30m"
        raise ValueError(message)
    days, hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def show_duration(duration: timedelta) -> str:
    """Return the shortest text that `parse_duration` reads as `duration`, in whole seconds: `1d`, `1h30m`."""
    left = int(duration.total_seconds())
    shown = ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        shown += f"{count}{unit}" if count else ""
    return shown or "0s"
