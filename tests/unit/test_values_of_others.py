"""Values that keyturn did not write: which look like a key, and what a decision may do with them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from keyturn.core.errors import InputError, TargetMisfit
from keyturn.core.model import Adopt, AdoptSecret, Delivery, DesiredKey, Origin, SlotName, Smoke, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import Claim, Record, dump
from keyturn.core.results import KeyReport, Options
from keyturn.core.secret import Secret, looks_like_key, sendable
from keyturn.core.world import StoredRecord
from keyturn.engine.executor import apply_key
from keyturn.engine.observe import Hand, observe
from keyturn.engine.planning import plan_key
from keyturn.live.key_prefixes import key_prefixes
from keyturn.targets.documents import refuse_document
from tests.simulation.faults import Class
from tests.simulation.people import make_keys, no_create
from tests.simulation.scenarios import PLACES, TIMING, empty, entry, held, settled
from tests.simulation.universe import MARK, PASSWORD, START, Key, Renew, Universe
from tests.simulation.world import SimWorld

VERIFY = Options(verify=True)
SKIP = Smoke(origin=Origin.SKIP)
EXISTING, REGENERATE = Adopt(AdoptSecret.EXISTING), Adopt(AdoptSecret.REGENERATE)


def go(universe: Universe, desired: DesiredKey, options: Options = Options()) -> KeyReport:  # noqa: B008 - frozen
    """Apply once."""
    universe.runs += 1
    return apply_key(SimWorld(universe, {}, TIMING), desired, options, f"run-{universe.runs}")


def planned(universe: Universe, desired: DesiredKey, options: Options = Options()) -> tuple[str, bool, int]:  # noqa: B008
    """Plan, and return the sentences, whether it mints, and how many questions went to the inference API."""
    world = SimWorld(universe, {}, TIMING)
    plan = plan_key(world, desired, options).plan
    said = "; ".join([*(change.why for change in plan.changes), plan.end.why])
    return said, plan.mints, sum(point[0] is Class.ASK for point in world.trace)


@pytest.mark.parametrize(
    ("value", "is_key"),
    [
        ("sk-do-" + "aZ_-9" * 12, True),
        ("doo_v1_" + "0f" * 32, True),
        ("sk-do-a.b~c+d/e==", True),
        ("dop_v1_" + "0" * 64, False),
        ("sk-do-dop_v1_" + "0" * 64, False),
        ("sk-do-", False),
        ("sk-do-a b", False),
        ("sk-do-a\nb", False),
        ("sk-do-a;sh", False),
        ("sk-do-ä", False),
        (" sk-do-abc", False),
        ("SK-DO-abc", False),
        ("pg-Sup3rSecretDbPassw0rd", False),
        ("AKIAIOSFODNN7EXAMPLE", False),
    ],
)
@pytest.mark.finding("H1", before="any value was a key", now="only what begins like one and fits into a header")
def test_what_looks_like_a_key(value: str, is_key: bool) -> None:
    """It begins like one, and consists of what a bearer token may consist of."""
    assert looks_like_key(Secret(value)) is is_key


@pytest.mark.parametrize(
    ("credential", "fits"), [("a.b~c", True), ("", True), ("a b", False), ("a\tb", False), ("a\n", False), ("é", False)]
)
def test_what_a_header_can_hold(credential: str, *, fits: bool) -> None:
    """Anything else would be refused by the client, with the credential in its error."""
    assert sendable(credential) is fits


def test_an_operator_permits_further_prefixes() -> None:
    """Only whole words; never a token of the account; a short prefix would admit anything."""
    more = key_prefixes({"KEYTURN_KEY_PREFIXES": " model-, inference_v2_ ,"})
    assert more == ("model-", "inference_v2_")
    assert looks_like_key(Secret("model-abc"), more)
    assert not looks_like_key(Secret("modelabc"), more)
    assert not looks_like_key(Secret("dop_v1_abc"), ("dop_v1_",))
    assert key_prefixes({}) == ()
    for wrong in ("a", "sk-", "ab cd", "pg-*"):
        with pytest.raises(InputError, match="cannot be a prefix"):
            key_prefixes({"KEYTURN_KEY_PREFIXES": wrong})


def test_a_given_secret_that_is_no_key_stops_before_anything_is_read() -> None:
    """The core asks too, whatever the face did."""
    world = SimWorld(empty(), {}, TIMING)
    with pytest.raises(InputError, match="does not look like a model access key"):
        observe(world, entry(Strategy.IN_PLACE), Options(secret=Secret(PASSWORD)), "run", Hand())


@pytest.mark.finding("H5", before="a plan tried what was pasted into a delivery", now="only apply or --verify tries it")
def test_a_plan_shows_a_new_secret_for_what_it_has_not_tried() -> None:
    """A delivery was changed to another secret: the plan names it, and counts the larger change; apply finds out."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    record = universe.records["main"][0]
    universe.land(Renew(record.slots[SlotName.A].uuid, f"{MARK}pasted"))
    universe.mints -= {f"{MARK}pasted"}
    universe.kept.clear()
    universe.by_hand(PLACES[0], f"{MARK}pasted")
    said, mints, asked = planned(universe.copy(), desired, replace(VERIFY, verify=False, unpark=True))
    assert (mints, asked) == (False, 0)  # nothing is read at rest
    doubtful = universe.copy()
    doubtful.records["main"] = (replace(record, unverified="unreachable"), universe.records["main"][1])
    said, mints, asked = planned(doubtful, desired)
    assert f"unless the API accepts what {PLACES[0]} holds" in said
    assert (mints, asked) == (True, 0)
    said, mints, asked = planned(universe.copy(), desired, VERIFY)
    assert "pasted its secret" in said
    assert (mints, asked > 0) == (False, True)
    report = go(universe, desired, VERIFY)
    assert (report.mints, report.end.code) == (0, "at-rest")


