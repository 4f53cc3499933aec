"""The operator as a process, on a real API server and the sandbox: from a resource to a Secret, and what it says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyturn.sandbox import Sandbox, Settings
from tests.cluster.operating import Cell, Replica, Tenant
from tests.cluster.resources import HOME, MERGE, Resources


@pytest.fixture(scope="module")
def cell(resources: Resources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """A cluster with the rights of the operator."""
    with Sandbox(seed=1, settings=Settings(minute_limit=100_000, hour_limit=1_000_000)) as sandbox:
        found = Cell(resources, sandbox, tmp_path_factory.mktemp("operator"), resources.cluster.namespace())
        found.prepare(watch_secrets=True)
        yield found


@pytest.fixture(scope="module")
def operator(cell: Cell) -> Iterator[Replica]:
    """One operator that watches Secrets."""
    with cell.operator("--watch-secrets") as replica:
        yield replica


@pytest.fixture
def tenant(cell: Cell, operator: Replica) -> Tenant:
    """A namespace and an account."""
    return cell.tenant()


def test_an_alternating_key_becomes_ready(tenant: Tenant) -> None:
    """A completion is accepted with what a consumer reads."""
    tenant.make()
    tenant.ready()
    assert tenant.conditions()["Verified"]["status"] == "True"
    # Its status is written after those of its keys.
    tenant.until(lambda: tenant.account_conditions().get("Ready", {}).get("status") == "True", "the account is ready")


def test_an_annotation_rotates_once_with_its_reason(tenant: Tenant) -> None:
    """The history has the reason; the same text does not rotate again, another one does."""
    tenant.make(rotation={"overlap": "1s"})
    tenant.ready()
    tenant.until(lambda: "retireTime" not in tenant.read()["status"], "the end of the overlap of the adoption")
    tenant.cell.resources.change(tenant.name, "bot", {"rotation": {"overlap": "1h"}})
    tenant.ready()
    first, mints = tenant.value(), tenant.mints()
    tenant.annotate("bot", rotate="INC-42")
    tenant.until(lambda: tenant.read()["status"]["keyGeneration"] == 2, "the rotation")
    tenant.ready()
    assert tenant.value() != first
    assert tenant.cell.sandbox.accepts(first)  # the overlap
    looks = tenant.looks()
    tenant.cell.resources.change(tenant.name, "bot", {"rotation": {"overlap": "2h"}})  # looked at, and nothing more
    tenant.until(lambda: tenant.looks() > looks, "another look")
    assert tenant.mints() == mints + 1
    assert tenant.read()["status"]["keyGeneration"] == 2
    assert any("INC-42" in str(event.get("cause")) for event in tenant.record("bot")["history"])
    assert [one["reason"] for one in tenant.events()].count("Rotated") == 1


def test_a_deleted_secret_comes_back(tenant: Tenant) -> None:
    """At once, since Secrets are watched."""
    tenant.make()
    tenant.ready()
    tenant.cell.resources.cluster.call("DELETE", f"/api/v1/namespaces/{tenant.name}/secrets/bot")
    tenant.until(lambda: tenant.cell.sandbox.accepts(tenant.value()), "the Secret comes back")
    tenant.ready()


def test_a_key_waits_for_someone_and_goes_on(tenant: Tenant) -> None:
    """The names are exact; while it waits nothing is written."""
    tenant.make("waits", made=False)
    tenant.until(lambda: "Stalled" in tenant.conditions("waits"), "the first look")
    found = tenant.conditions("waits")
    names = [f"{tenant.name}-waits-a", f"{tenant.name}-waits-b"]
    assert (found["Stalled"]["status"], found["Stalled"]["reason"]) == ("True", "WaitingForPerson")
    assert found["Ready"]["status"] == "False"
    assert f"with exactly these names: {names[0]}, {names[1]}" in found["Stalled"]["message"]
    assert tenant.read("waits")["status"]["handoff"]["names"] == names
    before = tenant.read("waits")["metadata"]["resourceVersion"]
    looks = tenant.looks()
    tenant.until(lambda: tenant.looks() >= looks + 1, "one more list", seconds=90)
    assert tenant.read("waits")["metadata"]["resourceVersion"] == before
    tenant.panel(*names)
    tenant.ready("waits", seconds=90)


def test_a_key_takes_spares_from_the_pool(cell: Cell, operator: Replica) -> None:
    """And the account says that few are left."""
    tenant = cell.tenant(pool={"prefix": "extra-", "low": 2})
    tenant.panel("extra-1", "extra-2")
    tenant.make("pooled", made=False)
    tenant.ready("pooled")
    tenant.until(lambda: tenant.account_conditions().get("PoolLow", {}).get("status") == "True", "PoolLow")
    assert {key["name"] for key in tenant.read("pooled")["status"]["apiKeys"]} == {
        f"{tenant.name}-pooled-a",
        f"{tenant.name}-pooled-b",
    }


def test_each_refusal_has_its_sentence(tenant: Tenant) -> None:
    """A refused resource stops no other one, and nothing of it is written."""
    tenant.cell.secret(tenant.name, "theirs", {"password": "x"})
    tenant.make("secret", made=False, deliver=[{"secret": {"name": "theirs"}}])
    tenant.make("target", made=False, deliver=[{"target": {"name": "vault", "path": "a/b"}}])
    tenant.make("uuid", made=False, rotation={"every": "1h"})
    tenant.make("first")
    tenant.ready("first")
    tenant.make("second", made=False, deliver=[{"secret": {"name": "first"}}])
    wanted = {
        "secret": ("FieldInUse", "the Secret theirs exists, and keyturn did not make it"),
        "target": ("OutsidePolicy", "the account offers no target 'vault'"),
        "uuid": ("Misconfigured", "spec.rotation"),
        "second": ("Claimed", "the delivery first#MODEL_ACCESS_KEY belongs to the ModelAccessKey first"),
    }
    for name, (reason, text) in wanted.items():
        tenant.until(lambda name=name: "Ready" in tenant.conditions(name), f"{name} is judged")  # type: ignore[misc]
        ready = tenant.conditions(name)["Ready"]
        assert (ready["status"], ready["reason"]) == ("False", reason)
        assert text in ready["message"]
    assert tenant.value("theirs", "password") == "x"
    assert tenant.value("theirs") == ""
    tenant.panel(f"{tenant.name}-secret-a", f"{tenant.name}-secret-b")
    consent = {"metadata": {"annotations": {"keyturn.dev/allow": "secret"}}}
    cluster = tenant.cell.resources.cluster
    cluster.call("PATCH", f"/api/v1/namespaces/{tenant.name}/secrets/theirs", consent, **MERGE)
    tenant.until(lambda: tenant.cell.sandbox.accepts(tenant.value("theirs")), "the delivery after the consent")
    assert tenant.value("theirs", "password") == "x"


def test_a_namespace_that_the_account_does_not_allow_is_refused(cell: Cell, operator: Replica) -> None:
    """Until its labels say so."""
    tenant = cell.tenant(allowedNamespaces={"matchLabels": {"keyturn": "yes"}})
    tenant.make()
    tenant.until(lambda: "Ready" in tenant.conditions(), "it is judged")
    assert f"the account does not allow the namespace {tenant.name}" in tenant.conditions()["Ready"]["message"]
    body = {"metadata": {"labels": {"keyturn": "yes"}}}
    cell.resources.cluster.call("PATCH", f"/api/v1/namespaces/{tenant.name}", body, **MERGE)
    tenant.ready()


def test_with_retain_a_resource_goes_at_once(tenant: Tenant) -> None:
    """It has no finalizer; the API keys and the Secret stay, and a new one finds its record."""
    tenant.make()
    tenant.ready()
    assert "finalizers" not in tenant.read()["metadata"]
    value, mints = tenant.value(), tenant.mints()
    tenant.delete()
    assert tenant.gone()
    tenant.make(made=False)
    tenant.ready()
    assert tenant.value() == value
    assert tenant.mints() == mints


def test_with_delete_everything_goes(tenant: Tenant) -> None:
    """The finalizer comes with the API keys, and goes after them; the Secret loses the field."""
    tenant.make("gone", deletionPolicy="Delete")
    tenant.make("stays")
    tenant.ready("gone", "stays")
    tenant.until(lambda: tenant.read("gone")["metadata"].get("finalizers") == ["keyturn.dev/keys"], "the finalizer")
    secret = tenant.value("gone")
    tenant.delete("gone")
    tenant.until(lambda: tenant.gone("gone"), "the resource is gone")
    assert not tenant.cell.sandbox.accepts(secret)
    assert tenant.value("gone") == ""
    keys = [key for key in tenant.cell.sandbox.state.keys.values() if key.name.startswith(f"{tenant.name}-gone")]
    assert len(keys) == 2
    assert all(key.deleted_at for key in keys)
    tenant.ready("stays")


def test_a_namespace_that_goes_takes_its_api_keys_with_it(tenant: Tenant) -> None:
    """The operator may not reach its Secrets any more, and its labels do not allow the account: both are of no use."""
    cluster, rbac = tenant.cell.resources.cluster, f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tenant.name}"
    tenant.make("gone", deletionPolicy="Delete")
    tenant.ready("gone")
    tenant.until(lambda: bool(tenant.read("gone")["metadata"].get("finalizers")), "the finalizer")
    secret = tenant.value("gone")
    cluster.call("DELETE", f"{rbac}/rolebindings/deliveries")
    tenant.change_account({"allowedNamespaces": {"matchLabels": {"kubernetes.io/metadata.name": "another"}}})
    tenant.until(lambda: tenant.conditions("gone")["Ready"]["reason"] == "OutsidePolicy", "the refusal")
    tenant.delete("gone")
    tenant.until(lambda: tenant.gone("gone"), "the resource is gone")
    assert not tenant.cell.sandbox.accepts(secret)
    assert tenant.value("gone") == secret  # which nobody could empty


def test_a_suspended_key_is_left_alone(tenant: Tenant) -> None:
    """Until it is not."""
    tenant.make(suspend=True)
    tenant.until(lambda: tenant.conditions().get("Ready", {}).get("reason") == "Suspended", "it is seen")
    assert tenant.mints() == 0
    tenant.cell.resources.change(tenant.name, "bot", {"suspend": False})
    tenant.ready()


def test_a_token_that_is_missing_or_wrong_is_said(cell: Cell, operator: Replica) -> None:
    """On the account, and on keys that were never looked at; once it is there, all goes on."""
    tenant = cell.tenant(tokenSecretRef={"namespace": cell.home, "name": "late"})
    tenant.make()
    tenant.until(lambda: "Ready" in tenant.account_conditions(), "the account is judged")
    ready = tenant.account_conditions()["Ready"]
    assert (ready["status"], ready["reason"]) == ("False", "LoginRefused")
    assert "there is no account token" in ready["message"]
    tenant.until(lambda: "Ready" in tenant.conditions(), "the key is judged")
    assert "there is no account token" in tenant.conditions()["Ready"]["message"]
    cell.secret(cell.home, "late", {"token": cell.sandbox.exports["DIGITALOCEAN_TOKEN"]})
    tenant.ready(seconds=90)
    tenant.until(lambda: tenant.account_conditions()["Ready"]["status"] == "True", "the account is ready")


def test_a_key_without_its_account_says_so(cell: Cell, operator: Replica) -> None:
    """And goes on when there is one."""
    namespace = cell.resources.cluster.namespace()
    cell.allow(namespace)
    tenant = Tenant(cell, namespace)
    tenant.make()
    tenant.until(lambda: "Ready" in tenant.conditions(), "it is judged")
    assert f"there is no account {tenant.account}" in tenant.conditions()["Ready"]["message"]
    cell.tenant_of(namespace)
    tenant.ready()


def test_a_namespaced_account_reads_its_own_namespace_only(cell: Cell, operator: Replica) -> None:
    """Its token is there, and so are its keys."""
    namespace = cell.resources.cluster.namespace()
    cell.allow(namespace)
    tenant = Tenant(cell, namespace)
    cell.secret(namespace, "do-token", {"token": cell.sandbox.exports["DIGITALOCEAN_TOKEN"]})
    own = {
        "apiVersion": "keyturn.dev/v1alpha1",
        "kind": "KeyturnAccount",
        "metadata": {"name": "own"},
        "spec": {"tokenSecretRef": {"name": "do-token"}, "defaults": {"adopt": {"secret": "regenerate"}}},
    }
    cell.resources.cluster.call("POST", f"{HOME}/namespaces/{namespace}/keyturnaccounts", own)
    tenant.panel(f"{namespace}-bot")
    tenant.make(made=False, accountRef={"name": "own"}, rotation={"strategy": "in-place"})
    tenant.ready()


def test_a_brake_is_released_once_by_an_annotation(tenant: Tenant) -> None:
    """More keys to heal than the limit: none is healed, until someone says so, with the number of the message."""
    names = ["one", "two"]
    for name in (*names, "well"):
        tenant.make(name)
    tenant.ready(*names, "well")
    tenant.change_account({"limits": {"rotationsPerRound": 1}})
    old = {name: tenant.value(name) for name in names}
    tenant.lose(*names)
    tenant.touch("well", *names)
    held = "TooManyRotations"
    tenant.until(lambda: tenant.account_conditions()["Ready"]["reason"] == held, "the brake", seconds=90)
    found = tenant.account_conditions()
    assert found["Stalled"]["status"] == "True"
    assert "the annotation keyturn.dev/release=rotations=2 on the account allows it once" in found["Ready"]["message"]
    mints = tenant.mints()
    tenant.annotate_account(release="rotations=2")
    tenant.ready(*names, seconds=90)
    assert all(tenant.value(name) != old[name] for name in names)
    assert tenant.mints() == mints + 2
    assert "keyturn.dev/release" not in tenant.read_account()["metadata"].get("annotations", {})
