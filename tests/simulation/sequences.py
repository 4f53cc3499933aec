"""Operations in a row: one is begun and may be struck, then the next one comes over what it left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from keyturn.model import Adopt, AdoptSecret, Delivery, DesiredKey, Pool, SlotName, Strategy
from keyturn.outcome import Options
from tests.simulation.play import Act, Scenario
from tests.simulation.rules import SPARE, Stops
from tests.simulation.universe import MARK, START, Key, Renew, Universe
from tests.simulation.world import Token

NOTHING = Options()
ROTATE = Options(rotate=True)
VERIFY = Options(verify=True)
DELETE = Options(allow_delete=True)
COMPROMISED = Options(rotate=True, compromised=True)
UNPARK = Options(unpark=True)
TAKE_OVER = Options(take_over=True)
HOUR = 3600.0
SET = 7200.0
"""By how many seconds a clock is off that is off."""
ELSEWHERE = Delivery("x", "moved", "key")

Start = Callable[[], Universe]
Hand = Callable[[Universe], None]


class Rows:
    """Collects the sequences of one strategy."""

    def __init__(self, one: DesiredKey, label: str, empty: Start, at_rest: Callable[[DesiredKey], Start]) -> None:
        """`empty` makes a world without the key, `at_rest` one in which an entry came to rest."""
        self.one = one
        self.label = label
        self.empty = empty
        self.at_rest = at_rest
        self.rest = at_rest(one)
        self.names = [f"-{slot}" for slot in SlotName] if one.rotation.strategy is Strategy.ALTERNATING else [""]
        self.made: list[Scenario] = []
        self.alternating = one.rotation.strategy is Strategy.ALTERNATING

    def add(self, name: str, start: Start, *acts: Act, last: Options = DELETE) -> None:
        """Add a sequence."""
        self.made.append(Scenario(name, str(self.one.rotation.strategy), self.label, start, acts, last, row=True))

    def changes_of_mind(self) -> None:
        """The entry goes, comes back, moves, is renamed, or changes its strategy, before the last thing was done."""
        one, add, rest = self.one, self.add, self.rest
        absent, renamed = replace(one, absent=True), replace(one, name="renamed")
        moved = replace(one, deliveries=(ELSEWHERE,))
        gone = Act(absent, DELETE, once=True, by_hand=calm)
        begun = Act(one, ROTATE, once=True)
        other_way = Strategy.IN_PLACE if self.alternating else Strategy.ALTERNATING
        other = replace(one, rotation=replace(one.rotation, strategy=other_way))
        add("create>absent", self.empty, Act(one, once=True), Act(absent, DELETE))
        add("create>absent>back", self.empty, Act(one, once=True), gone, Act(one))
        add("absent>back", rest, gone, Act(one))
        add("absent>again", rest, Act(absent, DELETE, by_hand=calm), Act(one))
        add("rotate>absent", rest, begun, Act(absent, DELETE, by_hand=calm))
        add("moved", rest, Act(moved))
        more = replace(one, deliveries=(*one.deliveries, ELSEWHERE))
        add("removed>back", self.at_rest(more), Act(one, once=True), Act(more))
        closed = Act(moved, by_hand=lambda world: close(world, ELSEWHERE), ends="pending", excused=closed_now)
        add("moved>closed", rest, closed, Act(moved, by_hand=reopen))
        add("moved>back", rest, Act(moved, once=True), Act(one))
        add("rotate>moved", rest, begun, Act(moved))
        add("strategy>back", rest, Act(other, DELETE, once=True), Act(one, DELETE))
        # What was asked for before is finished in place, with its outage.
        add("rotate>strategy>back", rest, begun, Act(other, DELETE, once=True, by_hand=calm), Act(one, DELETE))
        single = Act(other, DELETE, after=SET, once=True, by_hand=calm)
        add("rotated>strategy>back", rest, Act(one, ROTATE), single, Act(one, DELETE))
        add("rotate>rename", rest, begun, Act(renamed))
        add("rename>rotate", rest, Act(renamed, once=True), Act(renamed, ROTATE))
        add("rotate>trigger", rest, begun, Act(replace(one, trigger="2")))
        add("trigger>rotate", rest, Act(replace(one, trigger="2"), once=True), Act(replace(one, trigger="2"), ROTATE))

    def alarms(self) -> None:
        """A secret leaked, or its API key goes, while something else is under way."""
        one, add, rest = self.one, self.add, self.rest
        begun, leaked = Act(one, ROTATE, once=True), Act(one, COMPROMISED, by_hand=calm, again=True)
        add("compromised", rest, leaked)
        add("rotate>compromised", rest, begun, leaked)
        add("compromised>rotate", rest, replace(leaked, once=True, again=False), Act(one, ROTATE))
        add("compromised>absent", rest, replace(leaked, once=True), Act(replace(one, absent=True), DELETE))
        add("rotate>gone", rest, begun, Act(one, by_hand=live_gone))
        add("rotate>intent-gone", rest, begun, Act(one, by_hand=intent_gone))
        if self.alternating:
            add("rotate>standby-gone", rest, begun, Act(one, by_hand=standby_gone))

    def soon(self) -> None:
        """A second rotation comes within the settle time of the first: what was late may land over it."""
        begun = Act(self.one, ROTATE, once=True)
        self.add("rotate>rotate-soon", self.rest, begun, Act(self.one, ROTATE))
        self.add("rotate>early", self.rest, Act(self.one, ROTATE), Act(self.one, after=600.0))

    def hands(self) -> None:
        """A person meddles with what the deliveries hold."""
        one, add, rest = self.one, self.add, self.rest
        rotated, later = Act(one, ROTATE), Act(one, after=SET)
        emptied = Act(one, VERIFY, by_hand=lambda world: clear(world, one), again=True)
        add("repair", rest, emptied)
        undone = Act(one, by_hand=lambda world: unless_begun(world, one))
        begun = replace(emptied, once=True, again=False, by_hand=lambda world: clear(world, one, noting=True))
        add("repair>plain", rest, begun, undone)
        restored = Act(one, VERIFY, after=60.0, by_hand=lambda world: put_back(world, one), again=True)
        add("retired>put-back", rest, replace(rotated, once=True), replace(later, once=True), restored)
        if self.alternating:
            add("retire>emptied", rest, rotated, replace(later, once=True), emptied)
            told = Options(adopt=Adopt(AdoptSecret.EXISTING, live=SlotName.B))
            pasted = Act(one, told, by_hand=lambda world: paste_standby(world, one), again=True)
            add("told-live", rest, pasted)

    def brakes(self) -> None:
        """What keyturn must notice before it is too late: it says so, and leaves all as it is."""
        one, add, rest = self.one, self.add, self.rest
        waits = Act(one, after=HOUR, once=True)
        deaf = Act(one, ROTATE, by_hand=deafen, once=True)
        heard = Act(one, UNPARK, by_hand=hear, again=True)
        parked = Act(one, after=HOUR, ends="parked", quiet=True)
        add("parked", rest, deaf, *[waits] * 5, parked, heard)
        if one.deliveries[0].target != "plain":
            closed = Act(one, ROTATE, by_hand=lambda world: close(world, one.deliveries[0]), ends="preflight-failed")
            add("closed", rest, closed, Act(one, ROTATE, by_hand=reopen))
        if self.alternating:
            fewer = Act(one, ROTATE, by_hand=lambda world: more_models(world, live=True), ends="models-differ")
            add(
                "models-differ", rest, fewer, Act(one, after=HOUR, by_hand=lambda world: more_models(world, live=False))
            )
        other = Scenario("another-made", str(one.rotation.strategy), self.label, rest, (
            Act(one, ROTATE, by_hand=made_anew, once=True),
        ), ROTATE, Stops.MUST)  # fmt: skip
        self.made.append(other)

    def owners(self) -> None:
        """A person makes the API keys under another name than was asked for at first; the key changes hands."""
        one = self.one
        renamed = replace(one, name="renamed")
        asked = Act(one, ends="hand-off", by_hand=no_create)
        made = Act(renamed, by_hand=lambda world: make_keys(world, [f"renamed{end}" for end in self.names]))
        self.add("hand-off>rename", self.empty, asked, Act(renamed, ends="hand-off"), made)
        self.add("take-over", self.rest, Act(one, TAKE_OVER, by_hand=of_others, again=True), Act(one, ROTATE))

    def teams(self) -> None:
        """A run has another team's token: it changes nothing, and the next one with the right token goes on."""
        one, add, rest = self.one, self.add, self.rest
        absent, begun = replace(one, absent=True), Act(one, ROTATE, once=True)
        for name, token in (("another-team", Token(foreign=True)), ("another-account", Token(False, foreign=True))):
            theirs = Act(one, VERIFY, once=True, token=token)
            add(f"{name}", rest, replace(theirs, options=ROTATE), Act(one, quiet=True))
            add(f"rotate>{name}", rest, begun, theirs, Act(one))
            gone = Act(absent, DELETE, once=True, by_hand=calm)
            add(
                f"absent>{name}", rest, gone, replace(theirs, desired=absent, options=DELETE), replace(gone, once=False)
            )
            add(f"gone>{name}", rest, Act(one, by_hand=live_gone), theirs, Act(one, quiet=True))
        away = Act(one, once=True, by_hand=vanish)
        add("gone>back", rest, away, Act(one, by_hand=come_back, after=60.0))
        blind = Token(reads_team=False)
        add("team-unknown", rest, Act(one, ROTATE, token=blind), Act(one, token=blind))

    def pools(self) -> None:
        """Missing API keys come from a pool of spares; a person takes one away meanwhile."""
        one = replace(self.one, pool=Pool(SPARE, 1))
        absent = replace(one, absent=True)
        begun = Act(one, once=True, by_hand=lambda world: spares(world, 5))
        self.add("pool", self.empty, Act(one, by_hand=spares))
        self.add("pool>deleted", self.empty, begun, Act(one, by_hand=spare_deleted))
        self.add("pool>renamed", self.empty, begun, Act(one, by_hand=spare_renamed))
        self.add("pool>absent", self.empty, begun, Act(absent, DELETE))
        self.add("pool>absent>back", self.empty, begun, Act(absent, DELETE, once=True), Act(one))
        self.add("pool>rename", self.empty, begun, Act(replace(one, name="renamed")))
        self.add("pool>heal", self.rest, Act(one, by_hand=spares_for_gone))
        short = Act(one, by_hand=lambda world: spares(world, 1), once=True)
        more = Act(one, by_hand=lambda world: spares(world, 2, first=2))
        self.add("pool-empty", self.empty, Act(one, by_hand=no_create, ends="hand-off"), short, more)

    def clocks(self) -> None:
        """This machine's wall clock is wrong: nothing is minted or retired before it is right."""
        one = self.one
        wrong = Act(one, ROTATE, skew=SET, ends="clock-skew", quiet=True)
        self.add("clock-wrong-create", self.empty, Act(one, skew=-SET, ends="clock-skew"), Act(one))
        self.add("clock-wrong", self.rest, wrong, Act(one, ROTATE))
        if self.alternating:
            early = Act(one, after=600.0, skew=SET, ends="clock-skew", quiet=True)
            self.add("clock-wrong-retire", self.rest, Act(one, ROTATE), early, Act(one))


