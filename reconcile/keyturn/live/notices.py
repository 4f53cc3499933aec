"""Tells the receivers of a manifest what a run came to; at least once, within bounds, and never failing the run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired
from keyturn.core.record import Record
from keyturn.core.results import RunReport
from keyturn.live.notebook import Notebook, Notes, Waiting
from keyturn.live.receivers import DEAD_MAN, Sent, send_all
from keyturn.report.lines import count, moment
from keyturn.report.notices import FEW, GOOD, Notice, Told, ahead, changes, first


class Notices:
    """The notices of one manifest. Without receivers, nothing is read, written or sent. Raises nothing."""

    def __init__(
        self,
        desired: Desired,
        notebook: Notebook,
        environment: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep the parts."""
        self._desired, self._notebook, self._environment, self._now = desired, notebook, environment, now
        self._hearing = tuple(one for one in desired.receivers if one.kind != DEAD_MAN)
        self._names = frozenset(one.name for one in self._hearing)

    def begin(self, read: Callable[[str], Record | None]) -> None:
        """Note each key that is new here, before anything is done to it: from now on its rotations are told.

        `read` reads the record of such a key.
        """
        if not self._hearing:
            return
        new: dict[str, Told] = {}
        with suppress(KeyturnError):  # told by `end`
            notes, _ = self._notebook.open(self._desired.owner)
            for key in self._desired.keys:
                if key.id not in notes.keys:
                    with suppress(KeyturnError):  # told by the run
                        new[key.id] = first(read(key.id))
            if new:
                self._notebook.change(self._desired.owner, lambda now: replace(now, keys={**new, **now.keys}))

    def end(self, report: RunReport, *, whole: bool) -> RunReport:
        """Tell what is new, and call the dead man's switch after a good run over all keys (`whole`).

        Return the report with a note of each receiver that did not take everything.
        """
        if not self._desired.receivers:
            return report
        try:
            said = self._told(report, whole=whole)
        except Exception as error:  # noqa: BLE001 - a notice never fails a run
            why = str(error) if isinstance(error, KeyturnError) else type(error).__name__
            said = [f"Notices were not sent: {why}"]
        return replace(report, notes=(*report.notes, *said))

    def waiting(self) -> list[str]:
        """Return a sentence per receiver for which notices wait, as they are stored. Nothing is sent."""
        if not self._hearing:
            return []
        try:
            notes = self._notebook.open(self._desired.owner)[0]
            return [*_lost(notes), *_waiting(notes.without({}, self._names), {})]
        except KeyturnError as error:
            return [f"It is not known whether notices wait: {error}"]

    def _told(self, report: RunReport, *, whole: bool) -> list[str]:
        jobs: dict[str, list[Notice]] = {}
        said = [f"A receiver is not set up, and its notices wait: {one}" for one in self._desired.unset]
        notes: Notes | None = None
        now = self._now()
        if self._hearing:
            before = Notes("")

            def change(found: Notes) -> Notes:
                nonlocal before
                before = found
                return self._with(found, report, now, whole=whole)

            try:
                notes = self._notebook.change(self._desired.owner, change)
                said += [*_lost(before), *_ahead(before, report)]
                outbox: Sequence[Waiting] = notes.outbox
            except KeyturnError as error:
                said.append(f"What was told cannot be stored, so only what is wrong is told, once a day: {error}")
                outbox = self._unstored(report)
            for one in outbox:
                for name in one.to:
                    jobs.setdefault(name, []).append(one.notice)
        switches = [one.name for one in self._desired.receivers if one.kind == DEAD_MAN]
        if whole and report.exit_code == 0:
            jobs |= {name: [] for name in switches}
        sent = send_all(jobs, self._desired.receivers, self._environment) if jobs else {}
        missed = [name for name in switches if _why(sent, name)]
        said += [f"The dead man's switch {name} was not called: {sent[name].why}" for name in missed]
        if notes is None:
            failed = sorted(name for name in sent.keys() & self._names if sent[name].why)
            return [*said, *(f"Receiver {name}: {sent[name].why}" for name in failed)]
        if jobs.keys() & self._names:
            taken = {name: frozenset(sent[name].ids) for name in sent if name in self._names}
            notes = self._notebook.change(self._desired.owner, lambda notes: notes.without(taken, self._names))
            said += _arrived(jobs, taken, now)
        return [*said, *_waiting(notes, sent)]

    def _with(self, notes: Notes, report: RunReport, now: datetime, *, whole: bool) -> Notes:
        """Return the notes with what is new in a report; a run over all keys forgets those that are gone."""
        found, told = changes(report, self._desired, notes.keys, now, notes.made)
        keys: dict[str, Told] = {**notes.keys, **told}
        if whole:
            known = {key.id for key in self._desired.keys} | told.keys()
            keys = {key: one for key, one in keys.items() if key in known}
        fresh = [one for notice in found if (one := Waiting(notice, self._wanted(notice))).to]
        after = replace(notes, keys=keys, outbox=(*notes.outbox, *fresh), made=notes.made + len(found), lost="")
        return after.without({}, self._names)

    def _unstored(self, report: RunReport) -> Sequence[Waiting]:
        """Return what is wrong after a run whose notes cannot be read. The ids are the same for the whole day."""
        now = self._now()
        found, _ = changes(replace(report, run=""), self._desired, {}, now, -now.toordinal())
        same = [replace(one, run=report.run) for one in found if one.event not in GOOD]
        return [Waiting(notice, to) for notice in same if (to := self._wanted(notice))]

    def _wanted(self, notice: Notice) -> tuple[str, ...]:
        return tuple(one.name for one in self._hearing if notice.event in one.on)


