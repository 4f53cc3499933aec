"""The operations of the provider on a key. They run the same loop on the same record as the command line.

Each operation reads its record once. The checks and then the loop use that reading: each effect of the loop follows a
write over exactly the version that was read. The outputs show the last record that the loop wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

from keyturn.core import brakes
from keyturn.core.errors import OwnershipError
from keyturn.core.limits import Limits
from keyturn.core.model import DesiredKey, Origin
from keyturn.core.record import Record
from keyturn.core.results import End, KeyPlan, KeyReport, Options, Progress, Stage
from keyturn.core.schedule import utc
from keyturn.core.world import StoredRecord, World
from keyturn.engine import executor, planning
from keyturn.engine.run_lock import Runs
from keyturn.live.live_world import LiveWorld
from keyturn_provider import inputs, messages, remedies, session, state
from keyturn_provider.inputs import TRIGGER, Props
from keyturn_provider.messages import KeyturnFailed
from keyturn_provider.spelling import spelled

Left = Callable[[Record], str]
"""Describes what a failure left behind."""


class NotAtRest(KeyturnFailed):
    """The machine stopped before the key was at rest.

    `outputs` show the key as its record has it: None if there is no API key of this resource yet. `make` names the API
    keys that an operator has to make.
    """

    outputs: dict[str, object] | None = None

    def __init__(self, text: str, record: Record | None, make: tuple[str, ...]) -> None:
        """Take the message, this owner's record, and what has to be made."""
        super().__init__(text)
        self.record = record
        self.make = make


def create(props: Props) -> dict[str, object]:
    """Apply a new key until it is at rest. Return all outputs.

    Continues a failed earlier create, and what the dynamic resource of the same place and name began. Raises
    KeyturnError or KeyturnFailed; anything minted by then is in the record.
    """
    desired, key = inputs.key_of(props, session.environment())
    world = session.world(desired)
    stored = _read(world, key.id)
    options = _checked(world, key, stored.record, _options(props))
    once = _AlreadyRead(world, stored)
    try:
        if _follows(stored.record, key, key.owner):
            _follow_name(once, key, options)
        report = _apply(once, key, options, messages.made)
    except NotAtRest as stopped:
        if stopped.record:
            stopped.outputs = state.of_unfinished(props, key, stopped.record, str(stopped))
        raise
    return state.of_key(props, world, key, _record(report))


def update(olds: Props, news: Props) -> dict[str, object]:
    """Apply a key again until it is at rest. Return all outputs. `olds` are its outputs.

    If a triggered rotation has to wait, the outputs keep the old trigger, so that the next diff shows it again.
    """
    if state.only_provider(olds, news, datetime.now(UTC), session.environment()):
        return state.kept(olds)
    desired, key = inputs.key_of(news, session.environment())
    world = session.world(desired)
    stored = _read(world, key.id)
    if stored.record is None:
        raise KeyturnFailed(messages.no_record(key.id, desired))
    pulled, asked = _asked(olds, news)
    options = _checked(world, key, stored.record, asked)
    once = _AlreadyRead(world, stored)
    shown = dict(news)
    try:
        if _follows(stored.record, key, inputs.owner(olds)):
            _follow_name(once, key, options)
        report = _apply(once, replace(key, trigger=pulled), options, messages.half_done)
    except NotAtRest as stopped:
        if stopped.record:
            if stopped.record.trigger != pulled and pulled:
                shown[TRIGGER] = olds.get(TRIGGER)
            stopped.outputs = state.of_unfinished(shown, key, stopped.record, str(stopped))
        raise
    record = _record(report)
    if record.trigger != pulled and pulled:
        shown[TRIGGER] = olds.get(TRIGGER)
        messages.warn(f"{key.id}: the triggered rotation has to wait: {_waiting(report.end)}")
    return state.of_key(shown, world, key, record)


def plan(olds: Props, news: Props) -> KeyPlan:
    """Return what a create (without `olds`) or an update would do. It reads, and changes nothing.

    Raises KeyturnError or KeyturnFailed if that cannot be determined.
    """
    desired, key = inputs.key_of(news, session.environment())
    world = session.world(desired)
    stored = _read(world, key.id)
    pulled, asked = _asked(olds, news) if olds else ("", _options(news))
    options = _checked(world, key, stored.record, asked)
    if stored.record and _follows(stored.record, key, inputs.owner(olds) if olds else key.owner):
        key = replace(key, owner=stored.record.owner)
    once = cast("World", _AlreadyRead(world, stored))
    return planning.plan_key(once, replace(key, trigger=pulled), options).plan


