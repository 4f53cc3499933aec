"""Operations in a row: one is begun and may be struck, then the next one comes over what it left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keyturn.core.model import Adopt, AdoptSecret, Delivery, DesiredKey, Pool, SlotName, Strategy
from keyturn.core.results import Options
from tests.simulation.faults import Token
from tests.simulation.marking import MARKED
from tests.simulation.naming import ALSO, also
from tests.simulation.people import (
    bar,
    calm,
    clear,
    close,
    closed_now,
    come_back,
    deafen,
    freeze,
    hear,
    intent_gone,
    live_gone,
    live_stolen,
    made_anew,
    make_keys,
    more_models,
    no_create,
    of_others,
    of_two_types,
    paste_standby,
    put_back,
    reopen,
    shut,
    spare_deleted,
    spare_renamed,
    spares,
    spares_for_gone,
    standby_gone,
    thaw,
    unless_begun,
    vanish,
)
from tests.simulation.play import Act, Scenario
from tests.simulation.rules import SPARE, Stops
from tests.simulation.universe import Universe

NOTHING = Options()
ROTATE = Options(rotate=True)
VERIFY = Options(verify=True)
DELETE = Options(allow_delete=True)
COMPROMISED = Options(rotate=True, compromised=True)
UNPARK = Options(unpark=True)
TAKE_OVER = Options(take_over=True)
FORGET = Options(forget=True)
FORGET_ALL = Options(forget=True, leave_old=True)
HOUR = 3600.0
SET = 7200.0
"""By how many seconds a clock is off that is off."""
ELSEWHERE = Delivery("x", "moved", "key")

PLAIN = Delivery("plain", "file", "key")
"""In a target without compare-and-set and versions."""

Start = Callable[[], Universe]
Hand = Callable[[Universe], None]


def kinds_known(desired: DesiredKey) -> DesiredKey:
    """Return the entry with every target of one type, so that a place may have two names."""
    targets = {item.target for item in (*desired.deliveries, ELSEWHERE)}
    return replace(desired, kinds=dict.fromkeys(sorted(targets | {f"{ALSO}{name}" for name in targets}), "sim"))


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
        self.blind = all(item.target in MARKED for item in one.deliveries)
        self.minting = 3 * HOUR if self.blind else 1.0
        """Seconds until a secret can be brought elsewhere: what nobody can read needs a mint, after an overlap."""

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
        add("rotate>moved", rest, begun, Act(moved, after=self.minting))
        add("strategy>back", rest, Act(other, DELETE, once=True), Act(one, DELETE))
        # What was asked for before is finished in place, with its outage.
        add("rotate>strategy>back", rest, begun, Act(other, DELETE, once=True, by_hand=calm), Act(one, DELETE))
        single = Act(other, DELETE, after=SET, once=True, by_hand=calm)
        add("rotated>strategy>back", rest, Act(one, ROTATE), single, Act(one, DELETE))
        add("rotate>rename", rest, begun, Act(renamed))
        add("rename>rotate", rest, Act(renamed, once=True), Act(renamed, ROTATE))
        add("rotate>trigger", rest, begun, Act(replace(one, trigger="2")))
        add("trigger>rotate", rest, Act(replace(one, trigger="2"), once=True), Act(replace(one, trigger="2"), ROTATE))

    def names_of_places(self) -> None:
        """The entry names the same places otherwise: each delivery goes to another name of where it was."""
        one, add = kinds_known(self.one), self.add
        rest = self.at_rest(one)
        same = replace(one, deliveries=tuple(map(also, one.deliveries)))
        both = replace(one, deliveries=(*one.deliveries, *same.deliveries))
        half = replace(one, deliveries=(*same.deliveries, ELSEWHERE))
        begun = Act(one, ROTATE, once=True)
        renamed = Act(same)
        add("aliased", rest, renamed)
        add("aliased>rotate", rest, replace(renamed, once=True), Act(same, ROTATE))
        # A secret that nothing notes is not known to be ours by the new name: an operator says that it may go.
        asked = replace(renamed, ends="secret-in-use")
        add("rotate>aliased", rest, begun, asked, Act(same, TAKE_OVER, again=True))
        add("rotated>aliased", rest, Act(one, ROTATE), renamed)
        add("aliased+moved", rest, Act(half))
        add("aliased-both", self.at_rest(both), Act(both, ROTATE), Act(one))
        unlike = replace(same, kinds={})
        add("aliased-unlike", rest, Act(unlike, by_hand=of_two_types))
        add("aliased>back", rest, replace(renamed, once=True), Act(one))
        # By the new name nobody may write: nothing tells that it is another place.
        name = same.deliveries[0]
        if name.target != also(PLAIN).target:
            barred = Act(same, by_hand=lambda world: close(world, name), ends="pending", excused=closed_now)
            add("aliased>barred", rest, barred, Act(same, ROTATE, by_hand=reopen))
        # A place that is another one is emptied all the same.
        moved, more = replace(one, deliveries=(ELSEWHERE,)), replace(one, deliveries=(*one.deliveries, ELSEWHERE))
        add("apart", rest, Act(moved))
        add("apart-both", self.at_rest(more), Act(moved))

    def alarms(self) -> None:
        """A secret leaked, or its API key goes, while something else is under way."""
        one, add, rest = self.one, self.add, self.rest
        begun, leaked = Act(one, ROTATE, once=True), Act(one, COMPROMISED, by_hand=calm, again=True)
        add("compromised", rest, leaked)
        add("rotate>compromised", rest, begun, leaked)
        add("compromised>rotate", rest, replace(leaked, once=True, again=False), Act(one, ROTATE))
        moved = replace(one, deliveries=(ELSEWHERE,))
        begun_there = replace(leaked, desired=moved, once=True)
        stolen = Act(moved, VERIFY, by_hand=live_stolen, again=True)
        add("compromised+moved>stolen", rest, begun_there, stolen, last=VERIFY)
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
        """An operator meddles with what the deliveries hold."""
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
        if hidden := [item for item in one.deliveries if item.target in MARKED]:
            # What the part held is gone with it; if no other place has it, only a mint could replace it.
            told = "preflight-failed" if self.blind else "deliver-failed"
            gone = Act(one, VERIFY, by_hand=lambda world: shut(world, hidden[0]), ends=told, again=True)
            still = Act(one, after=HOUR, ends=told, quiet=True)
            add("shut", rest, gone, still, Act(one, VERIFY, by_hand=reopen, again=True))
        if self.blind:
            # With two slots the second place would show a gap that decision 24 names.
            both = {"s": "d", "d": "s"} if not self.alternating else {}
            beside = [replace(item, target=both[item.target]) for item in one.deliveries if item.target in both]
            two = replace(one, deliveries=(*beside, *one.deliveries))
            barred = Act(two, ROTATE, by_hand=lambda world: bar(world, one.deliveries[-1]), once=True)
            parked = Act(two, after=HOUR, ends="parked", excused=closed_now, quiet=True)
            add("barred", self.at_rest(two), barred, parked, Act(two, UNPARK, by_hand=reopen, again=True))
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
        """An operator makes the API keys under another name than was asked for at first; the key changes hands."""
        one = self.one
        renamed = replace(one, name="renamed")
        asked = Act(one, ends="hand-off", by_hand=no_create)
        made = Act(renamed, by_hand=lambda world: make_keys(world, [f"renamed{end}" for end in self.names]))
        self.add("hand-off>rename", self.empty, asked, Act(renamed, ends="hand-off"), made)
        self.add("take-over", self.rest, Act(one, TAKE_OVER, by_hand=of_others, again=True), Act(one, ROTATE))

    def forgets(self) -> None:
        """The key is forgotten and stays as it is; its API keys are adopted again, also from half of a forget."""
        one, add, rest = self.one, self.add, self.rest
        live = SlotName.A if self.alternating else None
        back = Act(replace(one, adopt=Adopt(AdoptSecret.EXISTING, live=live)), by_hand=thaw)
        gone = DesiredKey(one.id, one.owner, absent=True, retain=True, timing=one.timing)
        forget = Act(gone, FORGET, by_hand=freeze)
        add("forget", rest, forget, last=FORGET)
        add("forget>adopt", rest, forget, back, last=NOTHING)
        add("forget>back", rest, replace(forget, once=True), back, last=NOTHING)
        # What cannot be forgotten now is finished first; an unfinished delivery may leave two secrets.
        begun, refused = Act(one, ROTATE, once=True), replace(forget, once=True)
        later = replace(back, after=SET, again=True, ends="no-present-secret")
        add("rotate>forget", rest, begun, refused, later, later, replace(forget, again=True), last=FORGET)
        left = replace(forget, options=FORGET_ALL)
        finished = Act(one, after=2 * one.timing.settle, again=True)
        add("rotated>forget", rest, begun, finished, finished, left, last=FORGET_ALL)

    def moves(self) -> None:
        """The id of the key is renamed in the manifest: its record moves, and nothing else changes."""
        one, add = self.one, self.add
        renamed = replace(one, id="renamed", moved_from=one.id)

        def rest() -> Universe:
            world = self.rest()
            world.others = frozenset({(one.owner, renamed.id)})
            return world

        back = replace(one, moved_from=renamed.id)
        move = Act(renamed, by_hand=freeze)
        add("id-moved", rest, move, last=NOTHING)
        add("id-moved>rotate", rest, replace(move, once=True), Act(renamed, ROTATE, by_hand=thaw), last=NOTHING)
        add("id-moved>back", rest, move, Act(back), Act(one), last=NOTHING)
        add(
            "id-moved>absent",
            rest,
            replace(move, once=True),
            Act(replace(renamed, absent=True), DELETE, by_hand=_let_go),
        )
        begun = Act(one, ROTATE, once=True)
        early = Act(renamed, ends="move-unfinished")
        add("rotate>id-moved", rest, begun, early, Act(back, after=SET), Act(renamed), last=NOTHING)
        theirs = Act(renamed, once=True, token=Token(foreign=True))
        add("id-moved>another-team", rest, theirs, move, last=NOTHING)

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
        """Missing API keys come from a pool of spares; an operator takes one away meanwhile."""
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

    def returns(self) -> None:
        """The list hides API keys for one run, and shows them again: what they were is remembered."""
        one, add, rest = self.one, self.add, self.rest
        absent = replace(one, absent=True)
        for which in ("live", "standby", "both") if self.alternating else ("live",):
            away = Act(one, once=True, by_hand=lambda world, which=which: vanish(world, which))  # type: ignore[misc]
            again = Act(one, by_hand=come_back, after=60.0)
            add(f"rotate>{which}-gone>back", rest, Act(one, ROTATE, once=True), away, again)
            add(f"rotated>{which}-gone>back", rest, Act(one, ROTATE), away, again)
            leaked = Act(one, COMPROMISED, once=True, by_hand=calm)
            add(f"compromised>{which}-gone>back", rest, leaked, away, again)
            add(f"{which}-gone>absent+back", rest, away, Act(absent, DELETE, by_hand=come_back, after=60.0))

    def clocks(self) -> None:
        """This machine's wall clock is wrong: nothing is minted or retired before it is right."""
        one = self.one
        wrong = Act(one, ROTATE, skew=SET, ends="clock-skew", quiet=True)
        self.add("clock-wrong-create", self.empty, Act(one, skew=-SET, ends="clock-skew"), Act(one))
        self.add("clock-wrong", self.rest, wrong, Act(one, ROTATE))
        if self.alternating:
            early = Act(one, after=600.0, skew=SET, ends="clock-skew", quiet=True)
            self.add("clock-wrong-retire", self.rest, Act(one, ROTATE), early, Act(one))


def _let_go(world: Universe) -> None:
    calm(world)
    thaw(world)


def sequences(one: DesiredKey, label: str, empty: Start, at_rest: Callable[[DesiredKey], Start]) -> list[Scenario]:
    """Return all of one strategy."""
    rows = Rows(one, label, empty, at_rest)
    rows.changes_of_mind()
    rows.names_of_places()
    rows.alarms()
    rows.soon()
    rows.hands()
    rows.brakes()
    rows.owners()
    rows.forgets()
    rows.moves()
    rows.teams()
    rows.pools()
    rows.returns()
    rows.clocks()
    return rows.made
