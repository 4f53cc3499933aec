"""Many rotations under the API's limit of requests a minute, beside the time that this limit takes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from tests.bench.figures import Figure
from tests.bench.site import IN_PLACE, site

KEYS = 500
MINUTE = 60.0
PER_MINUTE, PER_HOUR = 250, 5000
LIMIT = 0.95
STRATEGIES = {"in-place": IN_PLACE, "alternating": "strategy: alternating"}
CONTROL = "/v2/"


def measure() -> Sequence[Figure]:
    """Rotate all keys once, with each strategy."""
    return [_measured(strategy, rotation) for strategy, rotation in STRATEGIES.items()]


def _measured(strategy: str, rotation: str) -> Figure:
    """Raise AssertionError if a request was refused, or if not every key was rotated by one request."""
    with site(KEYS, rotation) as at:
        at.sandbox.clear_requests()
        at.sandbox.change(minute_limit=PER_MINUTE, hour_limit=PER_HOUR)
        at.environment["DIGITALOCEAN_TOKEN"] = at.sandbox.add_token().value  # of which nothing is used up yet
        at.keyturn("rotate", "--all", "--reason", "bench", "--yes", "--quiet")
        sent = [one for one in at.sandbox.requests if one.path.startswith(CONTROL)]
    assert HTTPStatus.TOO_MANY_REQUESTS not in {one.status for one in sent}
    assert sum(one.mutating for one in sent) == KEYS
    took = sent[-1].time - sent[0].time
    least = (len(sent) - 1) // PER_MINUTE * MINUTE
    ratio = least / took
    what, beside = f"{KEYS} rotations, {len(sent)} requests: {took:.0f} s", f"the limit: {least:.0f} s"
    goal, met = f"≥ {LIMIT:g}", ratio >= LIMIT
    return Figure(f"rotations, {strategy}", what, beside, ratio, ratio, ratio, goal, met)
