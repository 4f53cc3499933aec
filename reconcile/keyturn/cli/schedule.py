"""`keyturn schedule`: what will happen when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from keyturn.cli.session import Opened
    from keyturn.core.results import RunStatus
    from keyturn.report.documents import ScheduleDocument

LONGEST_DAYS = 3650


def _length(_ctx: click.Context, _param: click.Parameter, value: str) -> timedelta:
    """Return a duration such as 90d. A click callback."""
    from datetime import timedelta

    from keyturn.manifest.durations import parse_duration

    try:
        found = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} {error}") from None
    if found > timedelta(days=LONGEST_DAYS):
        raise click.BadParameter(f"must be at most {LONGEST_DAYS}d")
    return found


@click.command(
    "schedule",
    help="Show what will happen when: rotations, retires of old secrets, freezes. "
    "It is a forecast: each rotation is assumed to succeed as soon as it may start.",
)
@options.some_keys
@options.manifests
@click.option(
    "--until", default="90d", show_default=True, metavar="DURATION", callback=_length, help="How far to look ahead."
)
@options.formatted("text", "json", "ics")
@options.talking
def command(*, keys: tuple[str, ...], file: tuple[str, ...], until: timedelta) -> int:
    """Read, forecast, show."""
    from datetime import UTC, datetime

    from keyturn.cli.session import opened
    from keyturn.core.results import Options
    from keyturn.report.documents import dump
    from keyturn.report.ics import schedule_ics
    from keyturn.report.schedule import schedule_lines

    screen = options.screen()
    with opened(screen, file, (), keys) as manifests:
        runs = [one.runner.status(one.keys, Options()) for one in manifests]
    now = datetime.now(UTC)
    document = schedule_document(manifests, runs, now, now + until)
    if screen.format == "json":
        screen.document(dump(document))
    elif screen.format == "ics":
        screen.document(schedule_ics(document))
        for note in document.notes:
            screen.say(note)
    else:
        screen.result(schedule_lines(document, notes_only=screen.quiet))
    return document.exit_code


def schedule_document(
    manifests: Sequence[Opened], runs: Sequence[RunStatus], now: datetime, until: datetime
) -> ScheduleDocument:
    """Return the forecast of these manifests, each given with its status.

    The exit code is that of keys that could not be read; a key that waits for an operator is noted only.
    """
    from keyturn.core import forecast
    from keyturn.core.reasons import mixed
    from keyturn.report.documents import ScheduleDocument

    parts: list[tuple[forecast.Coming, ...]] = []
    notes: list[str] = []
    for one, run in zip(manifests, runs, strict=True):
        desired = one.desired
        found = forecast.forecast(forecast.subjects(desired, run.keys), now, until)
        parts += [found.coming, forecast.freezes(desired.owner, desired.freezes, now, until)]
        notes += [*found.notes, forecast.crowded(found.coming, desired.owner, desired.rotations_per_run)]
        notes.append(run.stopped)
    unread = [
        end.exit_code for run in runs for key in run.keys for end in key.every if end.condition in forecast.UNREAD
    ]
    return ScheduleDocument(now, until, mixed(unread), forecast.together(*parts), tuple(note for note in notes if note))