def delete(props: Props) -> None:
    """Delete or release a key, unless it belongs to another owner or to another resource of this program.

    For `--replace` the engine creates the new resource on the same record before or after it deletes the old one. The
    key could not be created again, so it stays. Raises KeyturnError or KeyturnFailed, also if there is no record:
    without one, the API keys to delete are unknown.
    """
    desired = inputs.surroundings_of(props, session.environment())
    key = DesiredKey(
        id=str(props["key"]),
        owner=inputs.owner(props),
        absent=True,
        retain=props.get("on_delete") == "retain",
        clean_targets=props.get("clean_targets") is not False,
        timing=desired.timing,
        permit=desired.permit,
        homes={target.name: target.homes for target in desired.targets},
        record_target=desired.records.target,
    )
    if session.uniqueness.has(key.id):
        messages.warn(f"{key.id}: another resource of this program has this key now; nothing was changed")
        return
    world = session.world(desired)
    stored = world.read_record(key.id)
    record = stored.record
    if record is None:
        raise KeyturnFailed(messages.no_record(key.id, desired))
    if record.deleted_at:
        return
    if record.owner != key.owner:
        messages.warn(f"{key.id}: the owner is {record.owner!r} now; nothing was changed")
        return
    if key.permit and not key.permit.deletes and not key.retain:
        where = key.permit.where["limits.deletes"]
        remedy = spelled("Set {retain} to keep it, or change the policy.")
        raise OwnershipError(f"the policy allows no API key to be deleted ({where})", where=key.id, remedy=remedy)
    options = _checked(world, key, record, Options(allow_delete=True, by=key.owner))
    _apply(_AlreadyRead(world, stored), key, options, messages.half_done)


class _AlreadyRead:
    """A world with one record that was already read. It is returned for the first read of that record only."""

    def __init__(self, world: LiveWorld, stored: StoredRecord) -> None:
        self._world = world
        self._stored: StoredRecord | None = stored
        self.record = stored.record

    def __getattr__(self, name: str) -> object:
        return getattr(self._world, name)

    def read_record(self, key: str) -> StoredRecord:
        stored, self._stored = self._stored, None
        return stored if stored is not None else self._world.read_record(key)


def _read(world: LiveWorld, key: str) -> StoredRecord:
    """Read a record after the list, so that an API key created by a concurrent run does not look foreign."""
    world.list_keys()
    return world.read_record(key)


def _options(props: Props, *, verify: bool = False) -> Options:
    """Return the options of the program. The preview has shown any delete that its change requires."""
    return Options(
        verify=verify or props.get("verify") is True,
        take_over=props.get("take_over") is True,
        confirmed=props.get("take_over") is True,
        allow_delete=True,
        by=inputs.owner(props),
    )


def _asked(olds: Props, news: Props) -> tuple[str, Options]:
    """Return the trigger of the rotation that an update asks for, empty if it asks for none, and its options."""
    pulled = inputs.trigger(news.get(TRIGGER)) if inputs.changed(olds, news, (TRIGGER,)) else ""
    unhealthy = olds.get("health", state.HEALTHY) != state.HEALTHY
    return pulled, replace(_options(news, verify=unhealthy), unpark=bool(pulled))


def _follows(record: Record | None, key: DesiredKey, before: str) -> bool:
    """Tell whether a record moves to this resource: it had another name `before`, or was a dynamic one."""
    return record is not None and record.owner != key.owner and record.owner in {before, inputs.predecessor(key.owner)}


def _checked(world: LiveWorld, key: DesiredKey, record: Record | None, options: Options) -> Options:
    """Raise OwnershipError for what the policy does not allow, or if all keys of the stack have the same problem.

    Note that the team is known.
    """
    if refused := brakes.beyond(key.permit, options, Limits(0)):
        raise OwnershipError("; ".join(refused), where=key.id, remedy="Leave it out, or change the policy.")
    breaker = session.breaker(world, record.owner if record else key.owner)
    breaker.check_listed(key.id, record)
    if record and options.verify and key.smoke.origin is not Origin.SKIP:
        breaker.check_accepted(record)
    return replace(options, same_team=record is not None)


def _apply(world: _AlreadyRead, key: DesiredKey, options: Options, left: Left) -> KeyReport:
    """Run the machine. A failure also describes what it `left` behind."""
    with Runs().hold() as run:
        report = executor.apply_key(cast("World", world), key, options, run.id, _progress, session.cancelled.is_set)
        run.unfinished = report.exit_code != 0
    for problem in report.problems:
        messages.warn(f"{key.id}: {problem}")
    if report.exit_code:
        record = report.record or world.record
        ours = record if record and record.owner == key.owner and record.slots and not record.deleted_at else None
        raise NotAtRest(_failure(key, report, record, left), ours, report.end.make)
    return report


def _failure(key: DesiredKey, report: KeyReport, record: Record | None, left: Left) -> str:
    found = [end for end in report.conditions if end.exit_code] or [report.end]
    told = [end.why if end.make else remedies.told(end) for end in found]
    hint = left(record) if record and record.owner == key.owner else ""
    parts = (f"{key.id}: {'; '.join(told).rstrip('.')}.", messages.hand_off(report.end.make), hint)
    return " ".join(part for part in parts if part)


def _follow_name(world: _AlreadyRead, key: DesiredKey, options: Options) -> None:
    """Move the record to the new owner of a renamed resource, stack or project. This permits nothing else."""
    only_that = Options(take_over=True, by=key.owner, same_team=options.same_team)
    moved = executor.unmanaged_key(key.id, key.owner)
    moved = replace(moved, rotation=replace(moved.rotation, freezes=key.rotation.freezes))  # it retires nothing early
    _apply(world, moved, only_that, messages.half_done)


def _record(report: KeyReport) -> Record:
    if report.record is None:
        raise KeyturnFailed(f"{report.key}: the key is at rest without a record; check the record store")
    return report.record


def _progress(line: Progress) -> None:
    if line.text and line.stage is not Stage.WAIT:
        messages.say(f"{line.key}: {line.text}")


def _waiting(end: End) -> str:
    return end.why + (f" ({utc(end.until)})" if end.until else "")
