"""Perform one step on the world and say what it came to. Secrets live here, by digest; the machine never sees one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keyturn.core.errors import (
    ApiError,
    ChangeUndone,
    Conflict,
    CreateRetired,
    KeyturnError,
    LeaseLost,
    RateLimited,
    TargetError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.model import Delivery, SmokeResult, Verdict
from keyturn.core.record import Claim
from keyturn.core.secret import is_account_token, looks_like_key
from keyturn.core.state import Failed, Likeness, Reading, Source, State
from keyturn.core.steps import (
    Check,
    Create,
    DeleteKey,
    Deliver,
    Look,
    LookAround,
    LookBack,
    LookClaim,
    LookSource,
    Preflight,
    Purpose,
    Regenerate,
    Relist,
    Remove,
    Rename,
    Step,
    TellApart,
    Wait,
    WriteClaim,
    WriteRecord,
    WriteSource,
)
from keyturn.core.transition import (
    Checked,
    Claimed,
    Delivered,
    Done,
    Listed,
    Looked,
    LookedAround,
    Made,
    Outcome,
    Removed,
    Written,
)
from keyturn.core.world import Guard, Held, World
from keyturn.engine import smoke
from keyturn.engine.observe import Hand, by_marker, clock, digest_key

DONE = Done()
NOTHING = Held()
STRICT_TIMES, STRICT_SPREAD = 3, 5.0
FOLLOWS = 2
"""How often the version of one name has to follow a write by another one before both are taken for one place."""
LOOKS = 5
"""How often two names are compared before it is said that they could not be told apart."""


def guard(world: World, state: State) -> Guard:
    """Return the holder's check: local, made right before the bytes of a mutating call go out."""
    leased, lease = state.run.leased, state.desired.timing.lease

    def check() -> None:
        if leased is None or clock(world, state.run).since(leased) >= lease:
            raise LeaseLost("this run's lease ran out before the call was sent; nothing was sent")

    return check


def perform(world: World, state: State, step: Step, hand: Hand) -> Outcome:  # noqa: C901, PLR0912 - one case per step
    """Perform a step.

    Raises:
        Conflict: the record was modified concurrently: the loop reads it again. One of a delivery is a problem of it.
        LeaseLost: another run may have the key: the loop reads the record again.
        RateLimited: the API let nothing through, so nothing happened: the loop waits, and comes again.
        KeyturnError: a read failed.
    """
    match step:
        case Look(deliveries):
            return _look(world, state, hand, deliveries)
        case LookBack():
            return _look_back(world, state, hand, step)
        case LookAround():
            return LookedAround(_holder(world, state, hand, step))
        case LookClaim(uuid):
            stored = world.read_claim(uuid)
            hand.claims[uuid] = stored.version
            return Claimed(stored.claim)
        case LookSource(key):
            found = world.read_record(key)
            return Source(found.record.at_home(state.desired) if found.record else None, found.version)
        case Relist():
            return Listed(world.list_keys(fresh=True))
        case Check():
            return Checked(_check(world, state, step, hand))
        case Preflight():
            return _preflight(world, step)
        case TellApart(old, new):
            return _tell_apart(world, state, hand, old, new)
        case Wait():
            message = "the executor waits itself, so that it can hear a request to stop"
            raise AssertionError(message)
        case WriteRecord(record):
            return Written(world.write_record(record.homed(state.desired.homes), state.version), state.clock)
        case WriteSource(record):
            version = state.observed.source.version if state.observed.source else ""
            return Written(world.write_record(record.homed(state.desired.homes), version), state.clock)
        case WriteClaim(claim):
            return _claim(world, claim, hand)
        case Create() | Regenerate():
            return _mint(world, state, step, hand)
        case Rename(uuid, name):
            return _tried(lambda: world.rename(uuid, name, guard(world, state)))
        case DeleteKey(uuid):
            return _tried(lambda: world.delete(uuid, guard(world, state)))
        case Deliver():
            return _deliver(world, state, step, hand)
        case Remove(delivery):
            expected = hand.held.get(delivery, NOTHING)
            if expected.secret is None and not (expected.marked and expected.version):
                return Removed()
            try:
                return _tried(lambda: world.remove_delivery(delivery, expected, guard(world, state)), Removed())
            except ChangeUndone as told:
                return Removed(undone=(str(told),))