def sequences(one: DesiredKey, label: str, empty: Start, at_rest: Callable[[DesiredKey], Start]) -> list[Scenario]:
    """Return all of one strategy."""
    rows = Rows(one, label, empty, at_rest)
    rows.changes_of_mind()
    rows.alarms()
    rows.soon()
    rows.hands()
    rows.brakes()
    rows.owners()
    rows.teams()
    rows.pools()
    rows.clocks()
    return rows.made


def calm(world: Universe) -> None:
    """From here on an outage was asked for."""
    world.steady = frozenset()


def live_gone(world: Universe) -> None:
    """Somebody deletes the live API key."""
    record = world.records["main"][0]
    _delete(world, record.live or SlotName.A)


def standby_gone(world: Universe) -> None:
    """Somebody deletes the API key that is not live."""
    record = world.records["main"][0]
    held = {world.fields.get(place) for place in world.steady}
    slot = record.slot((record.live or SlotName.A).other)
    if world.late or (slot and slot.uuid in world.keys and world.keys[slot.uuid].secret in held):
        calm(world)
    if slot:
        world.keys.pop(slot.uuid, None)


def spares(world: Universe, count: int = 3, *, first: int = 1) -> None:
    """A person makes spare API keys; the API makes none."""
    no_create(world)
    for number in range(first, first + count):
        uuid, seen = f"pool-{number}", f"{MARK}pool-{number}"
        world.keys[uuid] = Key(uuid, f"{SPARE}{number}", START, seen)
        world.spares[uuid] = seen


