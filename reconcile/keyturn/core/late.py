"""PURE: what is said of a delivered secret that consumers do not use yet: the machine and every face say the same."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.core.model import Delivery
from keyturn.core.reasons import Reason
from keyturn.core.record import Record
from keyturn.core.results import End


def late_end(record: Record, details: Mapping[Delivery, str], *, failed: bool) -> End:
    """Return how these deliveries stand, each with its words, and what their consumers use meanwhile."""
    cut_off = any(item.delivery in details and record.cut_off(item) for item in record.deliveries)
    where = "; ".join(f"{place}: {detail.rstrip('.')}" for place, detail in details.items())
    meanwhile = ""
    if cut_off:
        meanwhile = "; its consumers are refused: the old secret is dead"
    elif old := record.old_alive:
        meanwhile = f"; the old secret (slot {old}) stays alive until it is"
    if failed:
        return End(Reason.EFFECT_FAILED, f"the secret is delivered and not in use{meanwhile}: {where}")
    code = Reason.EFFECT_OUTAGE if cut_off else Reason.EFFECT_PENDING
    return End(code, f"the secret is delivered and not in use yet{meanwhile}: {where}")
