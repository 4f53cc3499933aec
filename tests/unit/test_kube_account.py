"""What is written of a round: what differs, once; a release that is used once."""

from __future__ import annotations

import pytest

from keyturn.core.model import Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus, PoolState
from keyturn.core.rounds import Release
from keyturn.kube import account
from tests.support.custom_resources import cluster_account_object
from tests.support.staged_account import BOT, NOW, TEAM, Stage, shown


class NoWorld:
    """A world of which nobody asks anything."""

    def close_targets(self) -> None:
        """There are none."""


@pytest.fixture
def stage() -> Stage:
    """A new one."""
    return Stage()


def test_what_is_there_is_not_written_again(stage: Stage) -> None:
    """One patch and one Event of each; then none, whatever other round comes."""
    stage.tell(shown())
    assert stage.api.patches == [(BOT, "status"), (TEAM, "status")]
    assert stage.api.events == ["AtRest", "AtRest"]
    for _ in range(3):
        stage.tell(shown())
    stage.tell()
    assert len(stage.api.patches) == 2
    assert len(stage.api.events) == 2


def test_of_what_a_stop_cut_short_nothing_is_told(stage: Stage) -> None:
    """Otherwise each restart would turn health checks red."""
    stage.tell(shown())
    stage.tell(shown(Reason.INTERRUPTED, "Not started, because a signal asked to stop."))
    assert len(stage.api.patches) == 2
    stage.account.stop()
    stage.tell(failed=End(Reason.NO_ANSWER, "no answer"), trouble="no answer")
    assert len(stage.api.patches) == 2


def test_who_lost_the_lease_tells_nothing(stage: Stage) -> None:
    """The one that has it now has looked since, and nobody would look again at what is written over its status."""
    stage.tell(shown(Reason.REFUSED, "the API refuses it"))
    before = list(stage.api.patches)
    stage.held = False
    stage.tell(shown())
    stage.tell(failed=End(Reason.NO_ANSWER, "no answer"), trouble="no answer")
    assert stage.api.patches == before
    stage.held = True
    stage.tell(shown())
    assert len(stage.api.patches) > len(before)


def test_who_lost_the_lease_begins_nothing_more(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it wants may be old by then, and what it would mint is minted in vain."""
    monkeypatch.setattr(account, "open_world", lambda *_, **__: NoWorld())
    with stage.account.open(stage.desired()) as runner:
        assert not runner._stopping()
        stage.held = False
        assert runner._stopping()


def test_what_was_not_told_is_looked_at_again(stage: Stage) -> None:
    """A Lease that ran out may come back before another one takes it, and the round was done all the same."""
    stage.account._rounds.step()
    assert not stage.account._rounds._marks
    stage.held = False
    stage.tell(shown())
    assert [keys for keys, _ in stage.account._rounds._marks] == [(shown().key,)]


def test_trouble_of_the_account_is_told_of_new_keys_only(stage: Stage) -> None:
    """A server that is away for a minute changes no status that was good, and stalls nothing."""
    away = End(Reason.NO_ANSWER, "no answer")
    stage.tell(failed=away, trouble=away.why)
    found = {one["type"]: one for one in stage.api.objects[BOT]["status"]["conditions"]}
    assert (found["Ready"]["status"], found["Ready"]["reason"]) == ("False", "NoAnswer")
    assert found["Stalled"]["status"] == "False"
    assert "nothing is done with the account team: no answer" in found["Ready"]["message"]
    stage.tell(shown())
    before = stage.api.objects[BOT]
    stage.tell(failed=away, trouble=away.why)
    assert stage.api.objects[BOT] == before
    assert stage.account.trouble == "no answer"


def test_a_stop_stays_until_its_keys_were_looked_at_again(stage: Stage) -> None:
    """A round about other keys says nothing of it."""

    def reason() -> str:
        conditions = stage.api.objects[TEAM]["status"]["conditions"]
        return str(next(one["reason"] for one in conditions if one["type"] == "Ready"))

    stage.tell(shown(Reason.RUN_STOPPED), stop=End(Reason.ALL_REFUSED, "all are refused"))
    assert reason() == "AllRefused"
    stage.tell()
    assert reason() == "AllRefused"
    stage.tell(shown())
    assert reason() == "AtRest"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("rotations=904", (904, 0, 0, 0)),
        ("deletes=2 removals=30,unproven=1", (0, 2, 30, 1)),
        ("everything", (0, 0, 0, 0)),
        ("norotations=40 rotations=1234567 deletes=2x removals=-1,unproven=3", (0, 0, 0, 3)),
    ],
)
def test_a_release_has_numbers(stage: Stage, text: str, numbers: tuple[int, ...]) -> None:
    """A text without any allows nothing, and a word counts as a whole or not at all."""
    assert stage.account.release() is None
    stage.change(TEAM, annotations={"keyturn.dev/release": text})
    found = stage.account.release()
    assert found is not None
    assert (found.rotations, found.deletes, found.allowed.removals, found.allowed.unproven) == numbers


def test_a_release_is_spent_once(stage: Stage) -> None:
    """At exactly the version that was seen; then it is gone."""
    stage.change(TEAM, annotations={"keyturn.dev/release": "rotations=2", "other": "stays"})
    seen = stage.account.release()
    assert seen is not None
    assert stage.account.spend(seen)
    assert stage.account.release() is None
    assert stage.api.objects[TEAM]["metadata"]["annotations"] == {"other": "stays"}
    assert not stage.account.spend(seen)
    assert stage.api.events == ["Released"]


def test_a_release_that_meets_a_change_is_not_used(stage: Stage) -> None:
    """Another process may have used it."""
    stage.change(TEAM, annotations={"keyturn.dev/release": "rotations=2"})
    seen = stage.account.release()
    assert seen is not None
    stage.api.objects[TEAM]["metadata"]["resourceVersion"] = "99"
    assert not stage.account.spend(seen)
    assert not stage.account.spend(Release("another"))


def test_spares_are_counted_for_the_whole_account(stage: Stage) -> None:
    """A round about some keys does not know how many others want one."""
    stage.put(TEAM, cluster_account_object(pool={"prefix": "spare-", "low": 1}), generation=2)
    waits = End(Reason.HAND_OFF, "waits", make=("payments-bot",), since=NOW)
    none = KeyStatus(
        "payments.bot", "payments-bot", Condition.ACTION_NEEDED, "waits", Strategy.IN_PLACE, Reason.HAND_OFF,
        conditions=(waits,), make=waits.make,
    )  # fmt: skip
    stage.tell(none, pools=(PoolState("spare-", 2, 1, 1),))
    stage.tell(pools=(PoolState("spare-", 2, 1, 0),))
    assert stage.account.pools == (PoolState("spare-", 2, 1, 1),)
