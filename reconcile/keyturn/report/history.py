"""A key's history in plain English; the words of the record itself are in the JSON document only."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from keyturn.core.model import Cause, Event, Verdict
from keyturn.report.done import PROOFS
from keyturn.report.lines import Line, Span, Tone, columns, moment

WHY = {
    "adopt": "",
    "compromised": "the secret had leaked",
    "drift": "a delivery had changed",
    "due": "on schedule",
    "effect": "the target put it to use",
    "effect-failed": "",
    "entry": "the entry asks for it",
    "forgotten": "",
    "hand-off": "an operator had made it",
    "list": "",
    "live-gone": "",
    "moved": "",
    "overlap-over": "the overlap was over",
    "pending": "an earlier run had left it to do",
    "refused": "",
    "requested": "",
    "secret-lost": "",
    "secret-unknown": "",
    "slot-missing": "the second API key was missing",
    "standby": "it was never delivered",
    "trigger": "",
}
"""Why something was done, by the trigger of its event; empty if the event or what was found says it."""
VERDICTS = {
    Verdict.ACCEPTED.value: "accepted by the API",
    Verdict.REFUSED.value: "refused by the API",
    Verdict.SKIPPED.value: "not tried, since smoke-checks are switched off",
}
DEFAULT_REASON = "on demand"
"""The reason of a rotation that was asked for without one."""

WIDEST = 80
"""Characters to which events and names of operators are aligned; a longer text moves what follows it in its line."""

_SECRET = re.compile(r"generation (\d+) on slot (\w), ([\w-]+)(?:, old secret [\w-]+)?")
_Words = Callable[[re.Match[str]], str]
_EVENTS: tuple[tuple[str, _Words], ...] = (
    (r"adopted, its secret to be regenerated", lambda _: "adopted; a new secret replaces the present one"),
    (r"rotation requested", lambda _: "a rotation was asked for"),
    (r"back: (.+)", lambda found: f"the API key {found[1]} is listed again"),
    (r"gone: (.+)", lambda found: f"the API key {found[1]} is not listed any more"),
    (r"handed off: (.+)", lambda found: f"an operator was asked to make {found[1]} in the control panel"),
    (
        r"took (?:the spare )?(\S+) as slot (\w)",
        lambda found: f"took the API key {found[1]} as slot {found[2]}",
    ),
    (r"took a pasted secret", lambda _: "took the secret that an operator had pasted"),
    (r"verified", lambda _: "the API accepted the live secret"),
    (r"strategy ([\w-]+)", lambda found: f"the strategy became {found[1]}"),
    (r"unparked: (.+)", lambda found: f"new secrets are made again: {found[1]}"),
    (r"failed: (.+); parked", lambda found: f"failed: {found[1]}; no more secrets are made until an operator says so"),
    (r"starts to create", lambda _: "began to create its API key"),
)
"""What other events are called, by the words of the record."""


def history_lines(events: Iterable[Event]) -> list[Line]:
    """Return one line per event, in the order of the record."""
    return columns([_event(event) for event in events], most=WIDEST)


def histories_lines(events: Iterable[tuple[str, Event]]) -> list[Line]:
    """Return one line per event of several keys, the oldest first; each is given with its key."""
    ordered = sorted(events, key=lambda item: (item[1].at, item[0]))
    rows = [(moment_, Span(key, Tone.NAME), *rest) for key, event in ordered for moment_, *rest in [_event(event)]]
    return columns(rows, most=WIDEST) if rows else []


def event_text(event: Event) -> str:
    """Return what happened, in plain English."""
    if secret := secret_text(event):
        return f"new secret: {secret}"
    if event.what.startswith("retired slot "):
        _, _, rest = event.what.partition("retired slot ")
        slot, _, proof = rest.partition(": ")
        return f"old secret of slot {slot} retired: {PROOFS.get(proof, proof)}"
    for pattern, words in _EVENTS:
        if found := re.fullmatch(pattern, event.what, re.DOTALL):
            return words(found)
    return event.what


def secret_text(event: Event) -> str:
    """Return which secret was made, and what the API said of it; empty for another event."""
    found = _SECRET.fullmatch(event.what)
    if not found:
        return ""
    number, slot, verdict = found.groups()
    told = VERDICTS.get(verdict, f"the smoke-check says {verdict}")
    old = f"; the old secret: {PROOFS[event.proof]}" if event.proof in PROOFS else ""
    return f"generation {number} on slot {slot}, {told}{old}"


def cause_text(cause: Cause | None) -> str:
    """Return why it happened: the cause, who asked and their reason, what was found."""
    if cause is None:
        return ""
    reason = "" if cause.reason == DEFAULT_REASON else cause.reason
    asked = f"asked by {cause.by}" if cause.by else ""
    told = ": ".join(part for part in (asked, reason) if part)
    why = WHY.get(cause.trigger, cause.trigger.replace("-", " "))
    return "; ".join(part for part in (": ".join(part for part in (why, cause.evidence) if part), told) if part)


def _event(event: Event) -> tuple[Span, ...]:
    return Span(moment(event.at), Tone.DIM), Span(event_text(event)), Span(event.by), Span(cause_text(event.cause))
