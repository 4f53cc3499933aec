"""The simulated World: one run's view of a universe, with a numbered point at every effect where a fault can strike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from keyturn.core.effect import Effect
from keyturn.core.errors import (
    Conflict,
    CreateRetired,
    KeyturnError,
    NotFound,
    RateLimited,
)
from keyturn.core.model import Api, ApiKey, Delivery, Timing, WireAnswer, WireKind
from keyturn.core.record import Claim, Record
from keyturn.core.secret import Secret
from keyturn.core.world import Guard, Held, Minted, StoredClaim, StoredRecord
from tests.simulation import sending, showing
from tests.simulation.faults import LATE_KINDS, OWN, Class, Fault, Killed, Kind, Token
from tests.simulation.limit import Limit
from tests.simulation.marking import MARKED
from tests.simulation.naming import ALSO, real
from tests.simulation.universe import (
    START,
    Drop,
    Fill,
    MakeKey,
    Mutation,
    Put,
    Rename,
    Renew,
    Universe,
)

ONE_LOOK = 2
"""The questions of one look at a secret: the models, and a completion."""
SETTLED = 0.001
"""What is late lands this many seconds before the settle time is over, at the latest."""
SET = 2 * 3600.0
"""By how many seconds a wall clock that is set wrong is off."""
_NONE = WireAnswer(WireKind.UNREACHABLE, detail="no answer")


Point = tuple[Class, float, int, int]
"""One effect as it was traced: its class, and the moment before it. A cut at two equal moments is one cut."""


class SimWorld:
    """A World in memory. `faults` strike at the numbered effects of this run."""

    def __init__(
        self,
        universe: Universe,
        faults: Mapping[int, Fault],
        timing: Timing,
        *,
        alive: bool | None = False,
        skew: float = 0.0,
        backwards: bool = False,
        run: str = "",
        token: Token = OWN,
    ) -> None:
        """`alive`: what is known of other runs; `run`: who this is, where two run at once."""
        self.token = token
        self.universe = universe
        self.faults = faults
        self.timing = timing
        self.alive = alive
        self.skew = skew
        self.backwards = backwards
        self.run = run
        self.trace: list[Point] = []
        self.fired = 0
        self.changes = 0
        """Mutating calls that this run tried."""
        self.within = timing.settle - SETTLED
        """Within how many seconds what is late lands."""
        self.refusing = False
        self.down: set[str] = set()
        self.stopping = self.dozing = False
        self.mute: set[Class] = set()
        """What has no answer any more in this run, though it takes effect."""
        self.blocked: bool | None = None
        """Whether the account is blocked for lack of balance; None: the token may not know."""
        self.undead = False
        """An old secret that the API was told to kill lives on."""
        self.unheard: Counter[tuple[Class, str]] = Counter()
        """What this run sent and got no answer to, by kind and where."""
        self.known_skew = skew
        """By how much the wall clock was off when the API last answered a list."""
        self.first_skew = skew
        """The same, of the run's first list: by that the run decides."""
        self.listed: tuple[ApiKey, ...] | None = None
        self.limit = Limit(universe, timing)

    # Clocks and chance.
    def now(self) -> datetime:
        """The virtual wall clock."""
        return START + timedelta(seconds=self.universe.now + self.skew)

    def uptime(self) -> float:
        """The virtual clock."""
        return self.universe.now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.universe.advance(seconds)
        self.stopping |= self.dozing

    def random_hex(self, size: int) -> str:
        """Chance that can be repeated."""
        self.universe.random += 1
        return sending.chance(self.universe.random, size)

    def together(self, tasks: Sequence[Callable[[], None]]) -> None:
        """One after the other, in either order."""
        for task in reversed(tasks) if self.backwards else tasks:
            task()

    # The points.
    def _point(self, kind: Class, where: str) -> Fault | None:
        self.universe.tick()
        fault = self.faults.get(len(self.trace))
        self.trace.append((kind, self.universe.now, self.universe.mutations, self.universe.random))
        if fault is None:
            return None
        self.fired += 1
        if fault.kind is Kind.CUT:
            raise Killed
        if fault.kind is Kind.DOWN:
            self.down.add(where)
        self.stopping |= fault.kind is Kind.STOP
        self.dozing |= fault.kind is Kind.STOP_ASLEEP
        if fault.kind is Kind.STALL:
            self.universe.advance(self.timing.lease + 1)
        if fault.kind in {Kind.FORWARD, Kind.BACK}:
            self.skew += SET if fault.kind is Kind.FORWARD else -SET
        return fault

    def _reading(self, kind: Class, where: str) -> None:
        fault = self._point(kind, where)
        while self.limit.refuses(kind, fault):  # the client waits itself
            self.universe.advance(self.throttled())
            fault = None
        if where in self.down or (fault and fault.kind is Kind.NO):
            raise sending.error(where, ambiguous=where == "api")

    def _change(self, kind: Class, name: str, make: Callable[[float], Mutation], guard: Guard) -> None:
        """Pass one mutating effect through whatever strikes it; a target goes by one of its names."""
        where = name.removeprefix(ALSO)
        fault = self._point(kind, where)
        self.changes += 1
        guard()
        if self.limit.refuses(kind, fault):
            raise RateLimited("throttled", status=429)
        sending.unheard(self.universe, kind, where, self.unheard[kind, where])
        if kind is Class.MINT:
            sending.mint(self.universe, self.first_skew)
        strikes = fault.kind if fault else None
        if where in self.down or (kind is Class.DELIVER and self.universe.readonly & {where, name}):
            raise sending.error(where, ambiguous=False)
        if strikes is Kind.NO:
            raise Conflict("someone else wrote") if kind is Class.WRITE else sending.error(where, ambiguous=False)
        if strikes is Kind.NEVER:
            raise self._silent(kind, where)
        mutation = self._changed(make, strikes, kind)
        if fault and strikes in LATE_KINDS:
            self.universe.post(mutation, fault.after, self.within)
            raise Killed if strikes is Kind.CUT_LATE else self._silent(kind, where)
        if self.run and kind in {Class.MINT, Class.CHANGE}:
            sending.alone(self.universe, self.run, where)
        landed = self.universe.land(mutation)
        if strikes is Kind.CUT_AFTER:
            raise Killed
        if strikes is Kind.SLOW:
            self.universe.advance(self.timing.request)
        if strikes is Kind.LOST or kind in self.mute:
            raise self._silent(kind, where)
        if not landed:
            raise NotFound("not found", status=404) if where == "api" else Conflict("another version")

    def _silent(self, kind: Class, where: str) -> KeyturnError:
        """Return that a request had no answer."""
        self.unheard[kind, where] += 1
        return sending.error(where, ambiguous=True)

    def _changed(self, make: Callable[[float], Mutation], strikes: Kind | None, kind: Class) -> Mutation:
        """Make the mutation, as a fault changes it."""
        mutation = make(self.timing.propagation / 2 if strikes in {Kind.SPREADS, Kind.FLAPS} else 0.0)
        self.mute |= {kind} if strikes is Kind.MUTE else set()
        if isinstance(mutation, Renew) and strikes in {Kind.FLAPS, Kind.FEIGNS}:
            mutation = replace(mutation, refusals=1)
        if strikes is Kind.FLAPS and isinstance(mutation, Renew | MakeKey):
            return replace(mutation, flaps=ONE_LOOK)
        if strikes in {Kind.UNDEAD, Kind.FEIGNS} and isinstance(mutation, Renew):
            self.undead = sending.provable(self.universe)
            return replace(mutation, undead=True)
        return mutation

    def key_prefixes(self) -> tuple[str, ...]:
        """No others."""
        return ()

    def signed(self) -> bool:
        """As the records are."""
        return not self.universe.forged

    # The control API.
    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        """The complete list; one for the whole run unless `fresh`."""
        if self.listed is None or fresh:
            self._reading(Class.LIST, "api")
            self.known_skew = self.skew
            self.first_skew = self.skew if self.listed is None else self.first_skew
            prefix = "theirs-" if self.token.foreign else ""  # the same names in the other team, with uuids of its own
            keys = self.universe.keys.values()
            self.listed = tuple(ApiKey(f"{prefix}{key.uuid}", key.name, key.created_at) for key in keys)
        return self.listed

    def account(self) -> str:
        """Whose the token is, if it may know."""
        if not self.token.reads_team:
            return ""
        return "team-2" if self.token.foreign else "team-1"

    def prepayment_blocked(self) -> bool | None:
        """Tell of the balance; no fault strikes here."""
        return self.blocked

    def clock_skew(self) -> float:
        """The API's clock minus this runner's, as it was when the API last answered a list."""
        return -self.known_skew

    def throttled(self) -> float:
        """As the last 429 said."""
        return self.limit.wait()

    def create(self, name: str, guard: Guard) -> Minted:
        """Mint a new key."""
        if self.universe.create_gone:
            self._point(Class.MINT, "api")
            raise CreateRetired("gone", status=410)
        secret = self.universe.new_secret()
        uuid = f"uuid-{self.universe.made}"
        self._change(Class.MINT, "api", lambda delay: MakeKey(uuid, name, secret, delay), guard)
        made = self.universe.keys[uuid]
        return Minted(ApiKey(uuid, name, made.created_at), Secret(secret))

    def regenerate(self, uuid: str, guard: Guard) -> Minted:
        """Mint a new secret."""
        secret = self.universe.new_secret()
        self._change(Class.MINT, "api", lambda delay: Renew(uuid, secret, delay), guard)
        key = self.universe.keys[uuid]
        return Minted(ApiKey(uuid, key.name, key.created_at), Secret(secret))

    def rename(self, uuid: str, name: str, guard: Guard) -> None:
        """Rename."""
        self._change(Class.CHANGE, "api", lambda _: Rename(uuid, name), guard)

    def delete(self, uuid: str, guard: Guard) -> None:
        """Delete; what is gone is done."""
        with suppress(NotFound):
            self._change(Class.CHANGE, "api", lambda _: Drop(uuid), guard)

    # The inference API.
    def _ask(self, secret: Secret) -> WireAnswer:
        if self.universe.stranger(secret.reveal()):
            self.universe.blame("I9: a value of another system was sent to the API")
        fault = self._point(Class.ASK, "inference")
        if "inference" in self.down or (fault and fault.kind is Kind.NO):
            return _NONE
        if fault and fault.kind is Kind.REFUSED:
            self.refusing = self.universe.held_dead = True
        if self.refusing or (fault and fault.kind is Kind.ONCE):
            return showing.NO
        return showing.answer(self.universe, secret.reveal())

    def models(self, secret: Secret) -> WireAnswer:
        """GET /v1/models."""
        return self._ask(secret)

    def complete(self, secret: Secret, model: str, api: Api) -> WireAnswer:
        """A completion."""
        return self._ask(secret)

    # Deliveries.
    def read_delivery(self, delivery: Delivery) -> Held:
        """Read a field."""
        delivery, universe = real(delivery), self.universe
        self._reading(Class.READ, delivery.target)
        universe.read[delivery] = True
        return showing.held(universe, delivery)

    def read_delivery_version(self, delivery: Delivery, version: str) -> Secret | None:
        """Read a field as it was."""
        self._reading(Class.READ, real(delivery).target)
        value = self.universe.kept.get((real(delivery), int(version)))
        return Secret(value) if value else None

    def effect(self, delivery: Delivery, version: str) -> Effect:
        """As far as its rollout is."""
        self._reading(Class.READ, real(delivery).target)
        return showing.effect(self.universe, delivery)

    def write_delivery(self, delivery: Delivery, secret: Secret, expected: Held, guard: Guard) -> str:
        """Write a field."""
        self._fill(delivery, secret.reveal(), expected, guard)
        return showing.held(self.universe, delivery).version

    def remove_delivery(self, delivery: Delivery, expected: Held, guard: Guard) -> None:
        """Remove a field."""
        if real(delivery) in self.universe.fields:
            sending.removal(self.universe, delivery)
            self._fill(delivery, "", expected, guard)

    def _fill(self, named: Delivery, value: str, expected: Held, guard: Guard) -> None:
        delivery = real(named)

        def make(_: float) -> Mutation:
            found = self.universe.fields.get(delivery)
            if not showing.as_expected(self.universe, delivery, expected):
                raise Conflict("our field changed", where=str(delivery))
            if found and found not in self.universe.mints and found not in self.universe.given:
                self.universe.blame(f"I9: {delivery} held a value of someone else, and was overwritten")
            sending.admit(self.universe, delivery)
            sending.fill(self.universe, delivery, value)
            return Fill(delivery, value, self.universe.version(delivery) if self.fenced(delivery) else None)

        self._change(Class.DELIVER, named.target, make, guard)

    def preflight(self, delivery: Delivery) -> None:
        """Rewrite what is there, where that can be fenced."""
        name, delivery, universe = delivery.target, real(delivery), self.universe
        if not self.fenced(delivery) or delivery not in universe.fields:
            self._reading(Class.READ, delivery.target)
            if delivery.target in MARKED & (universe.readonly | universe.shut):
                raise sending.error(delivery.target, ambiguous=False)
            return

        def again(_: float) -> Fill:
            return Fill(delivery, universe.fields[delivery], universe.version(delivery))

        self._change(Class.DELIVER, name, again, lambda: None)

    def unique_versions(self, delivery: Delivery) -> bool:
        """Versions are numbers here."""
        return False

    def fenced(self, delivery: Delivery) -> bool:
        """As the target is."""
        return real(delivery).target not in self.universe.unfenced | MARKED

    # Records and claims.
    def read_record(self, key: str) -> StoredRecord:
        """Read a record."""
        self._reading(Class.READ, "records")
        record, version = self.universe.records.get(key, (None, 0))
        return StoredRecord(record, str(version))

    def write_record(self, record: Record, version: str) -> str:
        """Write a record."""
        self._change(Class.WRITE, "records", lambda _: Put(record, int(version)), lambda: None)
        return str(int(version) + 1)

    def list_records(self) -> tuple[str, ...]:
        """All ids."""
        self._reading(Class.READ, "records")
        return tuple(self.universe.records)

    def records(self) -> tuple[Record, ...]:
        """All of them."""
        self._reading(Class.READ, "records")
        return tuple(record for record, _ in self.universe.records.values())

    def read_claim(self, uuid: str) -> StoredClaim:
        """Read a claim."""
        self._reading(Class.READ, "records")
        claim, version = self.universe.claims.get(uuid, (None, 0))
        return StoredClaim(claim, str(version))

    def write_claim(self, claim: Claim, version: str) -> str:
        """Write a claim."""
        self._change(Class.WRITE, "records", lambda _: Put(claim, int(version or 0)), lambda: None)
        return str(int(version or 0) + 1)

    def run_alive(self, run: str) -> bool | None:
        """What this machine can know of another run."""
        return self.alive