@pytest.mark.finding(
    "H1", before="without a smoke-check a pasted value was delivered everywhere", now="an operator has to say whose"
)
def test_without_a_smoke_check_a_pasted_secret_is_taken_only_for_an_operator() -> None:
    """Who may write one delivery does not get its value into the others."""
    desired = replace(entry(Strategy.IN_PLACE, 2), smoke=SKIP)
    universe = settled(desired)
    universe.kept.clear()
    for place in desired.deliveries:
        universe.by_hand(place, "")
    universe.by_hand(PLACES[0], f"{MARK}planted")
    report = go(universe, desired, VERIFY)
    assert (report.end.code, report.mints) == ("pasted", 0)
    assert PLACES[1] not in universe.fields
    told = Options(adopt=Adopt(AdoptSecret.EXISTING, live=SlotName.A), confirmed=True)
    assert go(universe, desired, told).end.code == "at-rest"
    assert universe.fields[PLACES[1]] == f"{MARK}planted"


@pytest.mark.finding(
    "H3", before="a hand-off took any API key that the entry named", now="only one of the entry's name"
)
def test_a_hand_off_takes_no_api_key_of_another_name_by_the_entry_alone() -> None:
    """The key has a record and waits; naming another team's key by its uuid needs an operator."""
    desired = entry(Strategy.IN_PLACE)
    universe = empty()
    no_create(universe)
    assert go(universe, desired).end.code == "hand-off"
    universe.keys["prod"] = Key("prod", "prod", START, f"{MARK}prod")
    named = replace(desired, adopt=replace(REGENERATE, a="prod"))
    before = universe.mutations
    report = go(universe, named)
    assert report.end.code == "not-confirmed"
    assert "the API key prod is called 'prod', and the entry asks for 'app'" in report.end.why
    assert (universe.mutations, universe.keys["prod"].secret) == (before, f"{MARK}prod")
    assert go(universe, named, Options(adopt=named.adopt, confirmed=True)).end.code == "at-rest"


def test_a_hand_off_takes_an_api_key_of_the_wanted_name_by_its_uuid() -> None:
    """As before: a hand-made key that the entry names, and that has its name, needs no operator."""
    desired = entry(Strategy.IN_PLACE)
    universe = empty()
    no_create(universe)
    go(universe, desired)
    make_keys(universe, ["app"])
    assert go(universe, replace(desired, adopt=replace(REGENERATE, a="panel-app"))).end.code == "at-rest"


