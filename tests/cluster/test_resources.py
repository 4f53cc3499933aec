"""The definitions of deploy/ on the real API server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml

from keyturn.core.model import SlotName, SmokeResult, Strategy, Verdict
from keyturn.core.reasons import Condition, Reason
from keyturn.core.results import End, KeyStatus, PoolState
from keyturn.kube.conditions import POOL_LOW, READY, STALLED, VERIFIED
from keyturn.kube.crds import RULES, Json, definitions
from keyturn.kube.resources import ACCOUNT, CLUSTER_ACCOUNT, KEY, ClusterAccountResource, KeyResource, read
from keyturn.kube.status import account_state, key_state, patch
from keyturn.kube.translate import translate
from tests.blocks import ROOT, blocks
from tests.cluster.resources import DEPLOY, HOME, MERGE, PATHS, Resources, message
from tests.support.custom_resources import API, IN_POD, around, cluster_account_object

UUID = "0f0c3a6e-5b0e-4c0e-9d6b-3f6f1f9c2a10"
UNKNOWN = f"{UUID[:-1]}1"
DAYS = "must be a duration such as 720h, 90m or 1h30m; there is no unit for days"
LENGTH = "must be between 1s and 87600h"
SHORTER = "overlap must be shorter than every"
ONLY = "overlap is only for the strategy alternating"
PLACEHOLDER = "the only placeholder of a prefix is {namespace}"

KEYS: list[tuple[dict[str, Any], str]] = [
    ({"name": " payments"}, "the name may not start or end with a space"),
    ({"adopt": {"secret": "existing", "a": UUID, "b": UUID}}, "a and b must be two API keys"),
    ({"adopt": {"secret": "existing", "live": "b"}}, "live is b, so b is required"),
    ({"deliver": [{}]}, "exactly one of secret and target is required"),
    (
        {"deliver": [{"secret": {"name": "x"}, "target": {"name": "v", "path": "p"}}]},
        "exactly one of secret and target is required",
    ),
    ({"rotation": {"every": "30d"}}, DAYS),
    ({"rotation": {"overlap": "1d"}}, DAYS),
    ({"rotation": {"window": {"cron": "0 2 * * *", "duration": "1d"}}}, DAYS),
    ({"rotation": {"every": "0s"}}, LENGTH),
    ({"rotation": {"overlap": "87601h"}}, LENGTH),
    ({"rotation": {"strategy": "in-place", "overlap": "1h"}}, ONLY),
    ({"rotation": {"strategy": "alternating", "every": "60m", "overlap": "1h"}}, SHORTER),
]
VAULT = {"name": "vault", "type": "vault", "pathPrefix": "{namespace}/"}
KIND = "must be another kind: Secrets are delivered with `secret`, and files are those of the operator's pod"
ACCOUNTS: list[tuple[dict[str, Any], str]] = [
    ({"namePrefix": "{name}-"}, PLACEHOLDER),
    ({"namePrefix": "{namespace-"}, PLACEHOLDER),
    ({"defaults": {"rotation": {"every": "30d"}}}, DAYS),
    ({"defaults": {"rotation": {"every": "0s"}}}, LENGTH),
    ({"defaults": {"rotation": {"strategy": "in-place", "overlap": "1h"}}}, ONLY),
    ({"defaults": {"rotation": {"every": "1h", "overlap": "2h"}}}, SHORTER),
    ({"targets": [{**VAULT, "type": "kubernetes"}]}, KIND),
    ({"targets": [{**VAULT, "type": "dotenv"}]}, KIND),
    ({"targets": [{**VAULT, "pathPrefix": "{namespace}"}]}, "must end with /"),
    ({"targets": [{**VAULT, "pathPrefix": "{team}/"}]}, PLACEHOLDER),
]
BY_HAND = {"accountRef never changes: make another ModelAccessKey", "the name is longer than 63 characters"}
"""Messages of rules that have a test of their own."""


@pytest.fixture(scope="module")
def namespace(resources: Resources) -> str:
    """A namespace for the tests of this module."""
    return resources.cluster.namespace()


def rules(node: object) -> set[str]:
    """Return the messages of all rules in a definition."""
    if isinstance(node, list):
        return {text for one in node for text in rules(one)}
    if not isinstance(node, dict):
        return set()
    return {one["message"] for one in node.get(RULES, ())} | {text for one in node.values() for text in rules(one)}


def test_every_rule_has_a_test() -> None:
    """The messages below are all that there are."""
    tested = {text for _, text in (*KEYS, *ACCOUNTS)} | BY_HAND
    assert rules(list(definitions())) == tested


@pytest.mark.parametrize(("spec", "text"), KEYS)
def test_a_rule_of_keys_refuses(resources: Resources, namespace: str, spec: dict[str, Any], text: str) -> None:
    """With our message, and with no other one of a rule."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.make(namespace, "wrong", **spec)
    assert f": {text}" in message(caught)
    assert "evaluating rule" not in message(caught)


