"""What all keys of a run have in common: whose the account token is, an API that refuses or hides all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

from keyturn.core import brakes
from keyturn.core.errors import KeyturnError
from keyturn.core.limits import group_of
from keyturn.core.model import DesiredKey
from keyturn.core.reasons import Reason
from keyturn.core.record import Record
from keyturn.core.results import End
from keyturn.core.world import World
from keyturn.engine.planning import Planning
from keyturn.engine.worklist import NO_GROUP, Call

BLIND = (
    "The account token may not read its team (scope account:read). So keyturn knows another team's token only by the "
    "API keys that it lists."
)


class CommonCause:
    """Judges the keys of one owner together; reads more records only if what a run saw does not tell."""

    def __init__(self, world: World, owner: str) -> None:
        """Prepare; nothing is read yet."""
        self._world = world
        self._owner = owner

    def vouch(self, call: Call, work: Sequence[DesiredKey], unsure: Collection[str]) -> tuple[DesiredKey, ...]:
        """Return the keys of `unsure` of whose team this owner's other records show that the token is; note them."""
        if not unsure:
            return ()
        records = self._records()
        doubted = {key: record for key, record in records.items() if key in unsure}
        call.same_team = brakes.vouched(doubted, records.values(), self._world.list_keys())
        return tuple(key for key in work if key.id in call.same_team)

    def common(self, call: Call, work: Sequence[DesiredKey], planned: Sequence[Planning]) -> End | None:
        """Return why the whole run stops, None if it continues. Raises KeyturnError if that cannot be known."""
        seen = {one.plan.key: one for one in planned if brakes.mine(one.record, self._owner)}
        records = {key: one.record for key, one in seen.items() if one.record}
        theirs = {key: record for key, record in records.items() if record.uuids or not call.options.take_over}
        if theirs and (other := brakes.other_team(self._world.account(), theirs)):
            return other
        if other := brakes.another_account(
            [one.plan.key for one in planned if one.plan.end.code is Reason.ANOTHER_ACCOUNT]
        ):
            return other
        present = {key.id for key in work if not key.absent}
        if other := self._beside_strangers(call, present, records):
            return other
        live = {key: uuid for key, uuid in brakes.live_uuids(records).items() if key in present}
        call.live |= live
        if other := self._gone(call):
            return other
        if call.options.verify:
            call.verdicts |= {key: seen[key].verdict for key in live}
        return brakes.all_refused(call.verdicts, NO_GROUP if call.limits.by_group else None)

    def _gone(self, call: Call) -> End | None:
        """Return why the whole run stops because keys are gone; note why those of a group are not begun."""
        if not brakes.all_gone(call.live, self._world.list_keys()):
            return None
        listed = self._world.list_keys(fresh=True)
        if not call.limits.by_group:
            return brakes.all_gone(call.live, listed)
        ends = {group: brakes.all_gone(call.live, listed, group) for group in set(map(group_of, call.live))}
        call.gone = {group: end for group, end in ends.items() if end}
        return brakes.all_gone(call.live, listed, NO_GROUP)

    def notes(self, call: Call) -> tuple[str, ...]:
        """Return what this run cannot know."""
        with suppress(KeyturnError):
            if call.work and not call.unknown and not self._world.account():
                return (BLIND,)
        return ()

    def _beside_strangers(self, call: Call, present: Collection[str], records: dict[str, Record]) -> End | None:
        """Return why no new key is begun: the owner's other keys show another team, or none of them is listed."""
        new = set(present) - {key for key, record in records.items() if record.uuids} - set(call.unmanaged)
        if not new or call.options.same_team:
            return None
        account, listed = self._world.account(), self._world.list_keys()
        if not any(record.uuids for record in records.values()) or brakes.strange(account, records, listed):
            records = self._records()
        return brakes.strange(account, records, listed)

    def _records(self) -> dict[str, Record]:
        """Return this owner's records, as far as they can be read."""
        found: dict[str, Record] = {}
        for key in self._world.list_records():
            with suppress(KeyturnError):
                record = self._world.read_record(key).record
                if record and brakes.mine(record, self._owner):
                    found[key] = record
        return found