def spares_for_gone(world: Universe) -> None:
    """The live API key is deleted, and spares are there."""
    spares(world)
    live_gone(world)


def _untaken(world: Universe) -> str:
    """Return the spare that keyturn is about to take, or one that it is not; not one that is in the record."""
    record = world.records.get("main", (None, 0))[0]
    taken = {slot.uuid for slot in record.slots.values()} if record else set()
    about = record.intent.spare if record and record.intent else ""
    left = [uuid for uuid, key in world.keys.items() if key.name.startswith(SPARE) and uuid not in taken]
    return about if about in left else left[0]


def spare_deleted(world: Universe) -> None:
    """A person deletes a spare."""
    if world.late:
        return  # an operator does not come within the settle time of a request that is still under way
    uuid = _untaken(world)
    del world.keys[uuid], world.spares[uuid]


def spare_renamed(world: Universe) -> None:
    """A person takes a spare for something else, and renames it."""
    if world.late:
        return
    uuid = _untaken(world)
    del world.spares[uuid]
    world.keys[uuid] = replace(world.keys[uuid], name="of-a-person")
    world.foreign_keys |= {uuid}


def vanish(world: Universe) -> None:
    """The list no longer shows the key's API keys, though they live on; none is made instead."""
    no_create(world)
    calm(world)
    record = world.records["main"][0]
    world.away = {slot.uuid: world.keys.pop(slot.uuid) for slot in record.slots.values() if slot.uuid in world.keys}


