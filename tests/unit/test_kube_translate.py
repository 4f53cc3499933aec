"""Custom resources as a desired state: defaults, and refusals that stop no one else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.core.errors import InputError
from keyturn.core.model import AdoptSecret, Delivery, Desired, Strategy, Window
from keyturn.core.reasons import Reason
from keyturn.kube.resources import KeyResource, read
from keyturn.kube.translate import RECORDS, Mistakes, id_of, translate
from keyturn.manifest import fingerprint, load_data
from tests.support.custom_resources import (
    IN_POD,
    PAYMENTS,
    UUID,
    VAULT,
    account,
    around,
    cluster_account,
    key,
    key_object,
    older,
    only,
    translated,
    why,
)


def test_the_shortest_resource() -> None:
    """Its name and its place follow from the namespace and the name; the records are in the operator's namespace."""
    found = translated(cluster_account(), key())
    one = only(found)
    assert (one.id, one.owner, one.name) == ("payments.bot", "team", "payments-bot")
    assert one.deliveries == (Delivery("payments", "bot", "MODEL_ACCESS_KEY"),)
    assert one.rotation.strategy is Strategy.IN_PLACE
    assert one.rotation.every is None
    assert one.adopt is None
    assert found.ids == {PAYMENTS: "payments.bot"}
    assert found.desired is not None
    assert found.desired.records.target == RECORDS
    settings = {target.name: dict(target.settings) for target in found.desired.targets}
    assert settings == {
        "payments": {"namespace": "payments", "writers": {"bot#MODEL_ACCESS_KEY": "bot"}},
        RECORDS: {"namespace": "keyturn-system"},
    }


def test_a_whole_resource() -> None:
    """Every field becomes one of the manifest."""
    whole = key(
        adopt={"secret": "existing", "a": UUID.upper(), "live": "a"},
        rotation={
            "strategy": "alternating",
            "every": "720h",
            "overlap": "1h30m",
            "window": {"cron": "0 2 * * SUN", "duration": "2h"},
        },
        smoke={"model": "m", "api": "responses", "expectModels": ["m", "n"]},
        deliver=[
            {"secret": {"name": "app", "key": "KEY"}},
            {"target": {"name": "vault", "path": "payments/app", "field": "KEY"}},
        ],
    )
    where = cluster_account(targets=[VAULT], limits={"rotationsPerRound": 3}, pool={"prefix": "spare-", "low": 5})
    found = translated(where, whole)
    one = only(found)
    assert one.deliveries == (Delivery("payments", "app", "KEY"), Delivery("account.vault", "payments/app", "KEY"))
    assert (one.rotation.every, one.rotation.overlap) == (timedelta(days=30), timedelta(minutes=90))
    assert one.rotation.window is not None
    assert one.adopt is not None
    assert (one.adopt.secret, one.adopt.a) == (AdoptSecret.EXISTING, UUID)
    assert one.smoke.expect_models == ("m", "n")
    assert one.pool is None  # it names an API key by uuid
    pool = only(translated(where, key())).pool
    assert pool is not None
    assert (pool.prefix, pool.low) == ("spare-", 5)
    assert found.desired is not None
    assert found.desired.rotations_per_run == 3


def test_the_target_of_a_namespace_knows_whom_a_secret_has_to_allow() -> None:
    """By place, since each has one key; that makes no other store of it."""
    places = [
        {"secret": {"name": "app", "key": "A"}},
        {"target": {"name": "vault", "path": "payments/x", "field": "K"}},
    ]
    keys = key(), key("other", deliver=places)
    targets = [
        {one.name: one for one in found.desired.targets}
        for found in (translated(cluster_account(targets=[VAULT]), *some) for some in (keys, keys[:1]))
        if found.desired
    ]
    both, alone = (one["payments"] for one in targets)
    assert both.settings["writers"] == {"bot#MODEL_ACCESS_KEY": "bot", "app#A": "other"}
    assert alone.settings["writers"] == {"bot#MODEL_ACCESS_KEY": "bot"}
    assert both.home == alone.home
    assert "writers" not in targets[0]["keyturn.records"].settings


