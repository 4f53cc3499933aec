"""The operations of a key's life, each with the world it starts from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache

from keyturn.core.machine.in_effect import LINGERS
from keyturn.core.model import Adopt, AdoptSecret, Delivery, DesiredKey, Rotation, SlotName, Smoke, Strategy, Timing
from keyturn.core.results import Options
from keyturn.engine.executor import apply_key
from tests.simulation.forged import due_retire, open_create, place_of_others
from tests.simulation.marking import DELAYED, MARKED, ROLLOUT, Rollouts
from tests.simulation.people import bury, freeze, make_keys, thaw
from tests.simulation.play import Act, Scenario
from tests.simulation.rules import LONG, Stops, watch
from tests.simulation.sequences import sequences
from tests.simulation.showing import MODEL
from tests.simulation.universe import MARK, PASSWORD, START, Key, Renew, Universe
from tests.simulation.world import SimWorld

TIMING = Timing(delivery=20, settle=30, lease=90, propagation=20, request=10)
OVERLAP = timedelta(hours=1)
PLACES = (Delivery("v", "app", "key"), Delivery("w", "app", "key"), Delivery("w", "web", "key"))
TARGETS = {"r": "v", "p": "plain", "s": "s", "d": "d"}
"""The target of each letter."""
FOREIGN = Delivery("v", "app", "other")
VERIFY = Options(verify=True)
NOTHING = Options()
ROTATE = Options(rotate=True)
DELETE = Options(allow_delete=True)
FORGET = Options(forget=True)
FINDS = frozenset({"adopt-in-use", "forget>adopt", "forget>back", "rotate>forget"})
"""Operations that find a secret in every delivery."""
TRIES = frozenset({"adopt-existing", "heal", "moved>closed", "parked"})
"""Operations that find a secret in some delivery, try it, or copy it from there."""
BOTH = (Strategy.IN_PLACE, Strategy.ALTERNATING)


def entry(strategy: Strategy, places: int = 1, **changes: object) -> DesiredKey:
    """Return a manifest entry."""
    wanted = DesiredKey(
        id="main",
        owner="tests",
        name="app",
        deliveries=PLACES[:places],
        rotation=Rotation(strategy, overlap=OVERLAP),
        smoke=Smoke(MODEL),
        timing=TIMING,
    )
    return replace(wanted, **changes)  # type: ignore[arg-type]


def empty() -> Universe:
    """A world with nothing of ours in it, and something of another owner's."""
    world = Universe(watch=watch, unfenced=frozenset({"plain"}))
    for name in ("other", "app-old"):
        world.keys[name] = Key(f"{name}", name, START, f"{MARK}{name}")
    world.by_hand(FOREIGN, f"{MARK}other")
    world.foreign_keys = frozenset(world.keys)
    world.foreign_fields = frozenset({FOREIGN})
    world.read.clear()
    return world


def settled(desired: DesiredKey, *more: Options, steady: bool = False, start: Universe | None = None) -> Universe:
    """A world in which the key came to rest; `steady`: no outage is allowed from here on."""
    world = start or empty()
    for options in (Options(), *more):
        for _ in range(2):
            world.runs += 1
            report = apply_key(SimWorld(world, {}, TIMING), desired, options, f"run-{world.runs}")
            if report.exit_code:
                message = f"the start of a scenario failed: {report.end}"
                raise AssertionError(message)
            world.advance(LONG)
            options = Options()  # noqa: PLW2901 - what was asked for is asked for once
    if steady and desired.rotation.strategy is Strategy.ALTERNATING:
        world.steady = frozenset(desired.deliveries)
        world.overlap = desired.rotation.overlap.total_seconds()
    return world


def held(desired: DesiredKey, *slots: str, filled: bool = True) -> Universe:
    """A world with API keys that an operator made, and if `filled`, the first one's secret in the deliveries."""
    world = empty()
    for slot in slots:
        name = f"{desired.name}-{slot}" if slot else desired.name
        world.keys[f"mine{slot}"] = Key(f"mine{slot}", name, START, f"{MARK}mine{slot}")
    first = f"{MARK}mine{slots[0]}"
    for place in desired.deliveries if filled else ():
        if place.target not in MARKED:  # a value there that keyturn did not write needs a take-over
            world.by_hand(place, first)
    world.given = world.mints = frozenset({first})
    return world


