"""What the provider does with a key: the machine's loop, on the same record as the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from pulumi.dynamic import CreateResult, ReadResult, UpdateResult

from keyturn.core.errors import KeyturnError, OwnershipError
from keyturn.core.model import DesiredKey, Origin
from keyturn.core.reasons import Condition
from keyturn.core.record import Record
from keyturn.core.results import End, KeyReport, Options, Progress
from keyturn.engine import executor
from keyturn.engine.run_lock import Runs
from keyturn.live.live_world import LiveWorld
from pulumi_keyturn import due, inputs, intake, outputs, process, talk, words
from pulumi_keyturn.failure import KeyturnFailed
from pulumi_keyturn.inputs import TRIGGER, Props


def create(props: Props) -> CreateResult:
    """Bring a key to rest and return its id in the record.

    Finds by itself what an earlier create left behind. Raises KeyturnError or KeyturnFailed; whatever was minted by
    then is in the record.
    """
    desired, key = intake.key_of(props, process.environment())
    world = process.world(desired)
    options = _check_fate(world, key, _options(props))
    _apply(world, key, options, words.made)
    return CreateResult(key.id, outputs.of_key(props, world, key, _record(world, key)))


def update(olds: Props, news: Props) -> UpdateResult:
    """Bring a key to rest again; `olds` are its outputs.

    A rotation trigger that had to wait keeps its old value in the outputs, so that the next diff shows it again.
    """
    if due.only_provider(olds, news, datetime.now(UTC)):
        return UpdateResult(outputs.kept(olds))
    desired, key = intake.key_of(news, process.environment())
    world = process.world(desired)
    if not world.read_record(key.id).record:
        raise KeyturnFailed(words.no_record(key.id, desired))
    pulled = inputs.trigger(news.get(TRIGGER)) if inputs.changed(olds, news, (TRIGGER,)) else ""
    unhealthy = olds.get("health", due.HEALTHY) != due.HEALTHY
    options = replace(_options(news, verify=unhealthy), unpark=bool(pulled))
    options = _check_fate(world, key, options)
    _follow_name(world, key, olds)
    end = _apply(world, replace(key, trigger=pulled), options, words.half_done)
    record = _record(world, key)
    shown = dict(news)
    if record.trigger != pulled and pulled:
        shown[TRIGGER] = olds.get(TRIGGER)
        talk.warn(f"{key.id}: the rotation that the trigger asked for has to wait: {_waiting(end)}")
    return UpdateResult(outputs.of_key(shown, world, key, record))


def read(key: str, props: Props) -> ReadResult:
    """Return what is true of a key now; a blank id where it is gone for certain.

    Raises KeyturnError where that cannot be known.
    """
    desired = intake.surroundings_of(props, process.environment())
    world = process.world(desired)
    record = world.read_record(key).record
    if record is None:
        raise KeyturnFailed(words.no_record(key, desired))
    _same_team(record, world.account())
    if not record.deleted_at:
        process.fate(world, record.owner).check_listed(key, record)
    if record.deleted_at or _gone(world, record):
        if not record.deleted_at and not process.fate(world, record.owner).same_team(key, record):
            raise KeyturnFailed(words.another_account(key, record))
        return ReadResult("", {})
    return ReadResult(key, outputs.of_found(props, world, desired, record))


def delete(props: Props) -> None:
    """Let a key go; what another owner took over, or another resource of this run's program has, is left alone.

    The engine replaces where it is told to (`--replace`): it makes the new resource on the same record, before or after
    it deletes the old one. Nothing could make the key again, so the key just stays. Raises KeyturnError or
    KeyturnFailed, that where there is no record: nobody knows any more what is to be deleted.
    """
    desired = intake.surroundings_of(props, process.environment())
    key = DesiredKey(
        id=str(props["key"]),
        owner=inputs.owner(props),
        absent=True,
        retain=props.get("on_delete") == "retain",
        clean_targets=props.get("clean_targets") is not False,
        timing=desired.timing,
        homes={target.name: target.home for target in desired.targets},
    )
    if process.once.has(key.id):
        talk.warn(f"{key.id}: goes on under the resource that has it now; nothing of it was touched")
        return
    world, options = process.world(desired), Options(allow_delete=True, by=key.owner)
    record = world.read_record(key.id).record
    if record is None:
        raise KeyturnFailed(words.no_record(key.id, desired))
    if record.deleted_at:
        return
    if record.owner != key.owner:
        talk.warn(f"{key.id}: belongs to {record.owner!r} now; nothing of it was touched")
        return
    _apply(world, key, _check_fate(world, key, options), words.half_done)


def _options(props: Props, *, verify: bool = False) -> Options:
    """Return what the program asks for; a delete that its change calls for was shown by the preview."""
    return Options(
        verify=verify or props.get("verify") is True,
        take_over=props.get("take_over") is True,
        allow_delete=True,
        by=inputs.owner(props),
    )


def _check_fate(world: LiveWorld, key: DesiredKey, options: Options) -> Options:
    """Raise RunStopped where what befell this key befell all keys of the stack; return what is known of the team."""
    record = world.read_record(key.id).record
    fate = process.fate(world, record.owner if record else key.owner)
    fate.check_listed(key.id, record)
    if record and options.verify and key.smoke.origin is not Origin.SKIP:
        fate.check_accepted(record)
    return replace(options, same_team=record is not None and fate.same_team(key.id, record))


def _apply(world: LiveWorld, key: DesiredKey, options: Options, left: Callable[[Record], str]) -> End:
    """Run the machine; a failure also says what it `left` behind."""
    with Runs().hold() as run:
        report = executor.apply_key(world, key, options, run.id, _talk)
        run.unfinished = report.exit_code != 0
    for problem in report.problems:
        talk.warn(words.of_pulumi(f"{key.id}: {problem}"))
    if report.exit_code:
        raise KeyturnFailed(_failure(world, key, report, left))
    return report.end


def _failure(world: LiveWorld, key: DesiredKey, report: KeyReport, left: Callable[[Record], str]) -> str:
    why, hint = report.end.why or "; ".join(report.problems), ""
    with suppress(KeyturnError):
        record = world.read_record(key.id).record
        if record and record.owner == key.owner:
            why = words.parked(record) if report.end.condition is Condition.PARKED else why
            hint = left(record)
    return f"{key.id}: {why.rstrip('.')}. {hint}".rstrip()


def _follow_name(world: LiveWorld, key: DesiredKey, olds: Props) -> None:
    """Move the record to the new name of a renamed resource, stack or project; nothing else is allowed by that."""
    before = inputs.owner(olds)
    record = world.read_record(key.id).record
    if record and record.owner == before != key.owner:
        _apply(world, executor.unmanaged_key(key.id, key.owner), Options(take_over=True, by=key.owner), words.half_done)


def _record(world: LiveWorld, key: DesiredKey) -> Record:
    record = world.read_record(key.id).record
    if record is None:
        raise KeyturnFailed(f"{key.id}: its record is gone though it was just written; look at the records' place")
    return record


def _gone(world: LiveWorld, record: Record) -> bool:
    """Tell whether no API key of the record is left: absent from two complete lists."""
    uuids = {slot.uuid for slot in record.slots.values()}
    return bool(uuids) and not any(
        key.uuid in uuids and key.deleted_at is None for fresh in (False, True) for key in world.list_keys(fresh=fresh)
    )


def _same_team(record: Record, account: str) -> None:
    if account and record.account not in {"", account}:
        raise OwnershipError(
            f"{record.key}: its record belongs to the team {record.account}, the token to the team {account}",
            remedy="Use the token of that team.",
        )


def _talk(line: Progress) -> None:
    talk.say(f"{line.key}: {line.text}")


def _waiting(end: End) -> str:
    return end.why + (f" ({_moment(end.until)})" if end.until else "")


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
