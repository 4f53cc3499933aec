"""Custom resources as a desired state: defaults, walls between tenants, and refusals that stop no one else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.core.errors import InputError
from keyturn.core.model import AdoptSecret, Delivery, DesiredKey, Strategy, Window
from keyturn.core.reasons import Reason
from keyturn.kube.resources import Account, KeyResource, read
from keyturn.kube.tenants import ALLOW, SecretFacts, Surroundings
from keyturn.kube.translate import RECORDS, Translated, id_of, translate
from keyturn.manifest.violations import api_names
from keyturn.targets.kubernetes import MANAGED
from tests.support.custom_resources import IN_POD, account, around, cluster_account, key, key_object

UUID = "0f0c3a6e-5b0e-4c0e-9d6b-3f6f1f9c2a10"
PAYMENTS = ("payments", "bot")
VAULT = {
    "name": "vault",
    "type": "vault",
    "settings": {"address": "http://127.0.0.1:8200"},
    "pathPrefix": "{namespace}/",
}


FIELDS = (
    st.sampled_from(["", "payments-a", "payments-a-b", "payments-b", "shop-a"]),
    st.sampled_from(["in-place", "alternating"]),
    st.sampled_from(["", "1h", "720h"]),
    st.sampled_from(["", "vault", "again", "no"]),
    st.sampled_from(["", "K", "L"]),
)


def made(name: str, called: str, strategy: str, every: str, target: str, field: str) -> KeyResource:
    """Return a resource from random parts; it may well be wrong."""
    rotation = {"strategy": strategy, "every": every} if every else {"strategy": strategy}
    place = {"name": target, "path": "payments/x", **({"field": field} if field else {})}
    deliver = [{"target": place}] if target else [{"secret": {"name": "app", "key": field or "M"}}]
    return key(name, name=called, rotation=rotation, deliver=deliver)


def translated(where: Account, *keys: KeyResource, beside: Surroundings | None = None) -> Translated:
    """Translate as the operator in the namespace keyturn-system does."""
    return translate(where, keys, beside or around(*keys), "keyturn-system", IN_POD)


def only(found: Translated) -> DesiredKey:
    """Return the one key, which was not refused."""
    assert found.problem is None
    assert found.refused == {}
    assert found.desired is not None
    (one,) = found.desired.keys
    return one


def why(found: Translated, name: tuple[str, str] = PAYMENTS) -> str:
    """Return why a resource is refused; every other one is part of the desired state."""
    assert found.desired is not None
    assert {one.id for one in found.desired.keys} == set(found.ids.values())
    assert name not in found.ids
    return f"{found.refused[name].code}: {found.refused[name].why}"


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
    assert settings == {"payments": {"namespace": "payments"}, RECORDS: {"namespace": "keyturn-system"}}


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
    assert one.pool is not None
    assert (one.pool.prefix, one.pool.low) == ("spare-", 5)
    assert found.desired is not None
    assert found.desired.rotations_per_run == 3


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
    assert len({first.fingerprint, second.fingerprint, none.fingerprint}) == 3


def test_ids_are_never_shared() -> None:
    """A long one is a hash without a dot, so no resource can be called like it."""
    long = key("x" * 200)
    assert len(id_of(long)) <= 64
    assert "." not in id_of(long)
    assert id_of(key("b.c", "a")) != id_of(key("c", "a.b".replace(".", "-")))


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


def test_a_namespace_has_to_be_allowed() -> None:
    """By its labels; a namespace that is not known is not allowed."""
    expressions = [{"key": "env", "operator": "NotIn", "values": ["test"]}]
    selector = {"matchLabels": {"keyturn": "team"}, "matchExpressions": expressions}
    where = cluster_account(allowedNamespaces=selector)
    one = key()
    for labels, allowed in (
        ({"keyturn": "team"}, True),
        ({"keyturn": "team", "env": "test"}, False),
        ({"keyturn": "other"}, False),
    ):
        beside = replace(around(one), namespaces={"payments": labels})
        assert (PAYMENTS in translated(where, one, beside=beside).ids) == allowed
    assert "does not allow the namespace" in why(translated(where, one, beside=replace(around(one), namespaces={})))


@pytest.mark.parametrize(
    ("operator", "values", "labels", "met"),
    [
        ("In", ["a", "b"], {"x": "b"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {}, True),
        ("Exists", [], {"x": ""}, True),
        ("Exists", [], {}, False),
        ("DoesNotExist", [], {}, True),
        ("DoesNotExist", [], {"x": "a"}, False),
    ],
)
def test_selectors_mean_what_they_mean_in_kubernetes(
    operator: str, values: list[str], labels: dict[str, str], met: bool
) -> None:
    """Each operator."""
    requirement = {"key": "x", "operator": operator, "values": values}
    selector = cluster_account(allowedNamespaces={"matchExpressions": [requirement]}).spec.allowed_namespaces
    assert selector.selects(labels) is met


def test_a_namespaced_account_is_for_its_own_namespace() -> None:
    """Without a prefix of its own, names begin with the namespace, and others may be chosen."""
    own = account("payments")
    assert only(translated(own, key())).name == "payments-bot"
    assert only(translated(own, key(name="bot"))).name == "bot"
    assert translated(own, key()).desired is not None
    assert "does not allow the namespace shop" in why(translated(own, key("bot", "shop")), ("shop", "bot"))


def test_the_prefix_binds_api_keys_whatever_they_are_called_in_the_resource() -> None:
    """An API key that is adopted by uuid has to have a name within the prefix, or be a spare."""
    where = cluster_account(pool={"prefix": "spare-"})
    one = only(translated(where, key(adopt={"secret": "regenerate", "a": UUID})))
    assert one.permit is not None
    assert one.permit.refusal("payments-old") == ""
    assert one.permit.refusal("spare-1") == ""
    assert "namePrefix of the account team" in one.permit.refusal("shop-bot")
    assert only(translated(account(), key())).permit is None


def test_a_prefix_within_a_prefix_belongs_to_the_longer_one() -> None:
    """The namespace `a` cannot name, or adopt by uuid, what may be that of the namespace `a-b`."""
    inner, outer = key("x", "a-b"), key("b-x", "a")
    beside = around(inner, outer, namespaces=("a", "a-b"))
    found = translated(cluster_account(), outer, inner, beside=beside)
    assert "begins with the prefix of another namespace" in why(found, ("a", "b-x"))
    assert ("a-b", "x") in found.ids
    adopting = key("x", "a", adopt={"secret": "existing", "a": UUID})
    found = translated(cluster_account(), adopting, beside=around(adopting, namespaces=("a", "a-b")))
    assert "may not be adopted by uuid" in why(found, ("a", "x"))
    assert only(translated(cluster_account(), adopting, beside=around(adopting, namespaces=("a", "b")))).adopt


def test_a_path_in_a_target_of_the_account_has_a_prefix() -> None:
    """That of the namespace."""
    where = cluster_account(targets=[VAULT])
    place = {"name": "vault", "path": "shop/app", "field": "K"}
    assert "has to begin with 'payments/'" in why(translated(where, key(deliver=[{"target": place}])))


@pytest.mark.parametrize(
    ("there", "allowed"),
    [
        (None, True),
        (SecretFacts(labels=MANAGED), True),
        (SecretFacts(), False),
        (SecretFacts(annotations={ALLOW: "bot"}), True),
        (SecretFacts(annotations={ALLOW: "other, bot"}), True),
        (SecretFacts(annotations={ALLOW: "bot2"}), False),
        (SecretFacts(labels={"app.kubernetes.io/managed-by": "Helm"}), False),
    ],
)
def test_only_secrets_of_ours_are_written(there: SecretFacts | None, allowed: bool) -> None:
    """Anyone who may write resources but no Secrets must not write to any Secret through us."""
    one = key()
    found = translated(cluster_account(), one, beside=replace(around(one), secrets={PAYMENTS: there}))
    if allowed:
        only(found)
    else:
        assert why(found).startswith("field-in-use: the Secret bot exists, and keyturn did not make it")


def test_a_secret_that_was_not_looked_at_is_not_written() -> None:
    """It may be anyone's."""
    one = key()
    found = translated(cluster_account(), one, beside=replace(around(one), secrets={}))
    assert why(found) == "unreadable: the Secret bot could not be looked at"