def _cached(make: Callable[[], Universe]) -> Callable[[], Universe]:
    once = cache(make)
    return lambda: once().copy()


def _lost(world: Universe) -> None:
    """Someone regenerates the live key and keeps the secret."""
    world.steady = frozenset()
    record = world.records["main"][0]
    world.land(Renew(record.slots[record.live or SlotName.A].uuid, f"{MARK}stolen"))


def scenarios(label: str = "1") -> Sequence[Scenario]:
    """Return every operation in both strategies, with these places: see `placed`."""
    made: list[Scenario] = []
    for strategy in BOTH:
        made += _of(strategy, label)
    return made


def placed(label: str) -> tuple[Delivery, ...]:
    """Return the deliveries of a label: so many, with a `u` without compare-and-set; or one for each letter.

    `r` can be read and has versions, `p` has none and no compare-and-set, `s` and `d` are those of `marking`.
    """
    if label.isalpha():
        return tuple(replace(PLACES[0], target=TARGETS[letter]) for letter in label)
    deliveries = PLACES[: int(label.rstrip("u"))]
    return tuple(replace(item, target="plain") for item in deliveries) if label.endswith("u") else deliveries


def _of(strategy: Strategy, label: str) -> list[Scenario]:
    alternating = strategy is Strategy.ALTERNATING
    one = replace(entry(strategy), deliveries=placed(label))
    other = replace(one, rotation=Rotation(Strategy.IN_PLACE if alternating else Strategy.ALTERNATING, overlap=OVERLAP))
    slots = ("a", "b") if alternating else ("",)
    names = [f"{one.name}-{slot}" if slot else one.name for slot in slots]
    live = SlotName.A if alternating else None
    existing = replace(one, adopt=Adopt(AdoptSecret.EXISTING, live=live))
    renewed = replace(one, adopt=Adopt(AdoptSecret.REGENERATE))
    rest = _cached(lambda: settled(one, steady=True))
    rotated = Act(one, ROTATE)
    later = Act(one, after=2 * 3600.0)
    more = replace(one, deliveries=(*one.deliveries, Delivery("x", "more", "key")))
    targets = {item.target for item in one.deliveries}
    blind = targets <= MARKED
    # What nobody can read needs a mint, and that waits for the old secret, which outlives a rollout.
    brought = Act(more, after=LONG if blind else 1.0, ends="pending" if targets == {DELAYED} else "")
    # Where a secret is copied to a place that does not show it, an operator answers for it.
    confirmed = Options(confirmed=bool(targets & MARKED))

    def act(name: str, start: Callable[[], Universe], *acts: Act, last: Options = NOTHING) -> Scenario:
        return Scenario(name, str(strategy), label, start, acts, last)

    def stop(
        name: str, start: Callable[[], Universe], wanted: DesiredKey = one, *, confirmed: bool = False
    ) -> Scenario:
        act = Act(wanted, Options(confirmed=confirmed), once=True)
        return Scenario(name, str(strategy), label, start, (act,), stops=Stops.MUST)

    made = [
        act("create", _cached(empty), Act(one)),
        act("adopt-existing", _cached(lambda: held(existing, *slots)), Act(existing, confirmed, again=True)),
        act("adopt-regenerate", _cached(lambda: held(renewed, *slots, filled=False)), Act(renewed)),
        act(
            "adopt-regenerate-asked",
            _cached(lambda: held(one, *slots)),
            Act(one, Options(adopt=renewed.adopt, confirmed=True), again=True),
        ),
        act("drift-of-another-system", rest, Act(one, VERIFY, by_hand=_overwritten), last=VERIFY),
        act("odd-format", rest, Act(one, ROTATE, by_hand=_odd), brought),
        stop("adopt-in-use", _cached(lambda: held(renewed, *slots)), renewed),
        stop("adopt-over-another-system", _cached(lambda: _of_another_system(renewed, *slots)), renewed),
        stop(
            "adopt-of-another-system", _cached(lambda: _of_another_system(existing, *slots)), existing, confirmed=True
        ),
        act("rotate", rest, rotated),
        act("rotate-compromised", rest, Act(one, Options(rotate=True, compromised=True), by_hand=_unsteady)),
        act("rotate-twice", rest, rotated, replace(later, options=ROTATE)),
        act("rename", rest, Act(replace(one, name="renamed"))),
        act("delete", rest, Act(replace(one, absent=True), DELETE, by_hand=_unsteady), last=DELETE),
        act("heal", rest, Act(one, VERIFY, by_hand=_lost), last=VERIFY),
        act("strategy", rest, Act(other, DELETE), last=DELETE),
        act("delivery-added", rest, Act(more)),
        act("delivery-removed", _cached(lambda: settled(more)), Act(one)),
        Scenario(
            "create-beside",
            str(strategy),
            label,
            _cached(empty),
            (Act(one, once=True), Act(one, by_hand=_namesake)),
            stops=Stops.MAY,
        ),
        act(
            "pasted-over",
            rest,
            Act(one, ROTATE, once=True),
            Act(one, VERIFY, by_hand=lambda world: _put_back(world, one)),
            last=VERIFY,
        ),
        act("gone", rest, Act(one, by_hand=_gone)),
        act(
            "hand-off",
            _cached(_no_create),
            Act(one, ends="hand-off"),
            Act(one, by_hand=lambda world: make_keys(world, names)),
        ),
        stop("field-in-use", _cached(lambda: _field_in_use(one))),
        stop("namesake", _cached(_with_namesake)),
        Scenario(
            "filled-meanwhile",
            str(strategy),
            label,
            _cached(_no_create),
            (
                Act(one, ends="hand-off"),
                Act(one, by_hand=lambda world: _filled_meanwhile(world, one, names), ends="field-in-use"),
            ),
            stops=Stops.MUST,
        ),
        Scenario(
            "name-taken",
            str(strategy),
            label,
            rest,
            (Act(replace(one, name="other"), by_hand=_name_taken, ends="namesake"),),
            stops=Stops.MUST,
        ),
        act(
            "forged-place",
            _cached(lambda: place_of_others(settled(one, steady=True))),
            Act(one, ROTATE, ends="place-unproven"),
            Act(replace(one, clean_targets=False)),
        ),
        act("forged-create", _cached(lambda: open_create(settled(one))), Act(one, by_hand=_unsteady)),
        stop("another-owner", _cached(lambda: _of_another(one))),
    ]
    if DELAYED in targets:
        made.append(
            act("rollout-failed", rest, Act(one, ROTATE, by_hand=_broken, ends="effect-failed"), *_repaired(one))
        )
    if alternating:
        made.append(stop("forged-retire", _cached(lambda: due_retire(settled(one)))))
        made.append(act("retire", _cached(lambda: _overlapped(one)), Act(one)))
        gone = DesiredKey(one.id, one.owner, absent=True, retain=True, timing=TIMING)
        early = Act(gone, FORGET, ends="old-secret-left", by_hand=freeze)
        ended = ROLLOUT if DELAYED in targets else later.after
        retired, forget = replace(later, after=ended, by_hand=thaw, again=True), Act(gone, FORGET, by_hand=freeze)
        over = [retired, Act(one, after=LINGERS.total_seconds(), again=True)] if DELAYED in targets else [retired]
        made.append(act("overlap>forget", _cached(lambda: _overlapped(one, 60.0)), early, *over, forget, last=FORGET))
        put_back = Act(one, after=600.0, by_hand=lambda world: _put_back(world, one))
        made.append(act("retire-rolled-back", rest, Act(one, ROTATE, once=True), put_back, later))
    made += sequences(one, label, _cached(empty), lambda desired: _cached(lambda: settled(desired, steady=True)))
    return [scenario for scenario in made if not _unreadable(one, scenario.name)]