def test_defaults_of_the_account_are_below_what_a_key_says() -> None:
    """Field by field."""
    window = {"cron": "0 2 * * *", "duration": "2h"}
    rotation = {"strategy": "alternating", "every": "720h", "overlap": "24h", "window": window}
    where = cluster_account(defaults={"adopt": {"secret": "regenerate"}, "rotation": rotation, "smoke": {"model": "d"}})
    own = {"every": "48h", "window": {"duration": "3h"}}
    one = only(translated(where, key(rotation=own, smoke={"api": "responses"})))
    assert one.rotation.window == Window("0 2 * * *", timedelta(hours=3))
    assert (one.rotation.strategy, one.rotation.every) == (Strategy.ALTERNATING, timedelta(days=2))
    assert one.smoke.model == "d"
    assert one.adopt is not None
    assert one.adopt.secret is AdoptSecret.REGENERATE


def test_a_changed_trigger_is_another_entry() -> None:
    """So it rotates once, and unparks the key; without a trigger nothing is asked for."""
    first, second, none = (
        only(translated(cluster_account(), key(rotation=rotation)))
        for rotation in ({"trigger": "leak 1"}, {"trigger": "leak 2"}, {})
    )
    assert len({first.trigger, second.trigger, none.trigger}) == 3
    assert none.trigger == ""
    assert (first.trigger_reason, none.trigger_reason) == ("leak 1", "")
    assert len({first.fingerprint, second.fingerprint, none.fingerprint}) == 3


def test_an_annotation_is_a_trigger_with_its_reason() -> None:
    """It comes before the one of the spec; how a reason is written changes nothing else of the entry."""
    asked = key(metadata={"annotations": {"keyturn.dev/rotate": "INC-42", "other": "x"}}, rotation={"trigger": "old"})
    one, same = (only(translated(cluster_account(), found)) for found in (asked, key(rotation={"trigger": "INC-42"})))
    assert one.trigger_reason == "INC-42"
    assert (one.trigger, one.fingerprint) == (same.trigger, same.fingerprint)
    assert fingerprint(replace(one, trigger_reason="another text")) == one.fingerprint


def test_delete_is_the_consent_of_the_owner() -> None:
    """For this key only."""
    keys = (key(), key("gone", deletionPolicy="Delete"))
    found = translated(cluster_account(), *keys)
    assert found.desired is not None
    assert found.desired.agreed == {"payments.gone"}


def test_ids_are_never_shared() -> None:
    """A long one is a hash without a dot, so no resource can be called like it."""
    long = key("x" * 200)
    assert len(id_of(long)) <= 64
    assert "." not in id_of(long)
    assert id_of(key("b.c", "a")) == "a.b.c"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"name": "shop-bot"}, "outside-policy: the name 'shop-bot' does not begin with 'payments-'"),
        ({"rotation": {"every": "1h"}}, "misconfigured: spec.rotation.every: strategy is required"),
        ({"smoke": {"api": "chat"}}, "misconfigured: spec.smoke.model: is required"),
        (
            {"smoke": {"model": "m", "expectModels": [""]}},
            "misconfigured: spec.smoke.expectModels[0]: may not be empty",
        ),
        ({"name": "payments-${KEYTURN_RECORD_KEY}"}, "misconfigured: spec.name: variables are read only in"),
        ({"deliver": [{"target": {"name": "vault", "path": "payments/x"}}]}, "outside-policy: the account offers no"),
        ({"deliver": [{}]}, "misconfigured: exactly one of secret and target"),
    ],
)
def test_a_bad_resource_stops_no_other(spec: dict[str, Any], wanted: str) -> None:
    """It is refused with a sentence about its own fields; the others are translated."""
    bad, good = key(**spec), key("good")
    found = translated(cluster_account(), bad, good)
    assert why(found).startswith(wanted)
    assert ("payments", "good") in found.ids