@pytest.mark.parametrize(("spec", "text"), ACCOUNTS)
def test_a_rule_of_accounts_refuses(resources: Resources, namespace: str, spec: dict[str, Any], text: str) -> None:
    """Those of a namespaced account are the same, as far as it has the fields."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.account("wrong", **spec)
    assert f": {text}" in message(caught)
    if "targets" not in spec:
        own = cluster_account_object("wrong", **spec) | {"kind": "KeyturnAccount"}
        del own["spec"]["allowedNamespaces"], own["spec"]["tokenSecretRef"]["namespace"]
        with pytest.raises(httpx.HTTPStatusError) as caught:
            resources.cluster.call("POST", f"{HOME}/namespaces/{namespace}/keyturnaccounts", own)
        assert f": {text}" in message(caught)


@pytest.mark.parametrize("name", ["../../keyturn-system/secrets/do-token", "team#x", "team?x", "a/b", "a\nb", "a..b"])
def test_a_name_leads_nowhere_else(resources: Resources, namespace: str, name: str) -> None:
    """The API server refuses it, of an account, of a Secret and of a namespace, and an account that climbs the path."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.make(namespace, "wrong", accountRef={"name": name})
    assert "spec.accountRef.name in body should match" in message(caught)
    for place in ({"namespace": namespace, "name": name}, {"namespace": name, "name": "do-token"}):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            resources.account("wrong", tokenSecretRef=place)
        assert "spec.tokenSecretRef.name" in message(caught)
        assert "in body should match" in message(caught)
    own = {
        "apiVersion": API,
        "kind": ACCOUNT,
        "metadata": {"name": "wrong"},
        "spec": {"tokenSecretRef": {"name": name}},
    }
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.cluster.call("POST", f"{HOME}/namespaces/{namespace}/keyturnaccounts", own)
    assert "spec.tokenSecretRef.name in body should match" in message(caught)
    own["spec"] = {"tokenSecretRef": {"name": "do-token", "key": name}}
    if name != "a..b":
        with pytest.raises(httpx.HTTPStatusError) as caught:
            resources.cluster.call("POST", f"{HOME}/namespaces/{namespace}/keyturnaccounts", own)
        assert "spec.tokenSecretRef.key in body should match" in message(caught)


def test_the_name_of_an_account_has_a_limit(resources: Resources) -> None:
    """Its records could not be named otherwise."""
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.account("x" * 64)
    assert "the name is longer than 63 characters" in message(caught)


@pytest.mark.parametrize("field", ["namePrefix", "allowedNamespaces"])
def test_an_account_of_several_namespaces_has_walls(resources: Resources, field: str) -> None:
    """They are required, and an empty prefix is none."""
    whole = cluster_account_object("open")
    del whole["spec"][field]
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.cluster.call("POST", PATHS["ClusterKeyturnAccount"], whole)
    assert f"spec.{field}: Required value" in message(caught)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.account("open", namePrefix="")
    assert "spec.namePrefix" in message(caught)


def test_the_account_of_a_key_never_changes(resources: Resources, namespace: str) -> None:
    """Neither its name nor its kind; all else may."""
    resources.make(namespace, "moves")
    for change in ({"name": "other"}, {"kind": "KeyturnAccount"}):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            resources.change(namespace, "moves", {"accountRef": change})
        assert "accountRef never changes: make another ModelAccessKey" in message(caught)
    assert resources.change(namespace, "moves", {"suspend": True})["spec"]["suspend"] is True


def test_defaults_are_only_those_that_no_account_gives(resources: Resources, namespace: str) -> None:
    """And the status says that nobody has looked yet."""
    made = resources.make(namespace, "plain", accountRef={"name": "team"})
    assert made["spec"] == {
        "accountRef": {"kind": "KeyturnAccount", "name": "team"},
        "smoke": {"model": "llama3.3-70b-instruct"},
        "deletionPolicy": "Retain",
    }
    assert made["status"] == {"observedGeneration": -1}
    empty = resources.account("plain", defaults={"rotation": {"strategy": "alternating"}, "smoke": {}})
    assert empty["spec"]["defaults"] == {"rotation": {"strategy": "alternating"}, "smoke": {}}
    assert empty["spec"]["tokenSecretRef"]["key"] == "token"
    assert empty["status"] == {"observedGeneration": -1}


