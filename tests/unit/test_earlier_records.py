"""Records of earlier versions are read, judged and written back without losing anything.

The samples in `records/` were written by the version, or on the day, that their names begin with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from keyturn.core.conditions import conditions, facts
from keyturn.core.model import Strategy
from keyturn.core.reasons import Reason
from keyturn.core.record import dump, parse_record
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
