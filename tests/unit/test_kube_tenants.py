"""The walls between the keys of one account: namespaces, prefixes, targets, Secrets, and who has what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.kube.resources import KeyResource
from keyturn.kube.status import refused_state
from keyturn.kube.tenants import SecretFacts, Surroundings
from keyturn.manifest.violations import api_names
from keyturn.targets.kubernetes import ALLOW, MANAGED
from tests.support.custom_resources import (
    PAYMENTS,
    UUID,
    VAULT,
    account,
    around,
    cluster_account,
    key,
    older,
    only,
    translated,
    why,
)

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


def test_a_namespace_has_to_be_allowed() -> None:
    """By its labels."""
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


def test_a_namespace_that_is_not_known_yet_makes_no_key_fail() -> None:
    """Its key is not worked on, and is neither ready nor stalled: a health check goes on waiting."""
    one = key()
    found = translated(cluster_account(), one, beside=replace(around(one), namespaces={}))
    assert why(found) == "to-do: the namespace payments is not known yet; the key was not looked at"
    state = refused_state(one, found.refused[PAYMENTS], datetime(2026, 11, 29, tzinfo=UTC))
    assert {one.type: one.status for one in state.conditions} == {"Ready": "Unknown", "Stalled": "False"}


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
    """Only a key that takes from the pool may have a spare; one that is adopted by uuid may be none."""
    where = cluster_account(pool={"prefix": "spare-"})
    for adopt, from_pool in (({"secret": "regenerate", "a": UUID}, False), ({"secret": "regenerate"}, True)):
        one = only(translated(where, key(adopt=adopt)))
        assert one.permit is not None
        assert one.permit.refusal("payments-old") == ""
        assert (one.permit.refusal("spare-1") == "") is from_pool
        assert bool(one.pool) is from_pool
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


@pytest.mark.parametrize(("namespace", "pool"), [("spare", "spare-"), ("spare", "spa"), ("spare", "spare-parts-")])
def test_a_namespace_whose_prefix_is_that_of_the_pool_is_refused(namespace: str, pool: str) -> None:
    """All spares would be its API keys. The others go on."""
    where, one, other = cluster_account(pool={"prefix": pool}), key("bot", namespace), key()
    found = translated(where, one, other, beside=around(one, other, namespaces=(namespace, "payments")))
    assert f"the prefix 'spare-' of the namespace and the prefix {pool!r} of the pool" in why(found, (namespace, "bot"))
    assert PAYMENTS in found.ids


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


DELETED = {"deletionTimestamp": "2026-11-29T00:00:00Z"}


@pytest.mark.parametrize(
    ("spec", "namespaces", "secrets"),
    [
        ({}, {"payments": {"team": "a"}}, {PAYMENTS: None}),
        ({}, {"payments": {}}, {PAYMENTS: None}),  # the label is gone
        ({}, {}, {PAYMENTS: None}),  # the namespace is gone
        ({}, {"payments": {"team": "a"}}, {}),  # the RoleBinding is gone
        ({}, {"payments": {"team": "a"}}, {PAYMENTS: SecretFacts()}),
        ({"deliver": [{"target": {"name": "vault", "path": "payments/x"}}]}, {}, {}),  # not offered any more
        ({"name": "shop-bot"}, {}, {PAYMENTS: None}),
        ({"smoke": {"api": "chat"}}, {}, {PAYMENTS: None}),
    ],
)
def test_no_wall_keeps_a_key_that_is_being_deleted(
    spec: dict[str, Any], namespaces: dict[str, Any], secrets: dict[Any, Any]
) -> None:
    """It wants nothing any more: its namespace would never go."""
    where = cluster_account(allowedNamespaces={"matchLabels": {"team": "a"}})
    leaving = key(metadata=DELETED, deletionPolicy="Delete", **spec)
    found = translated(where, leaving, beside=Surroundings(namespaces, secrets))
    one = only(found)
    assert found.ids == {PAYMENTS: "payments.bot"}
    assert found.desired is not None
    assert found.desired.agreed == {"payments.bot"}
    assert {target.name for target in found.desired.targets} >= {"payments"}
    assert one.absent
    assert one.lenient
    assert one.permit is not None
    assert one.permit.refusal("payments-bot") == ""
    assert one.permit.refusal("shop-bot")


def test_a_key_that_is_being_deleted_may_have_a_spare() -> None:
    """Which it took, and which has no other name yet; its record and the claim say so."""
    leaving = key(metadata=DELETED, deletionPolicy="Delete", adopt={"secret": "regenerate", "a": UUID})
    one = only(translated(cluster_account(pool={"prefix": "spare-"}), leaving))
    assert one.permit is not None
    assert one.permit.refusal("spare-1") == ""


def test_a_key_that_is_being_deleted_keeps_its_api_keys_and_takes_nothing() -> None:
    """Another one gets what it only wanted, but not what it has."""
    has = {"apiKeys": [{"slot": "a", "name": "payments-has", "uuid": UUID}]}
    leaving = key("older", status=has, name="payments-want", metadata=DELETED, deletionPolicy="Delete")
    found = translated(cluster_account(), leaving, key(name="payments-want"))
    assert found.ids.keys() == {PAYMENTS, ("payments", "older")}
    found = translated(cluster_account(), leaving, key(name="payments-has"))
    assert why(found) == "claimed: the API key name payments-has belongs to the ModelAccessKey older"


@pytest.mark.parametrize("change", [{"type": "dotenv"}, {"type": "kubernetes"}, {"pathPrefix": "{namespace}"}])
def test_an_account_that_opens_a_wall_is_not_used(change: dict[str, str]) -> None:
    """Whatever its definition let through."""
    found = translated(cluster_account(targets=[VAULT | change]), key())
    assert found.desired is None
    assert found.problem is not None
    assert found.problem.why.startswith("spec.targets.vault")
