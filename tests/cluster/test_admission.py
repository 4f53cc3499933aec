"""The admission policies of deploy/ on the real API server."""

from __future__ import annotations

import httpx
import pytest

from keyturn.kube.resources import CLUSTER_ACCOUNT, FINALIZER
from tests.cluster.resources import MERGE, PATHS, Resources, message, refused, rule
from tests.support.process import wait_until


def test_a_person_needs_the_verb_use(resources: Resources) -> None:
    """On the account that the resource names; to change a label, or without a change of the spec, nobody needs it."""
    namespace, cluster = resources.cluster.namespace(), resources.cluster
    user = cluster.user({namespace: [rule("create", "patch", "get")]})
    wanted = 'the right to use the ClusterKeyturnAccount team is missing: a role with the verb "use" gives it'
    assert wanted in refused(resources, namespace, user, {})
    wanted = 'the right to use the KeyturnAccount own is missing: a role with the verb "use" gives it'
    assert wanted in refused(resources, namespace, user, {"accountRef": {"name": "own"}})
    resources.make(namespace)
    path, headers = resources.keys(namespace, "bot"), {**MERGE, "Authorization": f"Bearer {user}"}
    cluster.call("PATCH", path, {"metadata": {"labels": {"team": "a"}}}, **headers)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        cluster.call("PATCH", path, {"spec": {"suspend": True}}, **headers)
    assert "is missing" in message(caught)

    rbac = "/apis/rbac.authorization.k8s.io/v1"
    name = f"use-team-{namespace}"
    allowed = {"apiGroups": ["keyturn.dev"], "resources": ["clusterkeyturnaccounts"], "verbs": ["use"]}
    cluster.call(
        "POST", f"{rbac}/clusterroles", {"metadata": {"name": name}, "rules": [{**allowed, "resourceNames": ["team"]}]}
    )
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": f"system:serviceaccounts:{namespace}"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "subjects": [subject], "roleRef": role}
    cluster.call("POST", f"{rbac}/clusterrolebindings", binding)
    assert refused(resources, namespace, user, {}) == ""
    assert cluster.call("PATCH", path, {"spec": {"suspend": True}}, **headers)["spec"]["suspend"] is True
    assert "is missing" in refused(resources, namespace, user, {"accountRef": {"name": "own"}})


def test_a_name_has_to_begin_with_the_prefix_of_the_account(resources: Resources) -> None:
    """The one that the resource names, whatever other accounts there are; without a name there is nothing to say."""
    namespace, admin = resources.cluster.namespace(), resources.cluster.admin
    resources.account("acme", namePrefix="acme-")
    wanted = f"spec.name must begin with {namespace}-"
    assert wanted in refused(resources, namespace, admin, {"name": "acme-bot"})
    assert refused(resources, namespace, admin, {"name": f"{namespace}-bot"}) == ""
    assert refused(resources, namespace, admin, {}) == ""
    assert refused(resources, namespace, admin, {"accountRef": {"name": "own"}, "name": "any"}) == ""
    resources.make(namespace)
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.change(namespace, "bot", {"name": "shop-bot"})
    assert wanted in message(caught)


def test_another_prefix_of_the_account_blocks_no_change_of_metadata(resources: Resources) -> None:
    """The finalizer of a key with a name of the old prefix can go; its spec cannot change."""
    namespace, cluster = resources.cluster.namespace(), resources.cluster
    resources.account("renames", namePrefix="old-")
    ref = {"kind": CLUSTER_ACCOUNT, "name": "renames"}
    resources.make(namespace, accountRef=ref, name="old-bot")
    path = resources.keys(namespace, "bot")
    cluster.call("PATCH", path, {"metadata": {"finalizers": [FINALIZER]}}, **MERGE)
    cluster.call("PATCH", f"{PATHS[CLUSTER_ACCOUNT]}/renames", {"spec": {"namePrefix": "new-"}}, **MERGE)

    def takes_the_new_one() -> bool:
        return "must begin with new-" in refused(
            resources, namespace, cluster.admin, {"accountRef": ref, "name": "old-x"}
        )

    wait_until(takes_the_new_one, "the new prefix", seconds=60)
    assert cluster.call("PATCH", path, {"metadata": {"finalizers": []}}, **MERGE)["metadata"]["name"] == "bot"
    with pytest.raises(httpx.HTTPStatusError) as caught:
        resources.change(namespace, "bot", {"suspend": True})
    assert "must begin with new-" in message(caught)
