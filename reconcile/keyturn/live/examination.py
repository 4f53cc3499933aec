"""Examines the targets and the records of a manifest, for `keyturn doctor`. Nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from keyturn.core.checkup import Check, failed, failure, skipped, warned
from keyturn.core.errors import CredentialError, KeyturnError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.model import Delivery, Desired
from keyturn.core.record import Record, parse_record
from keyturn.engine import programs
from keyturn.live.account import Account
from keyturn.live.open_targets import Targets
from keyturn.live.signatures import OFF, VARIABLE, Signatures, Stored, signed
from keyturn.report.lines import count
from keyturn.targets.base import Target
from keyturn.targets.probing import Explaining, Probing

RECORDS = "records"
PROGRAMS = "programs"
NAMED = 5
"""How many keys or places are named; more are counted."""


def examine_target(
    name: str, target: Target, deliveries: Sequence[Delivery], blocked: set[str], *, documents: str = ""
) -> Iterator[Check]:
    """Yield what is found when these deliveries are read, and a write to each is tried that changes nothing.

    The name of the target is added to `blocked` if it is of no use for any path. `documents`: the prefix of the
    records, if they are in this target.
    """
    part = f"target {name}"
    problems: list[tuple[str, KeyturnError]] = []
    readable: list[Delivery] = []
    for delivery in deliveries:
        try:
            target.read(delivery.path, delivery.field)
        except KeyturnError as error:
            if isinstance(error, CredentialError | TargetUnavailable) or error.where == part:
                blocked.add(name)
                paths = dict.fromkeys(one.path for one in deliveries)
                yield failure(part, _explained(error, target, paths, documents))
                return
            problems.append((delivery.path, error))
        else:
            readable.append(delivery)
    if readable:
        yield Check(part, f"reachable, the login is accepted, {_of(len(readable), deliveries)} readable")
    yield from _told(part, _each(problems, target))
    if not readable:
        return
    tries: dict[str, Callable[[], None]]
    if isinstance(target, Probing):
        tries = {delivery.path: partial(target.probe, delivery.path) for delivery in readable}
        good = "writable"
    elif not target.capabilities.reads:  # its preflight changes nothing
        tries = {str(delivery): partial(target.preflight, delivery.path, delivery.field) for delivery in readable}
        good = "ready for a write, as far as can be told without one"
    else:
        yield skipped(part, "a write would leave a new version; a run tries one before it makes a secret")
        return
    problems = []
    for path, attempt in tries.items():
        try:
            attempt()
        except KeyturnError as error:
            problems.append((path, error))
    if not problems:
        yield Check(part, f"{_of(len(readable), deliveries)} {good}")
    yield from _told(part, _each(problems, target))


def _each(problems: Sequence[tuple[str, KeyturnError]], target: Target) -> list[KeyturnError]:
    """Return the problems of paths, each with what to do about all of them."""
    forbidden = dict.fromkeys(path for path, error in problems if isinstance(error, TargetForbidden))
    return [_explained(error, target, forbidden, "") for _, error in problems]


def _explained(error: KeyturnError, target: object, paths: Iterable[str], documents: str) -> KeyturnError:
    """Return the error with a remedy for all that these paths and documents need of the target."""
    if isinstance(target, Explaining):
        error.remedy = target.whole_remedy(error, paths, documents) or error.remedy
    return error


def examine_programs(desired: Desired, keys: Collection[str]) -> Iterator[Check]:
    """Yield whether the permitted programs of these keys' hooks (empty: all) and of the receivers can be started."""
    users: dict[str, list[str]] = {}
    for key in desired.keys:
        if (not keys or key.id in keys) and not key.absent and key.hook and key.hook.allowed:
            users.setdefault(key.hook.command[0], []).append(f"after_delivery of {key.id}")
    for one in desired.receivers:
        if one.command and one.allowed:
            users.setdefault(one.command[0], []).append(f"notify.{one.name}")
    for program, found in users.items():
        if why := programs.obstacle(program):
            remedy = f"Install {program} so that this user may execute it, or change the command in the manifest."
            yield failed(PROGRAMS, f"{_some(found)}: {program} cannot be started: {why}", remedy)
        else:
            yield Check(PROGRAMS, f"{_some(found)}: {program} can be started")


def _told(part: str, errors: Sequence[KeyturnError]) -> Iterator[Check]:
    """Yield the first few of these errors, each once, and the number of the rest."""
    once = list({(error.what, error.evidence): error for error in errors}.values())
    told = ""
    for error in once[:NAMED]:
        check = failure(part, error)
        yield replace(check, remedy="As above.") if error.remedy == told and "\n" in told else check
        told = error.remedy
    if len(once) > NAMED:
        yield failed(part, f"and {len(once) - NAMED} more of this kind", "Do the same for each.", once[0].exit_code)


def _of(number: int, deliveries: Sequence[Delivery]) -> str:
    every = count(len(deliveries), "delivery", "deliveries")
    return f"{every} {'is' if len(deliveries) == 1 else 'are'}" if number == len(deliveries) else f"{number} of {every}"


@dataclass(slots=True)
class Records:
    """What an examination of the records learns. `usable`: nothing stands in the way of reading keys."""

    usable: bool = False
    found: tuple[Record, ...] = ()