def older(**spec: Any) -> KeyResource:  # noqa: ANN401 - fields of a spec
    """Return a resource that was there before the others."""
    return key("older", metadata={"creationTimestamp": "2026-01-01T00:00:00Z"}, **spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "payments-one"},
        {"adopt": {"secret": "existing", "a": UUID}},
        {"deliver": [{"secret": {"name": "one"}}]},
    ],
)
def test_of_two_that_want_the_same_the_older_gets_it(spec: dict[str, Any]) -> None:
    """An API key of one name, an API key of one uuid, a key of a Secret."""
    found = translated(cluster_account(), key(**spec), older(**spec))
    assert why(found).startswith("claimed: ")
    assert "belongs to the ModelAccessKey older" in why(found)
    assert found.refused.keys() == {PAYMENTS}


def test_what_a_key_has_it_keeps() -> None:
    """An older resource that is renamed, or adopts by uuid, does not push it out."""
    has = {"apiKeys": [{"slot": "a", "name": "payments-bot", "uuid": UUID}]}
    for taker in (older(name="payments-bot"), older(adopt={"secret": "regenerate", "a": UUID.upper()})):
        found = translated(cluster_account(), taker, key(status=has))
        assert PAYMENTS in found.ids
        assert why(found, ("payments", "older")).startswith("claimed: the API key")