def come_back(world: Universe) -> None:
    """The list shows them again."""
    world.keys |= world.away
    world.away = {}


def intent_gone(world: Universe) -> None:
    """Somebody deletes the API key that is being minted."""
    record = world.records["main"][0]
    if record.intent and record.intent.slot:
        _delete(world, record.intent.slot)


def _delete(world: Universe, name: SlotName) -> None:
    calm(world)
    slot = world.records["main"][0].slot(name)
    if slot:
        world.keys.pop(slot.uuid, None)


def clear(world: Universe, desired: DesiredKey, *, noting: bool = False) -> None:
    """A person empties the first delivery."""
    calm(world)
    if noting:
        world.noted = world.records["main"][1]
    place = desired.deliveries[0]
    world.fields.pop(place, None)
    world.by_hand(place, "")


def unless_begun(world: Universe, desired: DesiredKey) -> None:
    """The person fills it again, unless keyturn has written down that it is about to."""
    place, record = desired.deliveries[0], world.records["main"]
    if record[1] == world.noted and place not in world.fields and not world.late:
        live = record[0].slot(record[0].live)
        world.by_hand(place, world.keys[live.uuid].secret if live else "")


def put_back(world: Universe, desired: DesiredKey) -> None:
    """A person puts the secret that was there at first back into every delivery."""
    calm(world)
    bury(world)
    for place in desired.deliveries:
        world.by_hand(place, next(value for (kept, _), value in world.kept.items() if kept == place))


def bury(world: Universe) -> None:
    """What should be dead by now is."""
    for uuid, key in world.keys.items():
        world.keys[uuid] = replace(key, old_until=min(key.old_until, world.now))


def paste_standby(world: Universe, desired: DesiredKey) -> None:
    """A person regenerates the standby and pastes its secret into the first delivery."""
    record = world.records["main"][0]
    standby = record.slots[(record.live or SlotName.A).other]
    secret = world.new_secret()
    world.land(Renew(standby.uuid, secret))
    world.mints -= {secret}
    world.given |= {secret}
    world.by_hand(desired.deliveries[0], secret)


def close(world: Universe, place: Delivery) -> None:
    """Writing to a target is forbidden."""
    world.readonly = frozenset({place.target})


def closed_now(world: Universe) -> str:
    """A target cannot be written."""
    return ", ".join(sorted(world.readonly))


def reopen(world: Universe) -> None:
    """Writing is allowed everywhere."""
    world.readonly = frozenset()


def deafen(world: Universe) -> None:
    """The API no longer knows the secrets that it makes."""
    world.deaf = True


def hear(world: Universe) -> None:
    """From here on it knows them."""
    world.deaf = False


def more_models(world: Universe, *, live: bool) -> None:
    """A person lets the live key, or every key, use a second model."""
    record = world.records["main"][0]
    for name, slot in record.slots.items():
        if not live or name is record.live:
            world.keys[slot.uuid] = replace(world.keys[slot.uuid], more_models=True)


def made_anew(world: Universe) -> None:
    """What has the uuid of the key to be minted is not what it was."""
    record = world.records["main"][0]
    name = record.live or SlotName.A
    uuid = record.slots[name.other if name.other in record.slots else name].uuid
    key = world.keys[uuid]
    world.keys[uuid] = replace(key, created_at=key.created_at + timedelta(days=1))
    world.foreign_keys |= {uuid}


def no_create(world: Universe) -> None:
    """The API no longer creates keys."""
    world.create_gone = True


def make_keys(world: Universe, names: Sequence[str]) -> None:
    """A person makes API keys of these names."""
    for name in names:
        made = START + timedelta(seconds=world.now)
        world.keys[f"panel-{name}"] = Key(f"panel-{name}", name, made, f"{MARK}panel-{name}")


def of_others(world: Universe) -> None:
    """The record and its claims are another owner's."""
    record, version = world.records["main"]
    world.records["main"] = (replace(record, owner="others"), version + 1)
    world.claims = {uuid: (replace(claim, owner="others"), at + 1) for uuid, (claim, at) in world.claims.items()}
