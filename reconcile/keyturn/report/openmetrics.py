"""`status` as metrics. Every family is a gauge, so one text is both OpenMetrics 1.0 and the older Prometheus format.

Sources: the OpenMetrics specification 1.0 (names, units, escapes, `# EOF`), and `expfmt` of Prometheus, which node
exporter's textfile collector reads with: it refuses the types `info` and `stateset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from keyturn.core.reasons import Condition
from keyturn.report.documents import StatusDocument
from keyturn.report.lines import safe

LONGEST = 200
"""Characters of a label's value; more are cut."""

Labels = tuple[tuple[str, str], ...]


@dataclass
class _Family:
    """One metric with its samples; a second sample with the same labels is dropped."""

    name: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)

    def add(self, value: float, **labels: str) -> None:
        """Add a sample."""
        self.samples.setdefault(tuple((name, safe(text, LONGEST)) for name, text in labels.items()), value)

    def at(self, moment: datetime | None, **labels: str) -> None:
        """Add a moment in seconds since 1970; nothing if it is not known."""
        if moment is not None:
            self.add(moment.timestamp(), **labels)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the family; none without samples."""
        if not self.samples:
            return
        yield f"# HELP {self.name} {_escaped(self.help)}"
        yield f"# TYPE {self.name} gauge"
        if self.name.endswith("_seconds"):
            yield f"# UNIT {self.name} seconds"
        for labels, value in self.samples.items():
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            yield f"{self.name}{{{inner}}} {_number(value)}" if inner else f"{self.name} {_number(value)}"


HELP: Mapping[str, str] = {
    "keyturn_keys": "Keys by their condition, the most urgent of each key.",
    "keyturn_key_condition": "1 for the present condition of a key, with its reason.",
    "keyturn_key_condition_since_timestamp_seconds": "Since when the present condition lasts, if that is recorded.",
    "keyturn_key_age_seconds": "Age of the live secret when keyturn looked.",
    "keyturn_key_minted_timestamp_seconds": "When the live secret was made.",
    "keyturn_key_next_rotation_timestamp_seconds": "When the next scheduled rotation is due.",
    "keyturn_key_overlap_end_timestamp_seconds": "When the old secret is retired.",
    "keyturn_key_generation": "How many secrets the key has had.",
    "keyturn_key_deliveries_wanted": "Deliveries that should hold the live secret.",
    "keyturn_key_deliveries_held": "Deliveries that hold the live secret, as read or as recorded.",
    "keyturn_pool_spares": "Spare API keys left in a pool.",
    "keyturn_pool_spares_low": "Fewer spares than this are too few.",
    "keyturn_pool_spares_wanted": "Missing API keys that would take a spare.",
    "keyturn_account_keys_unowned": "API keys of the account that no manifest owns.",
    "keyturn_apply_stopped": "1 if something would stop a whole apply, else 0.",
    "keyturn_last_look_timestamp_seconds": "When keyturn looked.",
    "keyturn_exit_code": "The exit code of `keyturn status`: 0 if nothing is wrong.",
    "keyturn_build_info": "1, with the version of keyturn.",
}
"""Every metric with what it means."""


def status_openmetrics(document: StatusDocument) -> str:
    """Return the document as OpenMetrics text, ended by `# EOF`.

    Labels hold ids, conditions and prefixes of pools, each at most 200 characters; no path, message or secret. Times
    are seconds since 1970, ages are seconds. There are no sample timestamps.
    """
    found = {name: _Family(name, text) for name, text in HELP.items()}
    for owner in dict.fromkeys(key.owner for key in document.keys):
        conditions = [key.condition for key in document.keys if key.owner == owner]
        for condition in Condition:
            found["keyturn_keys"].add(conditions.count(condition), owner=owner, condition=condition.value)
    _keys(document, found)
    _pools(document, found)
    if document.unowned is not None:
        found["keyturn_account_keys_unowned"].add(len(document.unowned))
    found["keyturn_apply_stopped"].add(int(bool(document.stopped)))
    found["keyturn_last_look_timestamp_seconds"].at(document.at)
    found["keyturn_exit_code"].add(document.exit_code)
    found["keyturn_build_info"].add(1, version=document.keyturn)
    return "\n".join([*(row for family in found.values() for row in family.lines()), "# EOF"]) + "\n"


def _keys(document: StatusDocument, found: Mapping[str, _Family]) -> None:
    for key in document.keys:
        one = {"owner": key.owner, "key": key.key}
        found["keyturn_key_condition"].add(1, **one, condition=key.condition.value, reason=key.code.value)
        found["keyturn_key_condition_since_timestamp_seconds"].at(key.since, **one)
        if key.minted_at:
            found["keyturn_key_age_seconds"].add((document.at - key.minted_at).total_seconds(), **one)
        found["keyturn_key_minted_timestamp_seconds"].at(key.minted_at, **one)
        found["keyturn_key_next_rotation_timestamp_seconds"].at(key.next_rotation_at, **one)
        found["keyturn_key_overlap_end_timestamp_seconds"].at(key.retire_at, **one)
        found["keyturn_key_generation"].add(key.generation, **one)
        found["keyturn_key_deliveries_wanted"].add(len(key.deliveries), **one)
        found["keyturn_key_deliveries_held"].add(sum(1 for _, held in key.deliveries if held), **one)


def _pools(document: StatusDocument, found: Mapping[str, _Family]) -> None:
    """Manifests may share a pool: the spares are the same, the highest `low` counts, and what they want adds up."""
    for prefix in dict.fromkeys(pool.prefix for pool in document.pools):
        pools = [pool for pool in document.pools if pool.prefix == prefix]
        found["keyturn_pool_spares"].add(min(pool.left for pool in pools), pool=prefix)
        found["keyturn_pool_spares_low"].add(max(pool.low for pool in pools), pool=prefix)
        found["keyturn_pool_spares_wanted"].add(sum(pool.wanted for pool in pools), pool=prefix)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
