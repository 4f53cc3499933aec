"""Records of earlier versions are read, judged and written back without losing anything.

The samples in `records/` were written by the version, or on the day, that their names begin with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.core.conditions import conditions, facts
from keyturn.core.errors import TargetMisfit
from keyturn.core.model import Event, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import Failures, Record, Retire, Slot, dump, parse_record
from keyturn.core.results import End
from keyturn.core.state import Clock, Observed, Run, State
from tests.simulation.scenarios import entry
from tests.simulation.universe import START

SAMPLES = sorted((Path(__file__).parent / "records").glob("*.json"))
TOLD = {"overlap": "overlap", "open-rotation": "unfinished", "parked": "parked", "hand-off": "hand-off"}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_record_of_an_earlier_version_is_read_and_keeps_what_it_says(sample: Path) -> None:
    """Every field that it has comes back as it was; new fields have their defaults."""
    text = sample.read_text()
    again = json.loads(dump(parse_record(text, where="here")))
    assert _within(json.loads(text), again)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_its_condition_is_told(sample: Path) -> None:
    """Also without the moments and causes that later versions note."""
    record = parse_record(sample.read_text(), where="here")
    desired = entry(Strategy.ALTERNATING, 2)
    state = State(desired, record, "1", Observed(), Run("plan"), Clock(START, 0.0))
    found = conditions(facts(state, End(Reason.AT_REST)))
    (wanted,) = [code for name, code in TOLD.items() if sample.stem.endswith(name)]
    assert wanted in [end.code for end in found]


def test_there_are_samples_of_each_kind() -> None:
    """No version is forgotten."""
    versions = {sample.name.removesuffix(f"-{name}.json") for sample in SAMPLES for name in TOLD}
    assert {f"{version}-{name}" for version in ("0.1.0", "2026-11-24") for name in TOLD} == {
        sample.stem for sample in SAMPLES
    }
    assert {"0.1.0", "2026-11-24"} <= versions


def _within(old: object, new: object) -> bool:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return all(name in new and _within(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(_within, old, new))
    return old == new


@pytest.mark.finding("D7", before="one forged moment ended status and metrics of all keys", now="only its own")
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00"])
@pytest.mark.parametrize("place", ["slots.a.minted_at", "retire.at", "failures.since", "history.0.at", "deleted_at"])
def test_a_moment_that_breaks_arithmetic_makes_no_record(place: str, moment: str) -> None:
    """One without an offset cannot be compared, and no duration can be added to one at the end of time."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    whole = Record(
        "k",
        "o",
        "0" * 64,
        slots={SlotName.A: Slot("u", "bot", minted_at=at)},
        retire=Retire(SlotName.B, at),
        failures=Failures(1, None, at),
        history=(Event(at, "made"),),
        deleted_at=at,
    )
    document = json.loads(dump(whole))
    assert parse_record(json.dumps(document), where="here") == whole
    part = document
    *above, last = place.split(".")
    for name in above:
        part = part[int(name) if name.isdigit() else name]
    part[last] = moment
    with pytest.raises(TargetMisfit, match="this is not a record"):
        parse_record(json.dumps(document), where="here")
