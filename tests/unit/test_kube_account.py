"""What is written of a round: what differs, once; the finalizer; a release that is used once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired, SlotName, Strategy
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus, PoolState
from keyturn.core.rounds import Release
from keyturn.core.secret import Secret
from keyturn.engine.rounds import Told
from keyturn.kube.account import KubeAccount, Setting
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache
from keyturn.kube.resources import CLUSTER_ACCOUNT
from keyturn.kube.tenants import Name, SecretFacts
from tests.support.custom_resources import IN_POD, UUID, cluster_account_object, key_object

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
BOT, TEAM = ("payments", "bot"), ("", "team")
FINALIZER = ["keyturn.dev/keys"]


class FakeApi(Api):
    """Stores what is patched, as the API server would, and counts it."""

    def __init__(self) -> None:
        self.objects: dict[Name, dict[str, Any]] = {}
        self.patches: list[tuple[Name, str]] = []
        self.events: list[str] = []
        self.conflicts = 0
        self.refused: set[Name] = set()

    def facts(self, name: Name) -> SecretFacts | None:
        """Return that there is none."""
        return None

    def token(self, name: Name, key: str) -> Secret:
        """Return a token."""
        return Secret("dop_v1_x")

    def patch(self, kind: str, name: Name, body: Mapping[str, object], part: str = "") -> Mapping[str, object] | None:
        """Merge, and raise the version."""
        if name in self.refused:
            raise KeyturnError("could not write modelaccesskeys", evidence="status 422")
        if self.conflicts:
            self.conflicts -= 1
            return None
        found = self.objects[name]
        wanted = body.get("metadata", {})
        assert isinstance(wanted, dict)
        if wanted.get("resourceVersion", found["metadata"]["resourceVersion"]) != found["metadata"]["resourceVersion"]:
            return None
        self.patches.append((name, part))
        merged = _merged(found, body)
        merged["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)
        self.objects[name] = merged
        return merged

    def event(self, namespace: str, body: Mapping[str, object]) -> None:
        """Note its reason."""
        self.events.append(str(body["reason"]))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name, {}), value) if isinstance(value, dict) else value
    return found


class Stage:
    """An account with one key, as an operator has it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.cache, self.api = Cache(lambda _: None), FakeApi()
        self.cache.namespace(("", "payments"), {"metadata": {"name": "payments"}})
        self.put(TEAM, cluster_account_object())
        self.put(BOT, key_object())
        setting = Setting(IN_POD, "keyturn-system", "https://kubernetes.default.svc", "pod-a", lambda: NOW, self.say)
        self.account = KubeAccount("team", self.cache, self.api, setting, lambda: True)

    def say(self, text: str) -> None:
        """Note it."""
        self.said.append(text)

    def put(self, name: Name, whole: dict[str, Any], **metadata: object) -> None:
        """Store an object, and let the watch tell of it."""
        version = int(
            self.api.objects.get(name, {"metadata": {"resourceVersion": "10"}})["metadata"]["resourceVersion"]
        )
        whole["metadata"] |= {"uid": f"uid-{name[1]}", "resourceVersion": str(version + 1), **metadata}
        self.api.objects[name] = whole
        self.heard(name)

    def change(self, name: Name, **metadata: object) -> None:
        """Change the metadata of an object."""
        found = self.api.objects[name]
        self.put(name, {**found, "metadata": {**found["metadata"]}}, **metadata)

    def heard(self, name: Name) -> None:
        """Let the watch tell of an object."""
        if name == TEAM:
            self.cache.account(CLUSTER_ACCOUNT, name, self.api.objects[name])
        else:
            self.cache.key(name, self.api.objects[name])

    def desired(self) -> Desired:
        """Translate."""
        return self.account.desired()

    def tell(self, *keys: KeyStatus, **more: Any) -> None:  # noqa: ANN401 - fields of Told
        """Translate, and tell of a round."""
        self.desired()
        self.account.tell(Told(NOW, NOW, keys, **more))

    def finalizers(self) -> object:
        """Return those of the key."""
        return self.api.objects[BOT]["metadata"].get("finalizers", [])


@pytest.fixture
def stage() -> Stage:
    """A new one."""
    return Stage()