def test_a_key_that_is_refused_still_has_its_api_keys() -> None:
    """Those of a namespace that is not allowed any more, for example; a stranger's name is not told."""
    has = {"apiKeys": [{"slot": "a", "name": "shared-bot", "uuid": UUID}]}
    lost, taker = key("bot", "shop", status=has, name="shared-bot"), key(name="shared-bot")
    where = cluster_account(namePrefix="shared-")
    found = translated(where, lost, taker, beside=around(lost, taker, namespaces=("payments",)))
    assert why(found) == "claimed: the API key name shared-bot belongs to another ModelAccessKey"


def test_slots_of_one_key_are_no_names_for_another() -> None:
    """`alternating` has two names."""
    pair = older(name="payments-x", rotation={"strategy": "alternating"})
    assert why(translated(cluster_account(), pair, key(name="payments-x-b"))).startswith("claimed: ")


def test_places_of_two_keys_do_not_overlap() -> None:
    """Not under two names of one store, and a path has either one value or fields."""
    where = cluster_account(targets=[VAULT, {**VAULT, "name": "again"}])
    fields = [{"target": {"name": "vault", "path": "payments/x", "field": "K"}}]
    first = older(deliver=fields)
    same = key(deliver=[{"target": {"name": "again", "path": "payments/x", "field": "K"}}])
    assert why(translated(where, first, same)).endswith("payments/x#K belongs to the ModelAccessKey older")
    whole = key(deliver=[{"target": {"name": "vault", "path": "payments/x"}}])
    assert "the path of the delivery payments/x belongs to another" in why(translated(where, first, whole))
    beside = key(deliver=[{"target": {"name": "vault", "path": "payments/x", "field": "L"}}])
    assert translated(where, first, beside).refused == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), *FIELDS), max_size=5, unique_by=lambda one: one[0]))
def test_whatever_resources_say_the_walls_hold(found: list[tuple[str, str, str, str, str, str]]) -> None:
    """The rest always fits together, within the prefix and without two owners of anything."""
    keys = [made(*one) for one in found]
    result = translated(cluster_account(targets=[VAULT, {**VAULT, "name": "again"}]), *keys)
    assert result.problem is None
    assert result.desired is not None
    assert result.ids.keys() | result.refused.keys() == {("payments", one[0]) for one in found}
    assert not result.ids.keys() & result.refused.keys()
    wanted = [thing for one in result.desired.keys for thing in {one.name, *api_names(one)}]
    wanted += [str(place).replace("again", "vault") for one in result.desired.keys for place in one.deliveries]
    assert len(wanted) == len(set(wanted))
    assert all(name.startswith("payments-") for one in result.desired.keys for name in api_names(one))


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


@pytest.mark.parametrize("change", [{"type": "dotenv"}, {"type": "kubernetes"}, {"pathPrefix": "{namespace}"}])
def test_an_account_that_opens_a_wall_is_not_used(change: dict[str, str]) -> None:
    """Whatever its definition let through."""
    found = translated(cluster_account(targets=[VAULT | change]), key())
    assert found.desired is None
    assert found.problem is not None
    assert found.problem.why.startswith("spec.targets.vault")


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