def examine_records(
    desired: Desired, targets: Targets, environment: Mapping[str, str], account: Account, learned: Records
) -> Iterator[Check]:
    """Yield what is found in the record store of a manifest; `learned` is filled in."""
    place = f"{desired.records.target}:{desired.records.prefix}"
    keys = f"{desired.records.prefix}/keys"
    store: Target | None = None
    try:
        store = targets.get(desired.records.target)
        store.check_documents(desired.records.prefix)
        names = store.list_documents(keys)
        signatures = Signatures.of(environment)
    except KeyturnError as error:
        yield failure(RECORDS, _explained(error, store, (), desired.records.prefix))
        return
    known = [key.id for key in desired.keys]
    documents: list[tuple[str, Stored]] = []
    broken: list[KeyturnError] = []
    for name in dict.fromkeys((*known, *names)):
        try:
            found = store.read_document(f"{keys}/{name}")
        except KeyturnError as error:
            broken.append(_for_all(error, store, desired.records.prefix, name))
        else:
            if found.text is not None:
                stored = Stored(f"{keys}/{name}", found.text, found.version, store.capabilities.counts)
                documents.append((name, stored))
    records = tuple(_parsed(documents, broken))
    yield from _told(RECORDS, broken)
    learned.usable = not broken
    mine = tuple(record for record in records if record.owner == desired.owner)
    learned.found = mine
    if not broken:
        yield Check(RECORDS, f"{place} is readable: {count(len(records), 'record')}, {len(mine)} of this manifest")
    if isinstance(store, Probing) and not broken:
        name = next(iter((*known, *names)), "none")
        try:
            store.probe_document(f"{keys}/{name}")
            store.probe_document(f"{desired.records.prefix}/slots/{name}")
        except KeyturnError as error:
            yield failure(RECORDS, _for_all(error, store, desired.records.prefix, name))
        else:
            yield Check(RECORDS, f"{place} is writable")
    yield from _signatures(documents, signatures)
    yield from _team(mine, account)
    yield from _unlisted(mine, known)


def _for_all(error: KeyturnError, store: Target, prefix: str, name: str) -> KeyturnError:
    """Return the error with a remedy for all documents: a policy names the prefix, not each of them."""
    _explained(error, store, (), prefix)
    for folder in ("keys", "slots"):
        error.remedy = error.remedy.replace(f"{prefix}/{folder}/{name}", f"{prefix}/*")
    return error


def _parsed(documents: Iterable[tuple[str, Stored]], broken: list[KeyturnError]) -> Iterator[Record]:
    for name, stored in documents:
        try:
            record = parse_record(stored.text, where=stored.path)
        except KeyturnError as error:
            broken.append(error)
        else:
            if record.key != name:
                what, found = "this is the record of another key", f"it names {record.key!r}"
                broken.append(
                    TargetMisfit(what, where=stored.path, evidence=found, remedy="Find out who put it there.")
                )
            elif not record.deleted_at:
                yield record


def _signatures(documents: Sequence[tuple[str, Stored]], signatures: Signatures) -> Iterator[Check]:
    """Judge the signatures. Records that were signed and are not checked any more are a failure."""
    with_signature = [name for name, stored in documents if signed(stored)]
    if not signatures:
        if signatures.off:
            yield Check(RECORDS, f"{VARIABLE} is {OFF}: no signature is checked or written")
        elif with_signature:
            yield failed(
                RECORDS,
                f"{_some(with_signature)}: signed, but {VARIABLE} is not set, so no signature is checked or written",
                f"Set {VARIABLE} to the key that signed them. If that key is lost: make one (openssl rand -hex 32), "
                f"set {VARIABLE} to it, and type: keyturn sign",
                4,
            )
        else:
            yield Check(RECORDS, f"no record is signed, and {VARIABLE} is not set")
        return
    doubtful: dict[str, list[str]] = {}
    for name, stored in documents:
        if doubt := signatures.doubt(stored):
            doubtful.setdefault(doubt, []).append(name)
    for doubt, names in doubtful.items():
        remedy = f"Find out who changed it; if what it says is right: keyturn sign {' '.join(names[:NAMED])}"
        yield failed(RECORDS, f"{_some(names)}: the signature does not hold ({doubt})", remedy, 4)
    if not doubtful:
        yield Check(RECORDS, f"{VARIABLE} is set, and {count(len(with_signature), 'signature')} hold")


def _team(records: Sequence[Record], account: Account) -> Iterator[Check]:
    others = {record.account for record in records if record.account and account.team} - {account.team}
    for team in sorted(others):
        keys = [record.key for record in records if record.account == team]
        yield failed(
            RECORDS,
            f"the token is of the team {account.team}, and the API keys of {_some(keys)} are of the team {team}",
            f"Use a token of the team {team}.",
            4,
        )


def _unlisted(records: Sequence[Record], known: Collection[str]) -> Iterator[Check]:
    left = [record.key for record in records if record.key not in known]
    if left:
        remedy = "Nothing of them is touched. Add an entry, or leave them."
        yield warned(RECORDS, f"{_some(left)}: recorded, and without an entry in the manifest", remedy)


def unfinished(records: Sequence[Record]) -> Iterator[Check]:
    """Yield the records with an open intent and those that are parked, when the keys themselves cannot be examined."""
    for record in records:
        if record.intent:
            what = f"{record.key}: a run began to {record.intent.op} and did not finish"
            yield warned("keys", what, f"keyturn apply {record.key}")
        if record.parked:
            remedy = f"Remove the cause, then: keyturn apply {record.key} --unpark {record.key}"
            yield warned("keys", f"{record.key}: parked, no more secrets are made", remedy)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def used_targets(desired: Desired, keys: Collection[str]) -> dict[str, list[Delivery]]:
    """Return the deliveries of these keys (empty: all) by target; also a target without one, with none."""
    used: dict[str, list[Delivery]] = {}
    for key in desired.keys:
        if (not keys or key.id in keys) and not key.absent:
            for delivery in key.deliveries:
                used.setdefault(delivery.target, []).append(delivery)
    return used


def close(targets: Targets) -> None:
    """Close targets; what goes wrong then is of no interest."""
    with suppress(Exception):
        targets.close()