def _tried(effect: Callable[[], object], done: Outcome = DONE) -> Outcome:
    try:
        effect()
    except (RateLimited, ChangeUndone):
        raise
    except (ApiError, TargetError) as error:
        return failed(error)
    return done


def failed(error: KeyturnError) -> Failed:
    """Say of an error what the machine needs to know."""
    definite = error.definite if isinstance(error, ApiError) else not getattr(error, "ambiguous", False)
    refused = isinstance(error, TargetForbidden | TargetMisfit)
    return Failed(str(error), error.exit_code, definite, isinstance(error, CreateRetired), refused)


def _preflight(world: World, step: Preflight) -> Outcome:
    for place in step.deliveries:
        try:
            world.preflight(place)
        except KeyturnError as error:
            return failed(error)
    return Done()


def _tell_apart(world: World, state: State, hand: Hand, old: Delivery, new: Delivery) -> Looked:
    found: dict[Delivery, Held] = {}
    likeness = _likeness(world, old, new, found)
    hand.held |= found
    readings = {place: _told(world, state, hand, place, held) for place, held in found.items()}
    return Looked(readings, frozenset(hand.secrets), {(old, new): likeness})


def _likeness(world: World, old: Delivery, new: Delivery, found: dict[Delivery, Held]) -> Likeness:
    """Compare the versions of two names that hold the same secret. Two names of one place always show the same one.

    `old` has to stay as it is while `new` is read: otherwise something else writes there, and they are read again. If
    two places may show the same version by chance, `new` is rewritten, and twice the version of `old` has to follow.
    `found` gets what was read.
    """
    followed, before, doubt = 0, "", f"it may be another name of {new}"
    try:
        for _ in range(LOOKS):
            version = world.read_delivery(old).version
            found[new] = world.read_delivery(new)
            found[old] = world.read_delivery(old)
            named = found[new].version
            if found[old].version != version:
                continue
            if named != version:
                return Likeness(same=False)
            if followed == FOLLOWS or world.unique_versions(old):
                return Likeness(same=True, why=f"{old} is another name of {new}, and is not emptied")
            if version == before:
                return Likeness(None, f"{doubt}, which shows the same version after it was written")
            world.preflight(new)
            followed, before = followed + 1, version
    except KeyturnError as error:
        return Likeness(None, f"{doubt}: {error}")
    return Likeness(None, f"{doubt}, and keeps changing")


def _look(world: World, state: State, hand: Hand, deliveries: tuple[Delivery, ...]) -> Looked:
    readings: dict[Delivery, Reading] = {}

    def read(place: Delivery) -> None:
        try:
            held = world.read_delivery(place)
            reading = _told(world, state, hand, place, held)
            if held.consequence and reading.digest and not reading.unlike:
                reading = replace(reading, effect=world.effect(place, held.version))
        except KeyturnError as error:
            told, silent = failed(error), isinstance(error, TargetUnavailable)
            refuses = told.why if told.refused else ""
            readings[place] = Reading(problem=told.why, exit_code=told.exit_code, silent=silent, refuses=refuses)
            return
        hand.held[place] = held
        readings[place] = reading

    world.together([lambda place=place: read(place) for place in deliveries])  # type: ignore[misc]
    return Looked(readings, frozenset(hand.secrets))


def _told(world: World, state: State, hand: Hand, place: Delivery, held: Held) -> Reading:
    """Take a secret of ours, or a value that looks like a key, into the hand. Of another value only say that it is one.

    What is not in the hand cannot be sent, copied or kept by any step.
    """
    if held.marked:
        return _marked(state, place, held)
    if held.secret is None:
        return Reading(version=held.version, consequence=held.consequence)
    digest, token = held.secret.digest(digest_key(state)), is_account_token(held.secret)
    known = digest in hand.secrets or (state.record is not None and digest in state.record.digests)
    if token or not (known or looks_like_key(held.secret, world.key_prefixes())):
        return Reading(digest, held.version, unlike=True, account_token=token, consequence=held.consequence)
    hand.take(held.secret, digest_key(state))
    return Reading(digest, held.version, consequence=held.consequence)