def _lost(notes: Notes) -> list[str]:
    """Say that the notes before these counted for nothing."""
    said = "The notes of notices were forged or damaged, and were begun again; what waited in them is lost"
    return [f"{said}: {notes.lost}"] if notes.lost else []


def _ahead(notes: Notes, report: RunReport) -> list[str]:
    """Say of which keys the notes knew rotations that never were."""
    found = [one.key for one in report.reports if ahead(notes.keys.get(one.key), one.record)]
    told = "The notes of notices knew more rotations than the records have, and follow the records now"
    return [f"{told}: {', '.join(found[:FEW])}{' …' if found[FEW:] else ''}"] if found else []


def _why(sent: Mapping[str, Sent], name: str) -> str:
    return sent[name].why if name in sent else ""


def _arrived(jobs: Mapping[str, Sequence[Notice]], taken: Mapping[str, Collection[str]], now: datetime) -> list[str]:
    """Return a sentence per receiver that took notices which had waited since before `now`."""
    late = {name: [one for one in jobs[name] if one.id in ids and one.at < now] for name, ids in taken.items()}
    return [
        f"receiver {name} took {count(len(some), 'notice')} that had waited since {moment(some[0].at)}"
        for name, some in late.items()
        if some
    ]


def _waiting(notes: Notes, sent: Mapping[str, Sent]) -> list[str]:
    """Return a sentence per receiver that lacks notices, or has lost some."""
    said = []
    names = dict.fromkeys(name for one in notes.outbox for name in one.to)
    for name in dict.fromkeys((*names, *notes.dropped)):
        mine = [one.notice for one in notes.outbox if name in one.to]
        why = f": {_why(sent, name)}" if _why(sent, name) else ""
        if mine:
            wait = "waits" if len(mine) == 1 else "wait"
            since = moment(mine[0].at)
            said.append(f"{count(len(mine), 'notice')} {wait} for receiver {name} since {since}{why}")
        if lost := notes.dropped.get(name):
            said.append(f"{count(lost, 'notice')} for receiver {name} {'was' if lost == 1 else 'were'} dropped")
    return said
