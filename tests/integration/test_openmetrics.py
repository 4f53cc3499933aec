"""The metrics of `status`, read back by the parsers of the Prometheus client: of both formats."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from keyturn.core.reasons import Condition
from keyturn.core.results import PoolState
from keyturn.report.documents import StatusDocument
from keyturn.report.openmetrics import HELP, LONGEST, status_openmetrics
from tests.support.fleet import fleet
from tests.support.hostile import NAMES
from tests.support.metrics import read_openmetrics, read_prometheus
from tests.support.outcomes import NOW, statuses

if TYPE_CHECKING:
    from prometheus_client import Metric

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(families: list[Metric]) -> Samples:
    """Return every sample by its name and labels; none is there twice."""
    found = [((s.name, tuple(sorted(s.labels.items()))), s.value) for family in families for s in family.samples]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_both_parsers_read_the_same() -> None:
    """A server that scrapes OpenMetrics, and node exporter's textfile collector, which knows the older format only."""
    text = status_openmetrics(fleet())
    families = read_openmetrics(text)
    assert samples(families) == samples(read_prometheus(text))
    assert {family.name for family in families} == set(HELP)
    assert {family.type for family in families} == {"gauge"}
    units = {family.name: family.unit for family in families}
    assert {name for name, unit in units.items() if unit} == {name for name in HELP if name.endswith("_seconds")}
    assert {family.name: family.documentation for family in families} == dict(HELP)


def test_the_figures_of_a_fleet() -> None:
    """Each key has one condition; counts are zero where there is none; times are seconds."""
    document = fleet()
    found = samples(read_openmetrics(status_openmetrics(document)))

    def one(name: str, **labels: str) -> float:
        return found[f"keyturn_{name}", tuple(sorted(labels.items()))]

    refused = {"owner": "platform", "key": "checkout-bot"}
    assert one("key_condition", **refused, condition="refused", reason="refused") == 1
    assert sum(name == "keyturn_key_condition" for name, _ in found) == 40
    assert one("key_condition_since_timestamp_seconds", **refused) == NOW.timestamp() - 3600
    assert (one("key_deliveries_wanted", **refused), one("key_deliveries_held", **refused)) == (2, 1)
    overlap = {"owner": "platform", "key": "catalog"}
    assert one("key_age_seconds", **overlap) == 27 * 3600
    assert one("key_minted_timestamp_seconds", **overlap) == NOW.timestamp() - 27 * 3600
    assert one("key_next_rotation_timestamp_seconds", **overlap) == NOW.timestamp() + (29 * 24 - 3) * 3600
    assert one("key_overlap_end_timestamp_seconds", **overlap) == NOW.timestamp() + 5 * 3600
    assert one("keys", owner="platform", condition="refused") == 2
    assert one("keys", owner="research", condition="refused") == 0
    assert sum(value for (name, _), value in found.items() if name == "keyturn_keys") == 40
    assert sum(name == "keyturn_keys" for name, _ in found) == 2 * len(Condition)
    assert (one("pool_spares", pool="spare-"), one("pool_spares_low", pool="spare-")) == (2, 3)
    assert one("last_look_timestamp_seconds") == NOW.timestamp()
    assert (one("exit_code"), one("account_keys_unowned"), one("apply_stopped")) == (4, 1, 0)


@pytest.mark.parametrize("name", [name for name in NAMES if "\ud800" not in name], ids=ascii)
def test_hostile_names_are_labels_and_nothing_else(name: str) -> None:
    """Escapes come back as they were written, labels are bounded, and equal ones are merged."""
    keys = tuple(replace(one, key=name, owner=name) for one in statuses(name))
    document = StatusDocument(NOW, 1, keys, pools=(PoolState(name, 2, 1, 1), PoolState(name, 3, 5, 1)), stopped=(name,))
    found = samples(read_openmetrics(status_openmetrics(document)))
    pools = {metric: value for (metric, _), value in found.items() if metric.startswith("keyturn_pool")}
    assert pools == {"keyturn_pool_spares": 2, "keyturn_pool_spares_low": 5, "keyturn_pool_spares_wanted": 2}
    assert sum(metric == "keyturn_key_age_seconds" for metric, _ in found) == 1
    assert max(len(value) for _, labels in found for _, value in labels) <= LONGEST
    assert {metric for metric, _ in found} <= set(HELP)


def test_backslashes_quotes_and_line_feeds_come_back() -> None:
    """The three escapes of the format."""
    keys = (replace(statuses()[0], key='a\\b"c'),)
    ((_, labels),) = [one for one in _labels(StatusDocument(NOW, 0, keys)) if one[0] == "keyturn_key_generation"]
    assert dict(labels)["key"] == 'a\\b"c'


def _labels(document: StatusDocument) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    return list(samples(read_openmetrics(status_openmetrics(document))))


def test_nothing_at_all_is_still_a_document() -> None:
    """No key, no pool: when it was looked, and how it ended."""
    found = samples(read_openmetrics(status_openmetrics(StatusDocument(NOW, 5, ()))))
    assert found["keyturn_exit_code", ()] == 5
    assert len(found) == 4
