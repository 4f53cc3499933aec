"""The one list of API keys that an operator has to make, and the clicks that make one."""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.core.results import End
from keyturn.report.lines import Line, Span, Tone, count, line

PANEL = "https://cloud.digitalocean.com/model-studio/manage-keys"
CLICKS = (
    "Create model access key → name → Foundation models (All, or Select) → Continue → VPC Network (No VPC network)"
    " → Add model access key"
)
"""As the control panel was in November 2026."""


LAST = "Then run keyturn apply again, or let keyturn apply --wait look until it is done."
FIRST = (
    "Run keyturn apply first: it notes what to make, and only what is made after that is taken over without `adopt`."
)


def handoff_text(asked: Iterable[str], *, last: str = LAST) -> list[str]:
    """Return what an operator has to do, line by line; empty if nothing. `last` is the line that ends it."""
    wanted = list(dict.fromkeys(asked))
    if not wanted:
        return []
    names, them = ("this name", "it") if len(wanted) == 1 else ("these names", "them")
    return [
        f"Make {count(len(wanted), 'model access key')} in the control panel, with exactly {names}:",
        *(f"  {name}" for name in wanted),
        f"At {PANEL}: {CLICKS}.",
        f"No secret has to be copied: keyturn takes {them} over and regenerates {them}.",
        last,
    ]


def handoff_lines(ends: Iterable[End]) -> list[Line]:
    """Return what the ends ask for, as painted lines."""
    wanted = [end for end in ends if end.make]
    # A key that is made before an apply has noted its name is not taken over: it could be anyone's.
    noted = all(end.since for end in wanted)
    text = handoff_text((name for end in wanted for name in end.make), last=LAST if noted else FIRST)
    return [line(), line(Span(text[0], Tone.WARN)), *(line(part) for part in text[1:])] if text else []