def _unreadable(desired: DesiredKey, name: str) -> bool:
    """Tell whether an operation is about a secret that is found in a delivery, and a delivery here cannot be read."""
    blind = [item for item in desired.deliveries if item.target in MARKED]
    found = "alias" in name or name.startswith("apart") or name in FINDS
    # A gap that decision 24 names: both secrets are in use, and nobody can read either.
    gap = name == "rotate>moved" and desired.rotation.strategy is Strategy.ALTERNATING
    return bool(blind) and (found or (len(blind) == len(desired.deliveries) and (gap or name in TRIES)))


def _broken(world: Universe) -> None:
    """From here on every rollout fails."""
    world.rollouts = replace(world.rollouts, broken=True)


def _repaired(desired: DesiredKey) -> tuple[Act, Act]:
    """Return how the failed rollout is seen long after its overlap, and how an operator repairs it then."""

    def repair(world: Universe) -> None:
        held = {place: world.held(place) for place in desired.deliveries if place.target == DELAYED}
        world.rollouts = Rollouts({**world.rollouts.used, **held}, broken=False)

    return Act(desired, after=LONG, ends="effect-failed", quiet=True), Act(desired, by_hand=repair)


def _gone(world: Universe) -> None:
    """Someone deletes the live API key."""
    world.steady = frozenset()
    record = world.records["main"][0]
    del world.keys[record.slots[record.live or SlotName.A].uuid]