def test_several_bad_ones_are_each_found() -> None:
    """Among many good ones."""
    bad = {("payments", f"bad{number}") for number in (0, 3, 4)}
    keys = [key(name, rotation={"every": "1h"}) for _, name in sorted(bad)] + [key(f"good{n}") for n in range(6)]
    found = translated(cluster_account(), *keys)
    assert found.refused.keys() == bad
    assert len(found.ids) == 6


def test_suspended_and_retained_keys_are_left_alone() -> None:
    """They are no part of the desired state, are not refused, and keep what they have."""
    deleted = {"deletionTimestamp": "2026-11-29T00:00:00Z"}
    idle = older(suspend=True, name="payments-one")
    gone = key("gone", metadata=deleted)
    found = translated(cluster_account(), idle, gone, key(name="payments-one"))
    assert found.suspended == {("payments", "older")}
    assert found.retained == {("payments", "gone")}
    assert found.refused.keys() == {PAYMENTS}
    assert found.ids == {}


def test_a_deleted_key_with_the_policy_delete_is_absent() -> None:
    """Its API keys go, and its deliveries are emptied."""
    found = key(metadata={"deletionTimestamp": "2026-11-29T00:00:00Z"}, deletionPolicy="Delete", suspend=True)
    one = only(translated(cluster_account(), found))
    assert one.absent
    assert not one.retain


def test_a_bad_target_is_a_problem_of_the_account() -> None:
    """No key is blamed for it."""
    found = translated(cluster_account(targets=[{**VAULT, "settings": {}}]), key())
    assert found.desired is None
    assert found.problem is not None
    assert found.problem.code is Reason.MISCONFIGURED
    assert found.problem.why == "spec.targets.vault.address: is required"
    assert found.refused == {}


def test_two_accounts_of_one_name_have_different_records() -> None:
    """The owner of a namespaced one has its namespace."""
    assert only(translated(account("payments"), key())).owner == "payments/own"


def test_a_resource_that_does_not_fit_is_refused_by_field() -> None:
    """Its values are not repeated."""
    wrong = key_object()
    wrong["spec"] |= {"deletionPolicy": "sk-do-secret", "suspend": "sk-do-secret"}
    with pytest.raises(InputError, match=r"spec\.suspend.*spec\.deletionPolicy") as caught:
        read(KeyResource, wrong)
    assert "sk-do" not in str(caught.value)


def test_a_mistake_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the resource or its account changes; what is right or gone is forgotten."""
    loads: list[int] = []

    def counted(*given: Any) -> Desired:  # noqa: ANN401 - what load_data takes
        loads.append(len(given[0]["keys"]))
        return load_data(*given)

    monkeypatch.setattr(f"{translate.__module__}.load_data", counted)

    def again(*keys: KeyResource, generation: int = 1) -> tuple[set[str], list[int]]:
        loads.clear()
        plain = cluster_account()
        metadata = plain.metadata.model_copy(update={"generation": generation})
        where = plain.model_copy(update={"metadata": metadata})
        found = translate(where, keys, around(*keys), "keyturn-system", IN_POD, mistakes=mistakes)
        return {name for _, name in found.refused}, loads

    mistakes: Mistakes = {}
    bad = [key(f"bad{number}", smoke={"api": "chat"}) for number in range(3)]
    good, wrong = key("good"), {"bad0", "bad1", "bad2"}
    assert again(*bad, good)[0] == wrong
    assert again(*bad, good) == (wrong, [0, 1])
    assert again(*bad, good, generation=2)[0] == wrong
    assert max(loads) == 4
    righted = key("bad0", metadata={"generation": 2})
    assert again(righted, *bad[1:], good, generation=2) == ({"bad1", "bad2"}, [0, 2])
    assert again(good, generation=2) == (set(), [0, 1])
    assert mistakes == {}
