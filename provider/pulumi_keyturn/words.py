"""PURE: what a person reads: keyturn's words with the remedies of a program, and what a failed call left behind."""

from __future__ import annotations

import re

from keyturn.core.model import Desired
from keyturn.core.record import Op, Record

_SAID = (
    (r"`keyturn adopt \S+ --secret existing --uuid UUID` keeps it", "adopt={'secret': 'existing', 'a': UUID} keeps it"),
    (r"say whose it is: `keyturn adopt \S+ --live a or b`", "empty it, and the next `pulumi up` makes a new one"),
    (r"`--secret stdin` gives the present one, ", ""),
    (r"`--secret regenerate`", "adopt={'secret': 'regenerate'}"),
    (r"run `keyturn apply --verify`: it replaces", "verify=True replaces"),
    (r"set `smoke\.from: skip`", "set smoke={'from': 'skip'}"),
    (r"`smoke\.(model|expect_models)`", r"'\1' of smoke"),
    (r"apply --verify mints again", "verify=True mints again"),
    (
        r"`adopt:` in its entry takes it over",
        "adopt={'secret': 'existing' or 'regenerate'} takes it over",
    ),
    (r"by `adopt: \{(\w): UUID\}`", r"by adopt={'secret': …, '\1': UUID}"),
    (r"give `adopt: \{live: a or b\}`", "give adopt={'secret': 'existing', 'live': 'a' or 'b'}"),
    (r"--take-over (?=\w+s\b)", "take_over=True "),
    (r"; if the keys were really deleted, apply them one by one", ""),
    (r"\b([Rr]un) apply again\b", r"\1 `pulumi up` again"),
    (r"\bthe next apply\b", "the next `pulumi up`"),
)


def of_pulumi(text: str) -> str:
    """Return what keyturn says with the remedies of a program in place of those of the command line."""
    for ours, theirs in _SAID:
        text = re.sub(ours, theirs, text)
    return text


def parked(record: Record) -> str:
    """Say why a key is parked, and what lets it mint again."""
    why = record.parked.why if record.parked else ""
    return f"it is parked: {why}; a change of rotation_trigger, or of smoke, rotation or deliver, lets it mint again"


def no_record(key: str, desired: Desired) -> str:
    """Say that a resource's record is not where it should be."""
    place = f"{desired.records.target}:{desired.records.prefix}"
    return (
        f"{key}: {place} holds no record of this key, so nothing was done. If the records were moved, move this one "
        "too; if the key is no longer wanted, delete its API key in the control panel and empty its deliveries: "
        "`pulumi state delete` then forgets it."
    )


def another_account(key: str, record: Record) -> str:
    """Say that a list without any API key of a record does not prove that they are gone."""
    return (
        f"{key}: the list shows none of its API keys ({', '.join(sorted(record.uuids))}), and nothing tells whether "
        "they were deleted or the token is another team's. Give the token the scope account:read. If it is right, "
        f"say in the environment that they were deleted: KEYTURN_ONE_BY_ONE={key}."
    )


def half_done(record: Record) -> str:
    """Say how to go on after an update or delete that left something open; empty where it did not."""
    late = any(item.digest != record.live_digest for item in record.deliveries)
    if record.deleted_at or not (record.intent or late):
        return ""
    return (
        "This change is half done, and the record knows it: run the same command again, and it goes on. To take the "
        "change back, run `pulumi up --refresh`: without the refresh an up would not see what is open."
    )


def made(record: Record) -> str:
    """Say what a failed create left behind; empty where there is no API key."""
    uuids = ", ".join(slot.uuid for slot in record.slots.values())
    if record.deleted_at or not (uuids or (record.intent and record.intent.op is Op.CREATE)):
        return ""
    what = f"The API key {uuids} exists and is recorded" if uuids else "An API key may have been made, and is recorded"
    return (
        f"{what}, though not in Pulumi's state, so a destroy would leave it: run `pulumi up` again, which goes on with "
        "it; to be rid of it, destroy it after that."
    )
