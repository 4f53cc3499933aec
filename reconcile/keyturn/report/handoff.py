"""The one list of API keys that an operator has to make, and the clicks that make one."""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.report.lines import Line, Span, Tone, count, line

PANEL = "https://cloud.digitalocean.com/model-studio/manage-keys"
CLICKS = (
    "Create model access key → name → Foundation models (All, or Select) → Continue → VPC Network (No VPC network)"
    " → Add model access key"
)
"""As the control panel was in November 2026."""


def handoff_text(names: Iterable[str]) -> list[str]:
    """Return what an operator has to do, line by line; empty if nothing."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return []
    return [
        f"Make {count(len(wanted), 'model access key')} in the control panel, with exactly these names:",
        *(f"  {name}" for name in wanted),
        f"At {PANEL}: {CLICKS}.",
        "No secret has to be copied: keyturn takes the keys over and regenerates them.",
        "Then run keyturn apply again, or let keyturn apply --wait look for them.",
    ]


def handoff_lines(names: Iterable[str]) -> list[Line]:
    """Return the same as painted lines."""
    text = handoff_text(names)
    return [line(), line(Span(text[0], Tone.WARN)), *(line(part) for part in text[1:])] if text else []
