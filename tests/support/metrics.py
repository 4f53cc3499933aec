"""Metrics read back by the parsers of the Prometheus client, which has no types for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

if TYPE_CHECKING:
    from prometheus_client import Metric


def read_openmetrics(text: str) -> list[Metric]:
    """Return the families of an OpenMetrics text; raises ValueError if it is none."""
    return list(openmetrics.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def read_prometheus(text: str) -> list[Metric]:
    """Return the families of a text in the older format of Prometheus; raises ValueError if it is none."""
    return list(parser.text_string_to_metric_families(text))
