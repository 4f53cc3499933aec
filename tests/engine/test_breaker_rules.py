"""When the breaker stops a stack, without an engine: what the list, the team and the inference API tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from keyturn.core.errors import RunStopped
from keyturn.core.model import ApiKey, Delivery, SlotName, WireAnswer, WireKind
from keyturn.core.record import DeliveryState, Record, Slot
from keyturn.core.secret import Secret
from keyturn.core.world import Held, StoredRecord
from keyturn.live.live_world import LiveWorld
from keyturn_provider.session import EXEMPT, Breaker

PLACE, SECRET, DIGEST_KEY = Delivery("vault", "a/b", "KEY"), Secret("one"), "ab" * 32
NONE_SHOWN = "the API shows no API key of a"


def record(key: str, account: str = "") -> Record:
    """Return the record of a key whose one API key is u-KEY, and whose secret is delivered."""
    digest = SECRET.digest(DIGEST_KEY)
    return Record(
        key,
        "me",
        DIGEST_KEY,
        account=account,
        live=SlotName.A,
        slots={SlotName.A: Slot(f"u-{key}", key, digest=digest)},
        deliveries=(DeliveryState(PLACE, digest=digest),),
    )


class _World:
    """A list, a team, some records and one answer to every secret; counts what is read."""

    def __init__(
        self,
        records: Sequence[Record],
        listed: Sequence[str] = (),
        account: str = "",
        kind: WireKind = WireKind.OK,
        blocked: bool | None = None,
    ) -> None:
        self.records = {item.key: item for item in records}
        self.listed = listed
        self.team = account
        self.kind = kind
        self.blocked = blocked
        self.read: list[str] = []

    def list_keys(self, *, fresh: bool = False) -> tuple[ApiKey, ...]:
        return tuple(ApiKey(uuid, uuid) for uuid in self.listed)

    def account(self) -> str:
        return self.team

    def models(self, _: Secret) -> WireAnswer:
        return WireAnswer(self.kind)

    def prepayment_blocked(self) -> bool | None:
        return self.blocked

    def read_delivery(self, _: Delivery) -> Held:
        return Held(SECRET)

    def list_records(self) -> tuple[str, ...]:
        return tuple(self.records)

    def read_record(self, key: str) -> StoredRecord:
        self.read.append(key)
        return StoredRecord(self.records[key], "1")


def breaker(world: _World) -> Breaker:
    """Return a breaker of all records of this world."""
    return Breaker(cast("LiveWorld", world), "me")


@pytest.mark.parametrize(
    ("keys", "listed", "account", "told"),
    [
        ({"a": ""}, (), "", NONE_SHOWN),
        ({"a": "mine"}, (), "", NONE_SHOWN),
        ({"a": ""}, (), "mine", NONE_SHOWN),
        ({"a": "mine"}, (), "mine", ""),
        ({"a": "mine"}, (), "other", "but a to the team mine"),
        ({"a": ""}, ("u-a",), "", ""),
        ({"a": "", "b": ""}, ("u-b",), "", ""),
        ({"a": "mine", "b": "other"}, ("u-b",), "", NONE_SHOWN),
        ({"a": "", "b": ""}, (), "", "the API shows none of the 2 live keys of this run (a, b)"),
        ({"a": "mine", "b": "mine"}, (), "mine", "the API shows none of the 2 live keys of this run (a, b)"),
    ],
)
def test_a_list_without_a_key_has_to_be_of_its_team(
    keys: dict[str, str], listed: tuple[str, ...], account: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key, and one that is still to be made, go on only if the token's team is known, or the operator says so."""
    world = _World([record(key, team) for key, team in keys.items()], listed, account)
    one, new = world.records["a"], "new"
    if told:
        for key, known in (("a", one), (new, None)):
            with pytest.raises(RunStopped) as stopped:
                breaker(world).check_listed(key, known)
            assert told in str(stopped.value)
            assert "--take-over" not in str(stopped.value)
            assert (EXEMPT in str(stopped.value)) is (account != "other")
    else:
        for key, known in (("a", one), (new, None)):
            breaker(world).check_listed(key, known)
    monkeypatch.setenv(EXEMPT, f"b, a,{new}")
    breaker(world).check_listed(new, None)
    if account != "other":
        breaker(world).check_listed("a", one)


def test_the_records_of_a_stack_are_read_once_however_many_keys_are_made() -> None:
    """A key that is listed costs no reading, and its own record is never read again."""
    world = _World([record("a"), record("b")], ("u-a", "u-b"))
    shared = breaker(world)
    shared.check_listed("a", world.records["a"])
    assert world.read == []
    for number in range(5):
        shared.check_listed(f"new-{number}", None)
    assert world.read == ["a", "b"]


def test_a_key_that_was_made_meanwhile_is_not_taken_for_gone() -> None:
    """What was read earlier may be out of date: before the run stops the records are read again."""
    world = _World([record("a"), record("b")], ("u-a",))
    shared = breaker(world)
    shared.check_listed("new", None)
    world.records["c"], world.listed = record("c"), ("u-c",)
    shared.check_listed("new", None)


@pytest.mark.parametrize(
    ("kind", "blocked", "stops"),
    [
        (WireKind.UNAUTHORIZED, None, True),
        (WireKind.UNAUTHORIZED, True, False),
        (WireKind.VPC, None, False),
        (WireKind.TIER, None, False),
    ],
)
def test_only_real_refusals_stop_a_stack(kind: WireKind, blocked: bool | None, stops: bool) -> None:
    """A blocked account, another network or a tier refuses no secret."""
    world = _World([record("a"), record("b")], kind=kind, blocked=blocked)
    if stops:
        with pytest.raises(RunStopped):
            breaker(world).check_accepted(world.records["a"])
    else:
        breaker(world).check_accepted(world.records["a"])
