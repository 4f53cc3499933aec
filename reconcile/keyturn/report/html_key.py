"""One key of the html page: a line that opens, and behind it what to do, the conditions, the deliveries, the facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from keyturn.core.reasons import Condition
from keyturn.core.results import End, KeyStatus
from keyturn.report.common import Common
from keyturn.report.html_parts import icon, span, text, time, tone_icon, words
from keyturn.report.lines import count
from keyturn.report.overview import is_remembered, place
from keyturn.report.remedies import remedies
from keyturn.report.run import smoke_words


def key_html(key: KeyStatus, now: datetime, shared: Common, *, opened: bool) -> str:
    """Return a key; `opened`: it starts open. What it shares with other keys is said before all keys, not in its line.

    `now` is the moment of the document.
    """
    first = key.every[0]
    is_shared = not shared.own([first])
    why = "the cause is shared, see above" if is_shared else first.why
    told = why if why and key.condition is not Condition.READY else place(key)
    line = (
        f'<span class="who"><span class="name">{text(key.key)}</span>'
        f'<span class="why">{text(told)}</span></span>'
        f'<span class="when">{_when(key, now)}</span><span class="held">{_held(key)}</span>'
        f'<span class="turn">{icon("i-turn")}</span>'
    )
    main = _do(key) + _found(key, now) + _deliveries(key) + _problems(key)
    state = " open" if opened else ""
    return (
        f'<details class="key"{state}><summary>{line}</summary><div class="more"><div class="main">{main}</div>'
        f"{_facts(key, now)}</div></details>"
    )


def do_html(dos: Sequence[str], keys: Iterable[str] = ()) -> str:
    """Return what to do about these keys, each sentence a paragraph; empty if nothing."""
    ids = tuple(keys)
    return "".join(f"<p>{words(do, ids)}</p>" for do in dos)


def ends_html(end: End, now: datetime) -> str:
    """Return a condition with its shape, since when, until when, why and its code."""
    moments = [f"since {time(end.since)} ({span(end.since, now)})"] if end.since else []
    moments += [f"until {time(end.until)} ({_ahead(end.until, now)})"] if end.until else []
    when = f'<div class="moments">{", ".join(moments)}</div>' if moments else ""
    why = f": {text(end.why)}" if end.why else ""
    return (
        f'{tone_icon(end.condition.tone)} <span class="state {end.condition.tone.value}">{end.code.word}</span>'
        f'{why} <span class="code mono">[{end.code.value}]</span>{when}'
    )


def _ahead(at: datetime, now: datetime) -> str:
    return "due now" if at <= now else f"in {span(at, now)}"


def _when(key: KeyStatus, now: datetime) -> str:
    """Return what of its times matters most in the line of a key."""
    if key.since and key.condition is not Condition.READY:
        return f"since <b>{span(key.since, now)}</b>"
    if key.until:
        return f"until <b>{_ahead(key.until, now)}</b>" if key.until <= now else f"for <b>{span(key.until, now)}</b>"
    if key.next_rotation_at:
        return f"rotates <b>{_ahead(key.next_rotation_at, now)}</b>"
    return f"secret <b>{span(key.minted_at, now)}</b> old" if key.minted_at else ""


def _held(key: KeyStatus) -> str:
    if not key.deliveries:
        return ""
    held = sum(1 for _, good in key.deliveries if good)
    short = "" if held == len(key.deliveries) else ' class="short"'
    return f"<b{short}>{held}/{len(key.deliveries)}</b> delivered"


def _do(key: KeyStatus) -> str:
    dos = remedies(key.every, key.key)
    return f'<div class="do"><h3>Do</h3>{do_html(dos, [key.key])}</div>' if dos else ""


def _found(key: KeyStatus, now: datetime) -> str:
    rows = [f"<li>{ends_html(end, now)}</li>" for end in key.every]
    if not key.entry:
        rows.append("<li>not in the manifest: only its record is left</li>")
    if key.requested:
        rows.append("<li>a rotation was asked for and is not finished</li>")
    if is_remembered(key) and key.recorded_at:
        rows.append(f"<li>the rest is as recorded at {time(key.recorded_at)} ({span(key.recorded_at, now)} ago)</li>")
    return f'<div><h3>Conditions</h3><ul class="list">{"".join(rows)}</ul></div>'


def _facts(key: KeyStatus, now: datetime) -> str:
    facts = [
        ("owner", text(key.owner)),
        ("API key", text(key.name)),
        ("strategy", key.strategy.value),
        ("live slot", key.live.value if key.live else ""),
        ("generation", str(key.generation) if key.generation else ""),
        ("secret made", _moment(key.minted_at, f"{span(key.minted_at, now)} ago") if key.minted_at else ""),
        ("next rotation", _coming(key.next_rotation_at, now)),
        ("old secret ends", _coming(key.retire_at, now)),
        ("last change", time(key.recorded_at) if key.recorded_at else ""),
        *((f"uuid {slot.value}", f'<span class="mono">{text(uuid)}</span>') for slot, uuid in key.uuids),
    ]
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts if value)
    return f'<div class="side"><h3>Facts</h3><dl>{rows}</dl></div>'


def _coming(at: datetime | None, now: datetime) -> str:
    return _moment(at, _ahead(at, now)) if at else ""


def _moment(at: datetime, distance: str) -> str:
    return f'{time(at)} <span class="muted">{distance}</span>'


def _deliveries(key: KeyStatus) -> str:
    """Return each delivery: whether it holds the live secret, and what a smoke-check said."""
    if not key.deliveries and not key.verdict:
        return ""
    said = [end.code for end in key.every]
    results = dict(key.results)
    rows: list[str] = []
    for where, held in key.deliveries:
        shape, state = ("i-good", "holds the live secret") if held else ("i-bad", "does not hold the live secret")
        tone = "good" if held else "bad"
        mark = f'<span class="{tone}">{icon(shape)} {state}</span>'
        tried = text(smoke_words(results[where], said=said, key=key.key)) if where in results else ""
        rows.append(
            f'<li><span class="mono">{text(str(where))}</span><br>{mark}<div class="moments">{tried}</div></li>'
        )
    if key.verdict and not key.results:
        rows.append(f"<li>smoke-check: {text(smoke_words(key.verdict, said=said, key=key.key))}</li>")
    how = "read now" if key.read else "as recorded"
    title = f"{count(len(key.deliveries), 'delivery', 'deliveries')}, {how}"
    return f'<div><h3>{title}</h3><ul class="list">{"".join(rows)}</ul></div>'


def _problems(key: KeyStatus) -> str:
    if not key.problems:
        return ""
    rows = "".join(f"<li>{text(problem)}</li>" for problem in key.problems)
    return f'<div><h3>Problems</h3><ul class="list">{rows}</ul></div>'
