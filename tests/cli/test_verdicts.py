"""What is wrong with the account, the network or the manifest is told by its name, and never healed by a mint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from keyturn.sandbox import SCOPES
from tests.cli.desk import MODEL, Desk, desk

COMMANDS = (("smoke",), ("status", "--verify"), ("apply", "--yes", "--verify"))
BALANCE = "add balance to the account"


@dataclass(frozen=True)
class Worry:
    """What is wrong with the account, and how it has to be told; `billing`: the token may read the balance."""

    verdict: str
    remedy: str
    settings: Mapping[str, object] = field(default_factory=dict)
    billing: bool = False
    vpc: bool = False


WORRIES = {
    "a VPC key": Worry("vpc", "set `smoke.from: skip`, or run inside the VPC", {"inside_vpc": False}, vpc=True),
    "a tier": Worry("tier", "choose another `smoke.model`, or raise the tier", {"tier_denied": (MODEL,)}),
    "a retired model": Worry("model", "change `smoke.model`", {"retired": (MODEL,)}),
    "quota": Worry("quota", "wait until the quota is free again", {"quota": "exceeded"}),
    **{
        f"balance, {status}{', billing:read' if billing else ''}": Worry(
            "balance", BALANCE, {"balance": "blocked", "balance_status": status}, billing
        )
        for status in (402, 403)
        for billing in (False, True)
    },
    "balance, 401, billing:read": Worry("balance", BALANCE, {"balance": "blocked", "balance_status": 401}, True),
    "past due": Worry("balance", BALANCE, {"quota": "unpaid"}),
    "suspended": Worry("balance", BALANCE, {"quota": "blocked"}),
}


@pytest.fixture(params=[False, True], ids=["id and message", "as OpenAI"])
def worried(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Two keys at rest; errors come in one of their two shapes."""
    with desk(openai_errors=request.param, inside_vpc=True) as found:
        yield found


@pytest.mark.parametrize("worry", WORRIES.values(), ids=WORRIES)
def test_a_worry_is_told_by_its_name_and_mints_nothing(worried: Desk, worry: Worry) -> None:
    """By smoke, status and apply, in text and json, each with what to do; and afterwards all is well again."""
    worried.sandbox.panel_create("bot", vpc=worry.vpc)
    worried.add("bot")
    worried.existing("second")
    worried.run("apply", "--yes")
    good = {key: worried.held(key) for key in worried.keys}
    minted = worried.mints()
    if worry.billing:
        worried.token = worried.sandbox.add_token("", scopes=SCOPES).value
    worried.sandbox.change(**worry.settings)
    for command in COMMANDS:
        text = worried.run(*command, code=1).stdout
        assert worry.verdict in text
        assert text.count(worry.remedy) == (1 if worry.vpc else 2), text
        document = worried.json(*command, code=1)
        assert worry.verdict in str(document)
    assert worried.mints() == minted
    worried.sandbox.change(inside_vpc=True, tier_denied=(), retired=(), quota="ok", balance="ok")
    worried.run("apply", "--yes", "--verify")
    assert worried.mints() == minted
    assert good == {key: worried.held(key) for key in worried.keys}
    assert worried.leaks() == []
