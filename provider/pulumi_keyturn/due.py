"""PURE: does a resource call for an update? Asked at every preview and up, so it is cheap and reads nothing."""

from __future__ import annotations

from datetime import datetime

from pulumi_keyturn import inputs
from pulumi_keyturn.inputs import Props

HEALTHY = "healthy"
PROVIDER = "its provider changed"


def key_update(olds: Props, news: Props, now: datetime) -> str:
    """Return why a key is to be updated, empty where it is at rest; `olds` are its outputs, `news` its inputs."""
    if changes := inputs.changed(olds, news, (*inputs.KEY, *inputs.ORIGIN)):
        return f"{', '.join(changes)} changed"
    if (health := olds.get("health", HEALTHY)) != HEALTHY:
        return str(health)
    if _past(olds.get("retire_at"), now):
        return "the overlap is over: the old secret is to be retired"
    if _past(olds.get("next_rotation_at"), now) and _rotation_due(olds, now):
        return "its rotation is due"
    return _provider(olds, news)


def smoke_check_update(olds: Props, news: Props, now: datetime) -> str:
    """Return why a secret is to be checked again, empty where it is not."""
    if changes := inputs.changed(olds, news, inputs.SMOKE_CHECK):
        return f"{', '.join(changes)} changed"
    if _past(olds.get("next_check_at"), now):
        return "the next check is due"
    return _provider(olds, news)


def only_provider(olds: Props, news: Props, now: datetime) -> bool:
    """Tell whether nothing differs but the reference to the provider: then there is nothing to do but to renew it."""
    return key_update(olds, news, now) == PROVIDER


def _provider(olds: Props, news: Props) -> str:
    return PROVIDER if olds.get("__provider") != news.get("__provider") else ""


def _past(moment: object, now: datetime) -> bool:
    return isinstance(moment, str) and datetime.fromisoformat(moment) <= now


def _rotation_due(olds: Props, now: datetime) -> bool:
    """Tell whether the window, if there is one, is open: it may have closed since the rotation became due."""
    from keyturn.core import schedule
    from pulumi_keyturn.intake import rotation

    rotated_at = olds.get("rotated_at")
    return isinstance(rotated_at, str) and schedule.due(rotation(olds), datetime.fromisoformat(rotated_at), now)