def test_adopting_a_given_secret_overwrites_no_field() -> None:
    """A secret from standard input goes to empty deliveries only."""
    desired = entry(Strategy.IN_PLACE)
    universe = held(desired, "", filled=False)
    universe.by_hand(PLACES[0], PASSWORD)
    given = Secret(f"{MARK}mine")
    asked = Options(adopt=EXISTING, confirmed=True, secret=given)
    assert go(universe, desired, asked).end.code == "field-in-use"
    assert universe.fields[PLACES[0]] == PASSWORD
    assert universe.records == {}


@pytest.mark.finding("H2", before="regenerate replaced a refused key-like value", now="exit 4 until --take-over")
def test_an_operator_regenerates_over_an_accepted_secret_only() -> None:
    """What the API refuses may be another account's."""
    desired = entry(Strategy.IN_PLACE)
    asked = Options(adopt=REGENERATE, confirmed=True)
    refused = held(desired, "", filled=False)
    refused.by_hand(PLACES[0], f"{MARK}of-another-account")
    report = go(refused, desired, asked)
    assert (report.end.code, report.end.why) == (
        "secret-in-use",
        f"{PLACES[0]} already holds a secret, which the API refuses",
    )
    refused.given = frozenset({f"{MARK}of-another-account"})
    assert go(refused, desired, replace(asked, take_over=True)).end.code == "at-rest"
    accepted = held(desired, "")
    assert go(accepted, desired, asked).end.code == "at-rest"


def test_a_stopped_adoption_claims_nothing() -> None:
    """A claim would keep the API key from its true owner."""
    desired = replace(entry(Strategy.IN_PLACE), adopt=REGENERATE)
    universe = held(desired, "")
    assert go(universe, desired).end.code == "secret-in-use"
    assert universe.claims == {}


def test_a_record_and_a_claim_are_no_place_for_a_secret() -> None:
    """As fields of a path, as a text, and as the file that a folder keeps; other JSON is."""
    record, claim = dump(Record("k", "o", "00")), dump(Claim("u", "o", "k"))
    file = f" {json.dumps({'version': 1, 'document': claim})}"
    holding: tuple[str | dict[str, object], ...] = (record, claim, file, {"document": record, "more": "x"})
    for content in holding:
        with pytest.raises(TargetMisfit, match="holds a record of keyturn"):
            refuse_document(content, "here")
    for text in ("", "A=b", "{", "[]", '{"document": "x"}', '{"owner": "o", "key": "k"}', None):
        refuse_document(text, "here")
    refuse_document({"document": 1}, "here")


def test_a_delivery_of_another_system_is_reported_beside_ours() -> None:
    """A delivery that the entry adds is left alone while it holds something else; the others are kept up."""
    desired = entry(Strategy.IN_PLACE)
    universe = settled(desired)
    more = Delivery("x", "more", "key")
    universe.by_hand(more, PASSWORD)
    report = go(universe, replace(desired, deliveries=(*PLACES[:1], more)), VERIFY)
    assert (report.end.code, universe.fields[more]) == ("field-in-use", PASSWORD)
    assert universe.wrong == ()


class Slow(SimWorld):
    """A run that read the record before another run adopted the key, and everything else after it."""

    early = True

    def read_record(self, key: str) -> StoredRecord:
        """Return nothing at first."""
        stored = super().read_record(key)
        if self.early:
            self.early = False
            return StoredRecord(None, "0")
        return stored


@pytest.mark.parametrize("adopted", [True, False])
def test_what_another_run_delivered_meanwhile_is_no_value_of_others(adopted: bool) -> None:
    """Before a key is held, its record is read again: a plan and a run see what the other run made of it."""
    desired = entry(Strategy.IN_PLACE)
    desired = replace(desired, adopt=REGENERATE) if adopted else desired
    universe = settled(desired, start=held(desired, "", filled=False) if adopted else None)
    mints = universe.mints
    plan = plan_key(Slow(universe, {}, TIMING), desired, Options()).plan
    assert (plan.end.code, plan.changes) == (Reason.AT_REST, ())
    report = apply_key(Slow(universe, {}, TIMING), desired, Options(), "slow")
    assert (report.end.code, report.done, universe.mints) == (Reason.AT_REST, (), mints)