def test_settings_of_a_target_are_kept(resources: Resources) -> None:
    """Whatever its kind has; and two targets of one name are refused."""
    settings = {"address": "https://vault.example.com", "auth": {"method": "kubernetes", "role": "keyturn"}}
    made = resources.account("offers", targets=[{**VAULT, "settings": settings}])
    assert made["spec"]["targets"][0]["settings"] == settings
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.account("offers-twice", targets=[VAULT, VAULT])
    assert "Duplicate value" in message(caught)


def looked(made: dict[str, Any]) -> dict[str, object]:
    """Return the patch of the status after a look at a resource."""
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    overlap = End(Reason.OVERLAP, "the old secret works until the overlap ends")
    names = End(Reason.HAND_OFF, "x", make=("a", "b"), since=now)
    found = KeyStatus(
        "k",
        "team-bot",
        Condition.OVERLAP,
        "",
        Strategy.ALTERNATING,
        conditions=(overlap, names),
        live=SlotName.A,
        uuids=((SlotName.A, UUID), (SlotName.B, UNKNOWN)),
        generation=7,
        next_rotation_at=datetime(2031, 12, 29, tzinfo=UTC),
        retire_at=datetime(2031, 1, 1, tzinfo=UTC),
        deliveries=(),
        verdict=SmokeResult(Verdict.ACCEPTED),
    )
    one = read(KeyResource, made)
    written = patch(one.status, key_state(one, found, now, model="llama"))
    assert written is not None
    return written


def test_the_status_is_stored_as_it_is_written(resources: Resources, namespace: str) -> None:
    """No field is unknown to the definition; a look that finds the same writes nothing; the spec is another matter."""
    made = resources.make(namespace, "looked")
    path = resources.keys(namespace, "looked")
    written = looked(made)
    stored = resources.cluster.call("PATCH", f"{path}/status", written, **MERGE)
    assert stored["status"] == written["status"]
    assert stored["metadata"]["generation"] == made["metadata"]["generation"]
    one = read(KeyResource, stored)
    assert one.status.model_dump(by_alias=True, exclude_defaults=True) == stored["status"]
    assert resources.cluster.call("PATCH", path, {"status": {"live": "b"}}, **MERGE)["status"]["live"] == "a"
    changed = resources.cluster.call("PATCH", f"{path}/status", {"spec": {"suspend": True}}, **MERGE)
    assert "suspend" not in changed["spec"]


def test_the_status_of_an_account_is_stored_as_it_is_written(resources: Resources) -> None:
    """With its pool."""
    made = resources.account("counted", pool={"prefix": "spare-", "low": 5})
    one = read(ClusterAccountResource, made)
    spares = PoolState("spare-", 3, 5)
    written = patch(one.status, account_state(one, (), 12, datetime(2026, 11, 29, 12, tzinfo=UTC), spares))
    assert written is not None
    path = f"{PATHS['ClusterKeyturnAccount']}/counted/status"
    assert resources.cluster.call("PATCH", path, written, **MERGE)["status"] == written["status"]


def test_kubectl_shows_the_columns(resources: Resources, namespace: str, kubectl: Callable[..., str]) -> None:
    """A moment that is to come is shown as it is."""
    made = resources.make(namespace, "shown")
    resources.cluster.call("PATCH", f"{resources.keys(namespace, 'shown')}/status", looked(made), **MERGE)
    head, row = kubectl("get", "mak", "shown", "-n", namespace).splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "VERIFIED", "NEXT", "ROTATION", "AGE"]
    assert row.split()[:5] == ["shown", "False", "HandOff", "True", "2031-12-29T00:00:00Z"]
    wide, _ = kubectl("get", "mak", "shown", "-n", namespace, "-o", "wide").splitlines()
    assert wide.split()[-3:] == ["ACCOUNT", "RETIRE", "MESSAGE"]
    head, *_ = kubectl("get", "ckta").splitlines()
    assert head.split() == ["NAME", "READY", "REASON", "KEYS", "SPARES", "AGE"]


