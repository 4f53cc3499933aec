"""What the operator keeps of what its watches tell, and which changes mark a key."""

from __future__ import annotations

from typing import Any

import pytest

from keyturn.core.model import SlotName
from keyturn.kube.cache import Cache, Changed, account_of, written_by_us
from keyturn.kube.resources import ACCOUNT, CLUSTER_ACCOUNT
from keyturn.kube.tenants import SecretFacts
from tests.support.custom_resources import UUID, cluster_account_object, key, key_object

BOT, TEAM = ("payments", "bot"), ("", "team")
MARKED = Changed("team", ("payments.bot",))


class Heard(list[Changed]):
    """What a cache told."""

    def __call__(self, what: Changed) -> None:
        """Note it."""
        self.append(what)

    def taken(self) -> list[Changed]:
        """Return it, once."""
        found = list(self)
        self.clear()
        return found


@pytest.fixture
def heard() -> Heard:
    """What was told."""
    return Heard()


@pytest.fixture
def cache(heard: Heard) -> Cache:
    """One key of one account."""
    found = Cache(heard)
    found.account(CLUSTER_ACCOUNT, TEAM, cluster_account_object())
    found.key(BOT, changed())
    heard.clear()
    return found


def changed(version: int = 5, *, status: dict[str, Any] | None = None, **metadata: object) -> dict[str, Any]:
    """Return the key with other metadata."""
    found = key_object()
    found["metadata"] |= {"uid": "1", "resourceVersion": str(version), **metadata}
    return found | ({"status": status} if status else {})


def test_it_keeps_little(cache: Cache) -> None:
    """No field managers, and no annotations of others."""
    written = {"keyturn.dev/rotate": "x" * 250_000, "keyturn.dev/note": "y" * 250_000, "kubectl": "z" * 1000}
    cache.key(BOT, changed(6, annotations=written, managedFields=[{"manager": "m"}]))
    found = cache.key_now(BOT)
    assert found is not None
    assert found.metadata.annotations == {"keyturn.dev/rotate": "x" * 1024}
    assert "managed" not in str(found.model_dump())


@pytest.mark.parametrize(
    "metadata",
    [{"generation": 2}, {"annotations": {"keyturn.dev/rotate": "now"}}, {"deletionTimestamp": "2026-11-29T12:00:00Z"}],
    ids=["spec", "annotation", "deletion"],
)
def test_what_others_change_marks_the_key(cache: Cache, heard: Heard, metadata: dict[str, Any]) -> None:
    """And the account is translated again."""
    before = cache.view("team").version
    cache.key(BOT, changed(6, **metadata))
    assert heard.taken() == [MARKED]
    assert cache.view("team").version > before


@pytest.mark.parametrize("name", ["keyturn.dev/note", "keyturn.dev/release", "keyturn.dev/rotated"])
def test_an_annotation_that_asks_a_key_for_nothing_marks_nothing(cache: Cache, heard: Heard, name: str) -> None:
    """Otherwise its owner could let the whole account be listed again and again."""
    before = cache.view("team").version
    cache.key(BOT, changed(6, annotations={name: "1"}))
    assert heard.taken() == []
    assert cache.view("team").version == before


@pytest.mark.parametrize("name", ["keyturn.dev/note", "keyturn.dev/rotate"])
def test_an_annotation_that_asks_an_account_for_nothing_wakes_nobody(cache: Cache, heard: Heard, name: str) -> None:
    """Only a release does."""
    before = cache.view("team").version
    whole = cluster_account_object()
    whole["metadata"]["annotations"] = {name: "1"}
    cache.account(CLUSTER_ACCOUNT, TEAM, whole)
    assert heard.taken() == []
    assert cache.view("team").version == before


def test_a_status_marks_nothing(cache: Cache, heard: Heard) -> None:
    """But which API keys a key has is a matter of the rules."""
    before = cache.view("team").version
    cache.key(BOT, changed(6, status={"live": "a"}))
    assert heard.taken() == []
    assert cache.view("team").version == before
    api_keys = [{"slot": SlotName.A.value, "name": "payments-bot-a", "uuid": UUID}]
    cache.key(BOT, changed(7, status={"live": "a", "apiKeys": api_keys}))
    assert heard.taken() == []
    assert cache.view("team").version > before


def test_an_answer_to_a_write_does_not_undo_what_the_watch_told(cache: Cache) -> None:
    """The newer one stays."""
    cache.key(BOT, changed(9, generation=3))
    cache.key(BOT, changed(8, generation=2), ours=True)
    found = cache.key_now(BOT)
    assert found is not None
    assert found.metadata.generation == 3
    cache.key(("payments", "gone"), changed(8), ours=True)
    assert cache.key_now(("payments", "gone")) is None