def _no_create() -> Universe:
    """A world whose API no longer creates keys."""
    world = empty()
    world.create_gone = True
    return world


def _namesake(world: Universe) -> None:
    """An operator makes an API key of the very name."""
    for name in ("app", "app-a"):
        world.keys[f"theirs-{name}"] = Key(f"theirs-{name}", name, START, f"{MARK}theirs-{name}")
    world.foreign_keys = frozenset({*world.foreign_keys, "theirs-app", "theirs-app-a"})


def _name_taken(world: Universe) -> None:
    """An operator makes an API key of the name that the entry asks for now."""
    for name in ("other", "other-a"):
        world.keys[f"theirs-{name}"] = Key(f"theirs-{name}", name, START, f"{MARK}theirs-{name}")
    world.foreign_keys = frozenset({*world.foreign_keys, "theirs-other", "theirs-other-a"})


def _filled_meanwhile(world: Universe, desired: DesiredKey, names: Sequence[str]) -> None:
    """The API keys are made, and another system uses the fields that were empty when the key was declared."""
    make_keys(world, names)
    for item in desired.deliveries:
        world.by_hand(item, PASSWORD)


def _with_namesake() -> Universe:
    world = empty()
    _namesake(world)
    return world


def _field_in_use(desired: DesiredKey) -> Universe:
    """A world in which a field holds what keyturn did not write."""
    world = empty()
    world.by_hand(desired.deliveries[0], f"{MARK}unknown")
    return world


def _of_another_system(desired: DesiredKey, *slots: str) -> Universe:
    """A world in which the first delivery holds a value of another system, and the others hold nothing."""
    world = held(desired, *slots, filled=False)
    world.by_hand(desired.deliveries[0], PASSWORD)
    return world


def _overwritten(world: Universe) -> None:
    """Someone puts a value of another system over what keyturn delivered; a recorded delivery is repaired."""
    world.steady, world.given = frozenset(), world.given | {PASSWORD}
    for item in world.records["main"][0].deliveries:
        world.by_hand(item.delivery, PASSWORD)


def _odd(world: Universe) -> None:
    """The API makes secrets of a format that nobody knows."""
    world.odd = True


def _of_another(desired: DesiredKey) -> Universe:
    """A world in which the key belongs to another owner."""
    world = settled(desired)
    record, version = world.records["main"]
    world.records["main"] = (replace(record, owner="others"), version)
    world.foreign_keys = frozenset(world.keys)
    return world


def _put_back(world: Universe, desired: DesiredKey) -> None:
    """An operator puts the secret that was there at first back into the first delivery."""
    bury(world)
    place = desired.deliveries[0]
    world.by_hand(place, next(value for (kept, _), value in world.kept.items() if kept == place))
    if not world.accepted(world.fields[place]):
        world.steady = frozenset()


def _unsteady(world: Universe) -> None:
    """From here on an outage was asked for."""
    world.steady = frozenset()


def _overlapped(desired: DesiredKey, passed: float = 2 * 3600.0) -> Universe:
    """A world so many seconds after a rotation; by default its overlap has just passed."""
    world = settled(desired, steady=True)
    world.runs += 1
    apply_key(SimWorld(world, {}, TIMING), desired, ROTATE, f"run-{world.runs}")
    world.advance(passed)
    return world