def _marked(state: State, place: Delivery, held: Held) -> Reading:
    """Say what a write-only place holds: what was sent when it got its marker, as this run or the record knows."""
    record = state.record if state.record and not state.record.deleted_at else None
    marker, sent = state.run.sent.get(place, ("", ""))
    if marker and marker == held.version:
        return replace(by_marker(record, place, held, digest_key(state)), digest=sent, unlike=False)
    return by_marker(record, place, held, digest_key(state))


def _look_back(world: World, state: State, hand: Hand, step: LookBack) -> Looked:
    for place, version in step.held:
        try:
            secret = world.read_delivery_version(place, version) if version else None
        except KeyturnError:
            continue
        if secret is not None and secret.digest(digest_key(state)) == step.digest:
            hand.take(secret, digest_key(state))
            break
    return Looked(in_hand=frozenset(hand.secrets))


def _holder(world: World, state: State, hand: Hand, step: LookAround) -> str:
    """Say which other key has the secret or one of the deliveries, empty if none. Raises what reading a record does."""
    secret, homes = hand.secrets[step.digest], state.desired.homes
    for other in world.records():
        if other.key == state.desired.id or other.deleted_at:
            continue
        whose = f"the key {other.key!r} of {other.owner!r}"
        for place in step.deliveries:
            if any(item.same_place(place, homes) for item in other.deliveries):
                return f"{place} is a delivery of {whose}"
        if secret.digest(other.digest_key) in other.digests:
            return f"the secret is one of {whose}"
    return ""


def _check(world: World, state: State, step: Check, hand: Hand) -> SmokeResult:
    wanted, timing = state.desired.smoke, state.desired.timing
    secret = hand.secrets[step.digest]
    if step.purpose is Purpose.OLD:
        alive = smoke.alive(world, secret, timing, dying=True)
        found = {True: Verdict.ACCEPTED, False: Verdict.REFUSED, None: Verdict.UNREACHABLE}
        return SmokeResult(found[alive])
    times, spread = (STRICT_TIMES, STRICT_SPREAD) if step.purpose is Purpose.BEFORE_DELIVERY else (1, 0.0)
    fresh = step.purpose in {Purpose.FRESH, Purpose.BEFORE_DELIVERY}
    return smoke.check(world, secret, wanted, timing, times=times, spread=spread, fresh=fresh)


def _claim(world: World, claim: Claim, hand: Hand) -> Outcome:
    try:
        hand.claims[claim.uuid] = world.write_claim(claim, hand.claims.get(claim.uuid, ""))
    except Conflict:
        stored = world.read_claim(claim.uuid)
        hand.claims[claim.uuid] = stored.version
        if stored.claim != claim:
            return Claimed(stored.claim)
    return Done()


def _mint(world: World, state: State, step: Create | Regenerate, hand: Hand) -> Outcome:
    hold = guard(world, state)
    try:
        minted = world.create(step.name, hold) if isinstance(step, Create) else world.regenerate(step.uuid, hold)
    except RateLimited:
        raise
    except ApiError as error:
        return failed(error)
    if isinstance(step, Regenerate) and step.discard:
        return Made("")
    hand.durable = not step.hold_signals
    digest = hand.take(minted.secret, digest_key(state))
    return Made(digest, minted.key if isinstance(step, Create) else None)


def _deliver(world: World, state: State, step: Deliver, hand: Hand) -> Outcome:
    problems: dict[Delivery, Failed] = {}
    written: dict[Delivery, str] = {}
    undone: list[str] = []
    secret = hand.secrets[step.digest]
    hold = guard(world, state)

    def write(place: Delivery) -> None:
        try:
            written[place] = world.write_delivery(place, secret, hand.held.get(place, NOTHING), hold)
        except ChangeUndone as told:
            written[place] = told.version
            undone.append(str(told))
        except KeyturnError as error:
            problems[place] = failed(error)
            return
        hand.durable = True

    world.together([lambda place=place: write(place) for place in step.deliveries])  # type: ignore[misc]
    return Delivered(problems, written, tuple(undone))