def test_a_key_that_goes_is_forgotten(cache: Cache, heard: Heard) -> None:
    """And an account with it, if there is none."""
    cache.account(CLUSTER_ACCOUNT, TEAM, None)
    assert cache.owners() == {"team"}
    heard.clear()
    cache.key(BOT, None)
    assert heard.taken() == [MARKED]
    assert cache.owners() == frozenset()
    cache.key(BOT, None)
    assert heard.taken() == []


def test_a_key_that_is_made_again_may_have_another_account(cache: Cache) -> None:
    """It is in one of them only."""
    other = changed(8, uid="2")
    other["spec"]["accountRef"] = {"kind": ACCOUNT, "name": "own"}
    cache.key(BOT, other)
    assert cache.view("team").keys == {}
    assert list(cache.view("payments/own").keys) == [BOT]


def test_an_account_marks_its_keys_if_its_spec_changes(cache: Cache, heard: Heard) -> None:
    """An annotation only wakes it."""
    whole = cluster_account_object()
    whole["metadata"]["annotations"] = {"keyturn.dev/release": "rotations=2"}
    cache.account(CLUSTER_ACCOUNT, TEAM, whole)
    assert heard.taken() == [Changed("team", account=True)]
    whole = cluster_account_object(namePrefix="x-")
    whole["metadata"]["generation"] = 2
    cache.account(CLUSTER_ACCOUNT, TEAM, whole)
    assert heard.taken() == [Changed("team", ("payments.bot",), account=True)]


def test_the_labels_of_a_namespace_mark_its_keys(cache: Cache, heard: Heard) -> None:
    """They say which accounts it may use."""
    space = {"metadata": {"name": "payments", "labels": {"keyturn": "yes"}}}
    for expected in ([MARKED], []):
        cache.namespace(("", "payments"), space)
        assert heard.taken() == expected
    cache.namespace(("", "shop"), {"metadata": {"name": "shop"}})
    assert heard.taken() == []
    assert cache.view("team").namespaces == {"payments": {"keyturn": "yes"}, "shop": {}}


def secret(manager: str, *, at: str = "2026-11-29T12:00:01Z") -> dict[str, Any]:
    """Return a Secret that keyturn made, and that someone changed at this moment."""
    first = {"manager": "keyturn", "time": "2026-11-29T12:00:00Z"}
    return {"metadata": {"managedFields": [first, {"manager": manager, "time": at}]}}


def test_a_secret_that_others_change_is_verified(cache: Cache, heard: Heard) -> None:
    """A write of our own needs no second look; what is gone always does."""
    place, verify = ("payments", "bot"), Changed("team", ("payments.bot",), verify=True)
    cache.secret(place, secret("keyturn-0a1b2c3d"))
    assert heard.taken() == []
    cache.secret(place, secret("kubectl"))
    assert heard.taken() == [verify]
    assert cache.facts(place) == SecretFacts()
    cache.secret(place, None)
    assert heard.taken() == [verify]
    assert cache.facts(place) is None
    cache.secret(("payments", "other"), secret("kubectl"))
    assert heard.taken() == []


def test_who_wrote_last_is_told_by_the_field_managers() -> None:
    """In the same second it was not us alone."""
    assert written_by_us(secret("keyturn"))
    assert not written_by_us(secret("kubectl", at="2026-11-29T12:00:00Z"))
    assert not written_by_us({"metadata": {}})


@pytest.mark.parametrize(
    "manager", ["keyturn-ui", "keyturned", "keyturn-0a1b2c3d4e", "keyturn-", "Keyturn", "keyturn\n"]
)
def test_a_client_with_a_name_like_ours_is_another_one(manager: str) -> None:
    """Its change of a Secret is looked at."""
    assert not written_by_us(secret(manager))
    assert written_by_us(secret("keyturn-0a1b2c3d"))


def test_what_cannot_be_read_is_named(cache: Cache) -> None:
    """And what was known of it stays."""
    broken = changed(6)
    del broken["spec"]["accountRef"]
    cache.key(BOT, broken)
    assert "accountRef" in cache.unread["ModelAccessKey", BOT]
    assert cache.key_now(BOT) is not None
    cache.key(BOT, changed(7))
    assert cache.unread == {}


def test_the_account_of_a_key() -> None:
    """A namespaced one is that of the key's namespace."""
    assert account_of(key()) == "team"
    assert account_of(key(accountRef={"name": "team"})) == "payments/team"