def shown(code: Reason = Reason.AT_REST, why: str = "", **more: Any) -> KeyStatus:  # noqa: ANN401 - fields of KeyStatus
    """Return the status of the key, which has an API key."""
    end = End(code, why)
    base: dict[str, Any] = {
        "live": SlotName.A,
        "uuids": ((SlotName.A, UUID),),
        "generation": 1,
        "conditions": (end,),
    }
    return KeyStatus("payments.bot", "payments-bot", end.condition, why, Strategy.IN_PLACE, code, **{**base, **more})


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


def test_the_finalizer_comes_with_an_api_key_and_the_policy_delete(stage: Stage) -> None:
    """And goes with the policy."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown(Reason.HAND_OFF, live=None, uuids=(), generation=0))
    assert stage.finalizers() == []
    stage.tell(shown())
    assert stage.finalizers() == FINALIZER
    stage.tell(shown())
    assert stage.api.patches.count((BOT, "")) == 1
    stage.put(BOT, {**stage.api.objects[BOT], "spec": key_object()["spec"]}, generation=3)
    stage.tell(shown())
    assert stage.finalizers() == []


def test_the_finalizer_goes_when_the_api_keys_are_gone(stage: Stage) -> None:
    """Those of others stay."""
    stage.put(BOT, key_object(deletionPolicy="Delete"), finalizers=[*FINALIZER, "others/one"])
    stage.tell(shown())
    stage.change(BOT, deletionTimestamp="2026-11-29T11:00:00Z")
    stage.tell(shown())
    assert FINALIZER[0] in str(stage.finalizers())
    stage.tell(shown(Reason.ABSENT, live=None, uuids=(), generation=0))
    assert stage.finalizers() == ["others/one"]


def test_a_finalizer_that_meets_a_change_is_tried_again(stage: Stage) -> None:
    """The key is marked."""
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.tell(shown())
    stage.change(BOT, finalizers=[])
    marks: list[object] = []
    stage.account._rounds.mark = lambda keys, **_: marks.append(tuple(keys))  # type: ignore[method-assign]
    stage.desired()
    stage.api.conflicts = 1
    stage.account.tell(Told(NOW, NOW, ()))
    assert marks == [("payments.bot",)]


def test_a_key_that_takes_no_write_holds_up_no_other_one(stage: Stage) -> None:
    """The others and the account are written, and it is tried again after pauses that grow, until it is written."""
    ill = ("aaa", "ill")
    stage.put(ill, key_object("ill", "aaa"), finalizers=FINALIZER)  # the namespace is not there: refused
    stage.put(BOT, key_object(deletionPolicy="Delete"))
    stage.api.refused = {ill}
    pauses = []
    for _ in range(8):
        stage.tell(shown())
        (again,) = stage.account._reporter.retries
        pauses.append((again - NOW).total_seconds())
        assert stage.account._reporter.late(again - timedelta(seconds=1)) == ()
        assert stage.account._reporter.late(again) == ("aaa.ill",)
        assert stage.account._reporter.late(again) == ()
    assert stage.finalizers() == FINALIZER
    assert {(BOT, "status"), (TEAM, "status")} <= set(stage.api.patches)
    assert pauses[:3] == [15, 30, 60]
    assert pauses[-1] == 600
    stage.api.refused = set()
    stage.tell(shown())
    assert stage.api.objects[ill]["metadata"]["finalizers"] == []
    stage.api.refused = {ill}
    stage.put(ill, {**stage.api.objects[ill]}, generation=2)
    stage.tell(shown())
    assert stage.account._reporter.retries == (NOW + timedelta(seconds=15),)


def test_a_wait_ends_when_a_write_is_tried_again(stage: Stage) -> None:
    """Then the key is marked."""
    stage.api.refused = {BOT}
    stage.tell(shown())
    later = NOW + timedelta(seconds=15)
    stage.account._setting = replace(stage.account._setting, now=lambda: later)
    marks: list[object] = []

    def mark(keys: Iterable[str], **_: object) -> None:
        marks.append(tuple(keys))
        stage.account.stop()

    stage.account._rounds.mark = mark  # type: ignore[method-assign]
    stage.account._rounds.step = lambda: later + timedelta(hours=1)  # type: ignore[method-assign]
    stage.account.wait(later + timedelta(hours=1))
    stage.account.run()
    assert marks == [("payments.bot",)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("rotations=904", (904, 0, 0, 0)),
        ("deletes=2 removals=30,unproven=1", (0, 2, 30, 1)),
        ("everything", (0, 0, 0, 0)),
    ],
)
def test_a_release_has_numbers(stage: Stage, text: str, numbers: tuple[int, ...]) -> None:
    """A text without any allows nothing."""
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
