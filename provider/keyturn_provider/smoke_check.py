"""The operations of the provider on a SmokeCheck: it reads the secret of a delivery and tests it."""

from __future__ import annotations

from datetime import UTC, datetime

from keyturn.core.model import GOOD, Delivery, DesiredKey, SmokeResult, Verdict
from keyturn.core.reasons import Reason
from keyturn.core.results import End
from keyturn.core.secret import looks_like_key
from keyturn.engine import smoke
from keyturn.live.live_world import LiveWorld
from keyturn_provider import inputs, remedies, session, state
from keyturn_provider.inputs import Props
from keyturn_provider.messages import KeyturnFailed


def identity(props: Props) -> str:
    """Return the id of a SmokeCheck. It has no record, so this is its default id."""
    return inputs.identity(props)


def outputs(props: Props) -> dict[str, object]:
    """Check all deliveries and return all outputs.

    Raises KeyturnFailed with all deliveries that are empty or whose secret is not accepted, and KeyturnError if a
    delivery cannot be read.
    """
    desired, key = inputs.check_of(props, session.environment())
    world = session.world(desired)
    results = [(place, _check(world, key, place)) for place in key.deliveries]
    bad = [
        f"{place}: {remedies.told(End(Reason.of(result.verdict.value), result.facts))}"
        for place, result in results
        if result.verdict not in GOOD
    ]
    if bad:
        raise KeyturnFailed(f"the smoke-check failed: {'; '.join(bad)}")
    now = datetime.now(UTC)
    every = key.rotation.every
    return {
        **inputs.given(props, (*inputs.SMOKE_CHECK, *inputs.ORIGIN)),
        "verdict": "; ".join(sorted({result.verdict.value for _, result in results})),
        "checked_at": now.isoformat(),
        "next_check_at": (now + every).isoformat() if every else None,
    }


def updated(olds: Props, news: Props) -> dict[str, object]:
    """Check again. Does nothing if only the provider differs."""
    if state.smoke_check_update(olds, news, datetime.now(UTC)).why == state.PROVIDER:
        return dict(olds)
    return outputs(news)


def _check(world: LiveWorld, key: DesiredKey, place: Delivery) -> SmokeResult:
    held = world.read_delivery(place)
    if held.marked:
        return SmokeResult(Verdict.SKIPPED, "its value cannot be read, so it is not tried")
    secret = held.secret
    if secret is None:
        return SmokeResult(Verdict.REFUSED, "it is empty")
    if not looks_like_key(secret, world.key_prefixes()):
        return SmokeResult(Verdict.REFUSED, "it does not look like a model access key, so it was not sent")
    return smoke.check(world, secret, key.smoke, key.timing, fresh=False)
