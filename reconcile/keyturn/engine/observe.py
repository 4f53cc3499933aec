"""From the world to what the machine sees: the first observation of a key, and a record that was read again.

All else is looked at only when the machine asks for it. Secrets stay in the hand; the machine sees their digests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from keyturn.core.errors import InputError
from keyturn.core.listing import Listing
from keyturn.core.model import Delivery, DesiredKey
from keyturn.core.reasons import Condition
from keyturn.core.record import Record
from keyturn.core.results import End, Options, Watch
from keyturn.core.secret import KEY_PREFIXES, Secret, is_account_token, looks_like_key
from keyturn.core.state import Clock, Observed, Reading, Run, State
from keyturn.core.world import Held, StoredRecord, World

PREFIXES = "KEYTURN_KEY_PREFIXES"
"""The variable in which an operator names further prefixes of model access keys."""


@dataclass(slots=True)
class Hand:
    """The secrets that this run has in hand, and what it read where; never shown, never kept."""

    secrets: dict[str, Secret] = field(default_factory=dict)
    held: dict[Delivery, Held] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    """The version of each claim that was read."""
    durable: bool = True
    """False from a mint that killed the live secret until the new one was first written down."""

    def take(self, secret: Secret, digest_key: str) -> str:
        """Keep a secret and return its digest."""
        digest = secret.digest(digest_key)
        self.secrets[digest] = secret
        return digest


def clock(world: World, run: Run | None = None) -> Clock:
    """Read both clocks; within a run the wall clock counts from its beginning."""
    wall, uptime = world.now(), world.uptime()
    return run.began.later(uptime, wall) if run and run.began else Clock(wall, uptime)


def digest_key(state: State) -> str:
    """Return the key of all digests of this key: the record's, or the one that its first record will have."""
    return state.record.digest_key if state.record and not state.record.deleted_at else state.run.digest_key


def by_marker(record: Record | None, place: Delivery, held: Held, digest_key: str) -> Reading:
    """Return what a write-only place holds, as its record knows the marker that it shows.

    At another marker it has the marker's own digest, and is `unlike` any secret.
    """
    empty = Reading(version=held.version, marked=True, consequence=held.consequence, refuses=held.refuses)
    if not held.version:
        return empty
    noted = record.delivery(place) if record else None
    if noted and noted.marked and noted.digest and noted.version == held.version:
        return replace(empty, digest=noted.digest)
    return replace(empty, digest=Secret(f"marker {held.version}").digest(digest_key), unlike=True)


def require_key(secret: Secret, prefixes: tuple[str, ...]) -> None:
    """Raise InputError if a secret that an operator gave does not look like a model access key. It is not repeated."""
    if not looks_like_key(secret, prefixes):
        begins = " or ".join((*KEY_PREFIXES, *prefixes))
        shape = f"it does not begin with {begins}, or has characters that no token has"
        raise InputError(
            "the given secret does not look like a model access key; nothing was sent or changed",
            evidence="it is a token of the account" if is_account_token(secret) else shape,
            remedy=f"Give the secret of an API key. If such secrets begin otherwise, set {PREFIXES} to their prefixes.",
        )


def observe(world: World, desired: DesiredKey, options: Options, run: str, hand: Hand) -> State:
    """Make the first observation: the complete list and the record; all else is looked at when the machine asks."""
    began = clock(world)  # before the list, by which it is compared with the API's
    keys = world.list_keys()
    stored = world.read_record(desired.id)
    record = stored.record.at_home(desired) if stored.record else None
    now, watch = clock(world), options.watch
    since = watch.since if watch and watch.version == stored.version else now.uptime
    fresh_key = world.random_hex(32)
    start = Run(
        id=run,
        began=began,
        digest_key=record.digest_key if record and not record.deleted_at else fresh_key,
        nonce=world.random_hex(4),
        watch=Watch(stored.version, since, now.uptime),
    )
    alive = world.run_alive(record.intent.run) if record and record.intent else None
    observed = Observed(
        keys=Listing.of(keys).living,
        account=world.account(),
        signed=world.signed(),
        skew=world.clock_skew(),
        unfenced=frozenset(item for item in desired.deliveries if not world.fenced(item)),
        holder_alive=alive,
    )
    if options.secret is not None:
        require_key(options.secret, world.key_prefixes())
        given = hand.take(options.secret, start.digest_key)
        observed = replace(observed, given=given, in_hand=frozenset({given}))
    return State(desired, record, stored.version, observed, start, now, replace(options, secret=None, watch=None))


def overtaken(world: World, state: State, end: End) -> StoredRecord | None:
    """Return the record if it was written since it was read here.

    It is read again before a key is held: what its record does not know may be the work of another run.
    """
    if end.code.condition is not Condition.HELD:
        return None
    stored = world.read_record(state.desired.id)
    return stored if stored.version != state.version else None


def refresh(world: World, state: State, stored: StoredRecord) -> State:
    """Take a record that was read again: what is open in it is found, not just written (rule 1)."""
    run, before = state.run, state.record
    now, record = clock(world, run), stored.record.at_home(state.desired) if stored.record else None
    intent = record.intent if record else None
    mine = intent is not None and intent.run == run.id
    open_before = before.intent if before else None
    same = mine and intent is not None and open_before is not None and open_before.nonce == intent.nonce
    attempt, watch = run.attempt, run.watch
    run = replace(
        run,
        attempt=replace(
            attempt,
            fresh=False,
            # The answer to the opening write may have been lost.
            opened=(attempt.opened and same) or (mine and intent is not None and intent.nonce == run.nonce),
            found=mine,
            minted=attempt.minted if same else None,
            discarded=attempt.discarded and same,
        ),
        watch=Watch(
            version=stored.version,
            since=now.uptime if stored.version != watch.version else watch.since,
            waiting_since=None if mine else (watch.waiting_since if watch.waiting_since is not None else now.uptime),
        ),
        unsettled_until=max(run.unsettled_until, now.uptime + state.desired.timing.settle) if mine else 0.0,
        leased=run.leased if mine else None,
        lacked=frozenset(),
        denied=frozenset(),
        honoured=run.honoured or (mine and record is not None and record.requested is not None),
    )
    alive = world.run_alive(intent.run) if intent and not mine else None
    observed = replace(
        state.observed, readings={}, claims={}, source=None, gone=frozenset(), relisted=False, holder_alive=alive
    )
    return replace(state, record=record, version=stored.version, run=run, observed=observed, clock=now)
