"""The coming rotations and retires: a strip to scale, and the same as a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from keyturn.report.html_parts import icon, span, text, time
from keyturn.report.lines import count
from keyturn.report.overview import Coming, Kind

SPANS = tuple(timedelta(days) for days in (1, 2, 7, 14, 30, 60, 90, 180, 365))
"""How much time a strip may show: the least that holds every moment, else a year."""
TICKS = (6, 12, 24, 48, 168, 336, 504, 1080, 2160)
"""Hours between two ticks, for each of SPANS."""
BINS = 40
"""Moments this close together are one mark with their number."""
LISTED = 6
"""How many moments are listed at once; more are behind a line that opens."""
LANE = 50
LEFT, RIGHT = 2.0, 97.0
"""Per cent of the width at now, and at the end."""
LANES = {
    Kind.ROTATION: ("Rotations", "m-rotation", "rotation", "rotations"),
    Kind.RETIRE: ("Retires of old secrets", "m-retire", "retire", "retires"),
    Kind.WAIT_ENDS: ("Ends of waits", "m-wait", "wait ends", "waits end"),
}


def timeline(moments: Sequence[Coming], now: datetime) -> str:
    """Return the section; empty without any moment."""
    if not moments:
        return ""
    shown, more = moments[:LISTED], moments[LISTED:]
    rest = ""
    if more:
        what = f"{count(len(more), 'later moment')}"
        rest = f"<details><summary>{what}</summary>{_agenda(more, now)}</details>"
    return (
        '<section class="coming" aria-labelledby="coming"><div class="head"><h2 id="coming">Coming up</h2></div>'
        f'<div class="card">{_strip(moments, now)}{_agenda(shown, now)}{rest}</div></section>'
    )


def _agenda(moments: Sequence[Coming], now: datetime) -> str:
    rows = [
        f'<li><span class="at">{time(one.at)}</span><span class="in">{_distance(one.at, now)}</span>'
        f'<span class="what">{icon(LANES[one.kind][1])}{LANES[one.kind][2]}</span>'
        f'<span class="who">{text(one.key)}</span></li>'
        for one in moments
    ]
    return f'<ol class="agenda">{"".join(rows)}</ol>'


def _distance(at: datetime, now: datetime) -> str:
    return "due now" if at <= now else f"in {span(at, now)}"


def _strip(moments: Sequence[Coming], now: datetime) -> str:
    """Return the moments to scale; those beyond a year are in the list only."""
    farthest = max(one.at for one in moments) - now
    number = next((number for number, room in enumerate(SPANS) if farthest <= room), len(SPANS) - 1)
    room = SPANS[number]
    lanes = [kind for kind in LANES if any(one.kind is kind for one in moments)]
    bottom = len(lanes) * LANE + 6
    parts = [_axis(now, room, timedelta(hours=TICKS[number]), bottom)]
    for lane, kind in enumerate(lanes):
        own = [one for one in moments if one.kind is kind and one.at - now <= room]
        parts.append(_lane(kind, own, now, room, lane * LANE))
    counted = ", ".join(
        count(sum(1 for one in moments if one.kind is kind), LANES[kind][2], LANES[kind][3]) for kind in lanes
    )
    label = f"{counted} in the next {count(room.days, 'day')}; the list below has each"
    height = bottom + 24
    return f'<svg class="strip" height="{height}" role="img" aria-label="{text(label)}">{"".join(parts)}</svg>'


def _x(at: datetime, now: datetime, room: timedelta) -> str:
    share = min(max((at - now) / room, 0.0), 1.0)
    return f"{LEFT + share * (RIGHT - LEFT):.2f}%"


def _axis(now: datetime, room: timedelta, step: timedelta, bottom: int) -> str:
    """Return a line at each tick: at whole hours or days of UTC, counted from now's."""
    parts = [f'<line class="now" x1="{LEFT}%" x2="{LEFT}%" y1="0" y2="{bottom}"/>']
    parts.append(f'<text x="{LEFT}%" y="{bottom + 18}" text-anchor="start">now</text>')
    day = step >= timedelta(days=1)
    at = now.replace(hour=0 if day else now.hour, minute=0, second=0, microsecond=0)
    tick = 0
    while (at := at + step) - now <= room:
        tick += 1
        x = _x(at, now, room)
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>')
        if (at - now) / room < 0.07:  # noqa: PLR2004 - the word `now` stands there
            continue
        label = f"{at.day} {at:%b}" if day else f"{at:%H:%M}"
        alt = "" if tick % 2 == 0 else ' class="alt"'
        parts.append(f'<text{alt} x="{x}" y="{bottom + 18}" text-anchor="middle">{label}</text>')
    return "".join(parts)


def _lane(kind: Kind, moments: Sequence[Coming], now: datetime, room: timedelta, top: int) -> str:
    title, symbol, one_word, many = LANES[kind]
    near: dict[int, list[Coming]] = {}
    for one in moments:
        near.setdefault(int(min(max((one.at - now) / room, 0.0), 1.0) * BINS), []).append(one)
    marks = [_mark(symbol, group, _x(group[0].at, now, room), top + 34, (one_word, many)) for group in near.values()]
    return f'<text class="lane" x="{LEFT}%" y="{top + 13}" dx="8">{title}</text>{"".join(marks)}'


def _mark(symbol: str, group: Sequence[Coming], x: str, y: int, said: tuple[str, str]) -> str:
    """Return one mark, larger for several moments, with their number in it and their keys as its tooltip."""
    size = 12 if len(group) == 1 else 20
    names = ", ".join(one.key for one in group[:5]) + (" …" if len(group) > 5 else "")  # noqa: PLR2004 - a tooltip
    title = text(f"{count(len(group), *said)}: {names}")
    number = f'<text class="n" y="4" text-anchor="middle">{len(group)}</text>' if len(group) > 1 else ""
    return (
        f'<svg x="{x}" y="{y}" overflow="visible"><title>{title}</title>'
        f'<use href="#{symbol}" x="-{size // 2}" y="-{size // 2}" width="{size}" height="{size}"/>{number}</svg>'
    )
