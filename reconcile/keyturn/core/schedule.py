"""PURE: when a scheduled rotation may start, and when an old secret may be retired.

All moments are aware datetimes; what is returned is in UTC. A window opens at each cron moment of its time zone and
stays open for its duration, measured in elapsed time. At a change of the clocks a fixed time that the day skips opens
when the gap ends, and one that the day has twice opens at the first.

In a freeze nothing scheduled starts. A freeze that ends while a window is open lets a rotation start at its end. All
freezes together hold back what is due for a limited time (`Freeze.most`): the next freeze begins no new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from keyturn.core.errors import InputError
from keyturn.core.model import Freeze, Rotation, Window

_FAR = datetime.max.replace(tzinfo=UTC)


def due(rotation: Rotation, minted_at: datetime, now: datetime) -> bool:
    """Tell whether a scheduled rotation may start now: old enough, in no freeze, inside a window where one is given."""
    if rotation.every is None or now - minted_at < rotation.every or frozen(_counting(rotation, minted_at), now):
        return False
    return rotation.window is None or window_open(rotation.window, now)


def due_since(rotation: Rotation, minted_at: datetime) -> datetime | None:
    """Return the first moment at which the rotation could have started; None where it is only on demand."""
    if rotation.every is None:
        return None
    return _first_start(rotation, minted_at, minted_at + rotation.every)


def next_rotation(rotation: Rotation, minted_at: datetime, now: datetime) -> datetime | None:
    """Return when a scheduled rotation may next start, `now` where it is due; None where it is only on demand."""
    if rotation.every is None:
        return None
    return _first_start(rotation, minted_at, max(minted_at + rotation.every, now))


def first_due(rotation: Rotation, minted_at: datetime) -> datetime | None:
    """Return the first moment at which the rotation could have started without freezes; None if only on demand."""
    return _first_open(rotation.window, minted_at + rotation.every) if rotation.every else None


def held_back(rotation: Rotation, minted_at: datetime, now: datetime) -> Freeze | None:
    """Return the freeze that alone keeps a scheduled rotation from starting now, None if there is no such freeze."""
    freeze, since = frozen(_counting(rotation, minted_at), now), first_due(rotation, minted_at)
    return freeze if freeze and since and since <= now else None


def counting(freezes: Sequence[Freeze], due_at: datetime) -> tuple[Freeze, ...]:
    """Return the freezes as they count for what is due at this moment: none goes on when it has been due for `most`."""
    ends = [(one, due_at + one.most if due_at < _FAR - one.most else _FAR) for one in freezes]
    return tuple(one if one.until <= end else replace(one, until=end) for one, end in ends if one.since < end)


def frozen(freezes: Sequence[Freeze], now: datetime) -> Freeze | None:
    """Return the freeze at this moment, of several the one that ends last; None if there is none."""
    return max((one for one in freezes if one.since <= now < one.until), key=lambda one: one.until, default=None)


def frozen_text(what: str, freeze: Freeze) -> str:
    """Return the sentence that something is due and frozen, with the reason. When it starts is told beside it."""
    return f"{what} is due, and the manifest is frozen ({freeze.reason})"


def thawed(freezes: Sequence[Freeze], moment: datetime) -> datetime:
    """Return the first moment from `moment` on that is in no freeze, in UTC."""
    moment = moment.astimezone(UTC)
    while freeze := frozen(freezes, moment):
        moment = freeze.until.astimezone(UTC)
    return moment


def outlasts(until: datetime, now: datetime, overlap: timedelta) -> str:
    """Say that an overlap which runs until then is longer than the entry asks for by now; empty if it is not.

    A minute is for clocks that differ.
    """
    return ", which began before the entry shortened it" if until - now - timedelta(minutes=1) > overlap else ""


def closing(window: Window, now: datetime) -> datetime | None:
    """Return when the window that is open now closes, None if it is shut. Of several openings, the first counts."""
    opening = next_opening(window, now - window.duration)
    return opening + window.duration if opening <= now else None


def window_open(window: Window, now: datetime) -> bool:
    """Tell whether some opening is no longer ago than the window's duration."""
    return next_opening(window, now - window.duration) <= now


def next_opening(window: Window, after: datetime) -> datetime:
    """Return the first moment after `after` at which the window opens.

    Raises:
        InputError: it never opens (a 30th of February), or its cron expression or time zone is not valid.
    """
    # cronsim steps through local times: in the hour that the clocks repeat it may answer the first of the two, which
    # lies before `after`; such answers are passed over. It gives up by itself after 50 years without a match.
    try:
        for opening in CronSim(window.cron, after.astimezone(ZoneInfo(window.timezone))):
            moment = opening.astimezone(UTC)
            if moment > after:
                return moment
    except (KeyError, ValueError, OSError, CronSimError) as error:
        raise InputError("the window cannot be used", evidence=str(error)) from None
    raise InputError("the window never opens", evidence="no such moment in the next 50 years")


def _first_open(window: Window | None, moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    if window is None or window_open(window, moment):
        return moment
    return next_opening(window, moment)


def _counting(rotation: Rotation, minted_at: datetime) -> tuple[Freeze, ...]:
    since = first_due(rotation, minted_at) if rotation.freezes else None
    return counting(rotation.freezes, since) if since else ()


def _first_start(rotation: Rotation, minted_at: datetime, moment: datetime) -> datetime:
    """Return the first moment from `moment` on that is in no freeze and inside the window."""
    freezes = _counting(rotation, minted_at)
    # Each turn passes the end of at least one freeze.
    while True:
        moment = thawed(freezes, _first_open(rotation.window, moment))
        if rotation.window is None or window_open(rotation.window, moment):
            return moment


def utc(at: datetime) -> str:
    """Return a moment as `2026-08-24 02:00:05 UTC`: the one form in every text."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def shown(length: timedelta) -> str:
    """Return a length of time as a manifest writes it, such as `30d` or `1h30m`; rounded to whole seconds."""
    left, parts = round(length.total_seconds()), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, left = divmod(left, size)
        parts.append(f"{number}{unit}" if number else "")
    return "".join(parts) or "0s"