def test_the_keys_of_an_account_are_selected_by_field(resources: Resources, kubectl: Callable[..., str]) -> None:
    """So that a shard watches its own."""
    namespace = resources.cluster.namespace()
    resources.make(namespace, "one")
    resources.make(namespace, "two", accountRef={"name": "own"})
    found = kubectl("get", "mak", "-n", namespace, "-o", "name", "--field-selector", "spec.accountRef.name=team")
    assert found.split() == ["modelaccesskey.keyturn.dev/one"]


def test_kubectl_explains_fields(resources: Resources, kubectl: Callable[..., str]) -> None:
    """With the descriptions of the manifest and its defaults."""
    shown = " ".join(kubectl("explain", "mak.spec.rotation.overlap").split())
    assert "How long the old secret stays valid with `alternating`. Default: 24h." in shown


def test_what_the_server_stores_can_be_translated(resources: Resources, namespace: str) -> None:
    """With its defaults, and whatever else it adds."""
    rotation = {"strategy": "alternating", "every": "720h"}
    made = read(KeyResource, resources.make(namespace, "whole", rotation=rotation))
    account = read(ClusterAccountResource, resources.account("whole"))
    beside = around(made, namespaces=(namespace,))
    found = translate(account, [made], beside, "keyturn-system", IN_POD)
    assert found.refused == {}
    assert found.desired is not None
    assert [one.name for one in found.desired.keys] == [f"{namespace}-whole"]


def test_a_status_is_only_for_the_object_that_was_looked_at(resources: Resources, namespace: str) -> None:
    """One of the same name that was made since takes nothing; a uid would say nothing to the API server here."""
    made = resources.make(namespace, "again")
    path = resources.keys(namespace, "again")
    resources.cluster.call("DELETE", path)
    fresh = resources.make(namespace, "again")
    old, new = ({"metadata": {"resourceVersion": one["metadata"]["resourceVersion"]}} for one in (made, fresh))
    status = {"status": {"observedGeneration": 1}}
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.cluster.call("PATCH", f"{path}/status", {**old, **status}, **MERGE)
    assert caught.value.response.status_code == httpx.codes.CONFLICT
    assert resources.cluster.call("GET", path)["status"] == {"observedGeneration": -1}
    assert resources.cluster.call("PATCH", f"{path}/status", {**new, **status}, **MERGE)["status"] == status["status"]


def test_the_examples_of_the_page_are_accepted(resources: Resources) -> None:
    """Each one of our kinds; and the page names every condition's type."""
    page = ROOT / "docs/kubernetes.md"
    seen = []
    for block in blocks(page):
        one = yaml.safe_load(block.text) if block.language == "yaml" else {}
        if one.get("apiVersion") == API:
            one["metadata"]["name"] += "-example"
            namespace = resources.cluster.namespace() if one["metadata"].pop("namespace", "") else ""
            below = f"namespaces/{namespace}/" if namespace else ""
            resources.cluster.call(
                "POST", f"{HOME}/{below}{one['kind'].lower()}s?dryRun=All&fieldValidation=Strict", one
            )
            seen.append(one["kind"])
    assert sorted(seen) == sorted((KEY, ACCOUNT, CLUSTER_ACCOUNT))
    assert all(f"| `{kind}` |" in page.read_text() for kind in (READY, STALLED, VERIFIED, POOL_LOW))


def test_the_examples_are_accepted(resources: Resources) -> None:
    """Those that Argo CD and Flux apply."""
    for path in (ROOT / "examples/kubernetes/keys").rglob("*.yaml"):
        for one in yaml.safe_load_all(path.read_text()):
            if one["apiVersion"] == API:
                one["metadata"]["name"] += "-example"
                namespace = resources.cluster.namespace() if one["metadata"].pop("namespace", "") else ""
                below = f"namespaces/{namespace}/" if namespace else ""
                path_of = f"{HOME}/{below}{one['kind'].lower()}s?dryRun=All&fieldValidation=Strict"
                assert resources.cluster.call("POST", path_of, one)["kind"] == one["kind"]


def test_a_chart_can_take_the_files_as_templates() -> None:
    """Nothing in them means something to Helm, and Helm keeps the definitions."""
    files = [path for folder in ("admission", "crds") for path in (DEPLOY / folder).glob("*.yaml")]
    assert len(files) > 4
    assert not any("{{" in path.read_text() for path in files)
    kept: list[Json] = list(definitions())
    assert all(one["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"} for one in kept)


def test_kustomize_takes_every_definition(kubectl: Callable[..., str]) -> None:
    """None is forgotten."""
    built = kubectl("kustomize", str(DEPLOY / "crds"))
    assert built.count("\nkind: CustomResourceDefinition\n") == len(list(definitions()))
