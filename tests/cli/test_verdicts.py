"""What is wrong with the account, the network or the manifest is told by its name, and never healed by a mint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.sandbox import SCOPES
from tests.cli.desk import MODEL, Desk, desk, side_by_side

if TYPE_CHECKING:
    from tests.real.run import ForkServer

COMMANDS = (("smoke",), ("status", "--verify"), ("apply", "--yes", "--verify"))
BALANCE = "add balance to the account, in the control panel under Billing"
WELL = {"inside_vpc": True, "tier_denied": (), "retired": (), "quota": "ok", "balance": "ok"}
NOW = ("apply", "--yes", "--verify")


@dataclass(frozen=True)
class Worry:
    """What is wrong with the account, and how it has to be told.

    `billing`: the token may read the balance. `keys`: how many of the two are concerned.
    """

    name: str
    verdict: str
    remedy: str
    settings: Mapping[str, object] = field(default_factory=dict)
    billing: bool = False
    keys: int = 2


WORRIES = (
    Worry("VPC", "vpc", "set `smoke.from: skip`, or run inside the VPC of the key", {"inside_vpc": False}, keys=1),
    Worry("tier", "tier", "choose another `smoke.model`, or raise the tier", {"tier_denied": (MODEL,)}),
    Worry("retired model", "model", "change `smoke.model`", {"retired": (MODEL,)}),
    Worry("quota", "quota", "wait until the quota is free again", {"quota": "exceeded"}),
    Worry("past due", "balance", BALANCE, {"quota": "unpaid"}),
    Worry("suspended", "balance", BALANCE, {"quota": "blocked"}),
    *(
        Worry(f"balance, {status}", "balance", BALANCE, {"balance": "blocked", "balance_status": status}, billing)
        for status in (401, 402, 403)
        for billing in (False, True)
    ),
)


@contextmanager
def rested(nursery: ForkServer, *strategies: str, vpc: bool = False, **settings: object) -> Iterator[Desk]:
    """A desk with keys at rest, the first of which may be bound to a VPC."""
    with desk(nursery, inside_vpc=True, **settings) as made:
        for number, strategy in enumerate(strategies):
            if vpc and not number:
                made.sandbox.panel_create("bot-0", vpc=True)
                made.add("bot-0", strategy)
            else:
                made.existing(f"bot-{number}", strategy)
        made.run("apply", "--yes")
        time.sleep(1.1)
        made.run("apply", "--yes")
        yield made


def test_a_worry_is_told_by_its_name_and_mints_nothing(nursery: ForkServer) -> None:
    """By smoke, status and apply, in both shapes of errors, each with what to do; then all is well by itself."""

    def work(shape: bool) -> None:
        with rested(nursery, "in-place", "alternating", vpc=True, openai_errors=shape) as made:
            both = made.token, made.sandbox.add_token("", scopes=SCOPES).value
            before = made.mark()
            for worry in WORRIES:
                if not (shape and worry.billing):  # the balance is told by the control API, in one shape only
                    made.token = both[worry.billing]
                    _told(made, worry)
                    assert made.mark() == before, worry.name
            made.run(*NOW)
            assert made.mark() == before
            assert made.leaks() == []

    side_by_side(work, (False, True), 2)


def _told(made: Desk, worry: Worry) -> None:
    made.sandbox.change(**worry.settings)
    for command in (("smoke",), NOW):
        answer = made.run(*command, code=1)
        assert answer.stdout.count(worry.remedy) == 1, (worry.name, command, answer.stdout)
        assert worry.verdict in answer.stdout
    keys = made.json("status", "--verify", code=1)["keys"]
    checks = [key["verdict"] for key in keys]
    assert [one["verdict"] for one in checks] == [worry.verdict] * worry.keys + ["accepted"] * (2 - worry.keys), worry
    assert [key["code"] for key in keys[: worry.keys]] == [worry.verdict] * worry.keys, worry
    made.sandbox.change(**WELL)


def test_a_bare_refusal(nursery: ForkServer) -> None:
    """A 401 that says no more, for whatever reason: what it is taken for, and how many mints it can cost."""

    def work(case: tuple[Callable[[Desk], None], tuple[str, ...]]) -> None:
        with rested(nursery, *case[1]) as made:
            _refuse(made, "models", "chat")
            case[0](made)
            made.sandbox.clear_faults()
            made.sandbox.change(**WELL)
            minted = made.mints()
            made.run(*NOW)
            assert made.mints() == minted
            assert all(made.sandbox.accepts(made.held(key)) for key in made.keys)
            assert made.leaks() == []

    both = ("in-place", "alternating")
    cases = ((_blocked, both), (_every_key, both), (_only_key, both[:1]), (_only_key, both[1:]))
    side_by_side(work, cases, 4)


def _blocked(made: Desk) -> None:
    """While the account is blocked, a token with billing:read tells that it is the balance."""
    before = made.mark()
    made.token = made.sandbox.add_token("", scopes=SCOPES).value
    made.sandbox.change(balance="blocked")
    for command in COMMANDS:
        assert made.run(*command, code=1).stdout.count(BALANCE) == 1, command
    made.token = ""
    assert made.mark() == before


def _every_key(made: Desk) -> None:
    """Without billing:read nothing tells. Two refused keys are taken for the API's doing: the run stops."""
    before = made.mark()
    for command in COMMANDS:
        assert "refuses every key that was checked (2)" in made.run(*command, code=4).stdout
    assert made.mark() == before


def _only_key(made: Desk) -> None:
    """It may be refused for real, so it is healed; but not night after night."""
    before = made.mints()
    assert all(made.run(*NOW, code=None).code in {1, 4} for _ in range(4))
    assert 0 < made.mints() - before <= 2


def test_a_secret_that_the_list_accepts_is_not_replaced(nursery: ForkServer) -> None:
    """A 401 to the completion alone, of every key: the secrets are known to the API, so a new one cannot help."""
    with rested(nursery, "in-place", "alternating") as made:
        before = made.mints()
        _refuse(made, "chat")
        for _ in range(2):
            assert made.run(*NOW, code=None).code != 0
        assert made.mints() == before


def _refuse(made: Desk, *ops: str) -> None:
    """Answer 401 in the words of a refusal, whatever the reason is."""
    for op in ops:
        made.sandbox.arm(op, "error-401", times=None)
