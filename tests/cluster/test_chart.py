"""The chart and the plain manifests on the real API server: install, upgrade, uninstall, move, rights."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
import yaml

from keyturn.core.errors import TargetForbidden
from keyturn.kube.lease import Lease
from keyturn.targets.base import unguarded
from keyturn.targets.kubernetes_secrets import Place, Secrets, encoded
from keyturn.targets.kubernetes_server import Server
from tests.blocks import ROOT
from tests.cluster.clients import server_of
from tests.cluster.control_plane import Cluster
from tests.cluster.resources import HOME, PATHS, Resources
from tests.support.clients import call
from tests.support.process import wait_until

CHART = ROOT / "deploy/helm/keyturn"
INSTALL = ROOT / "deploy/install"
IMAGE = ("--set", "image.repository=example.com/keyturn")
NOW = datetime(2026, 11, 29, tzinfo=UTC)
NAMES = ("modelaccesskeys", "keyturnaccounts", "clusterkeyturnaccounts")


class Site:
    """A cluster in which one test installs, with a namespace for the operator."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.cluster, self.home = cluster, home
        self.namespace = cluster.namespace()
        self.resources = Resources(cluster)
        cluster.write_kubeconfig(home / "config", cluster.admin)

    def helm(self, *arguments: str | Path, code: int = 0) -> CompletedProcess[str]:
        """Run helm in the operator's namespace."""
        done = call("helm", *arguments, "--namespace", self.namespace, home=self.home)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def install(self, *arguments: str) -> None:
        """Install the chart, and wait until the definitions are served."""
        self.helm("install", "keyturn", CHART, *IMAGE, *arguments)
        self.served()

    def kubectl(self, *arguments: str | Path, code: int = 0) -> str:
        """Run kubectl."""
        done = call("kubectl", *arguments, home=self.home)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def served(self) -> None:
        """Wait until the API server serves every definition."""
        for plural in NAMES:
            wait_until(partial(self.resources.served, plural), plural, seconds=60)

    def deployment(self) -> dict[str, Any] | None:
        """Return the Deployment, or None."""
        return self.get(f"/apis/apps/v1/namespaces/{self.namespace}/deployments/keyturn")

    def get(self, path: str) -> dict[str, Any] | None:
        """Return an object, or None."""
        try:
            return self.cluster.call("GET", path)
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            return None

    def definitions(self) -> dict[str, str]:
        """Return the uids of our definitions, by name."""
        path = PATHS["CustomResourceDefinition"]
        found = self.cluster.call("GET", path)["items"]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in found}

    def key(self) -> dict[str, Any]:
        """Make an account and a ModelAccessKey, or return the key that there is."""
        path = self.resources.keys(self.namespace, "bot")
        if found := self.get(path):
            return found
        self.resources.account()
        return self.resources.make(self.namespace)


@pytest.fixture
def site(own_cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    """The cluster, with nothing of ours in it afterwards."""
    found = Site(own_cluster, tmp_path)
    yield found
    call("helm", "uninstall", "keyturn", "--ignore-not-found", "--namespace", found.namespace, home=tmp_path)
    for kind in ("deployments", "clusterroles", "clusterrolebindings"):
        everywhere = ["--all-namespaces"] if kind == "deployments" else []
        call("kubectl", "delete", kind, "-l", "app.kubernetes.io/name=keyturn", *everywhere, home=tmp_path)
    found.resources.remove()
    wait_until(lambda: not found.definitions(), "the end of the definitions", seconds=60)


def test_a_release_is_installed_upgraded_and_uninstalled(site: Site) -> None:
    """Definitions and resources outlive it, and are found again by the next release."""
    site.install()
    made, definitions = site.key(), site.definitions()
    found = site.deployment()
    assert found
    assert found["spec"]["replicas"] == 2

    site.helm("upgrade", "keyturn", CHART, "--reuse-values", "--set", "replicas=3", "--set", "tenants=all")
    found = site.deployment()
    assert found
    assert found["spec"]["replicas"] == 3
    assert (site.key()["metadata"]["uid"], site.definitions()) == (made["metadata"]["uid"], definitions)

    done = site.helm("uninstall", "keyturn")
    assert "kept due to the resource policy" in done.stdout
    assert site.deployment() is None
    assert site.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/keyturn") is None
    assert site.cluster.call("GET", PATHS["ValidatingAdmissionPolicy"])["items"] == []
    assert (site.key()["metadata"]["uid"], site.definitions()) == (made["metadata"]["uid"], definitions)

    site.install()
    assert (site.key()["metadata"]["uid"], site.definitions()) == (made["metadata"]["uid"], definitions)


def test_an_upgrade_brings_new_definitions(site: Site, tmp_path: Path) -> None:
    """Helm would leave those in `crds/` of a chart as they were."""
    older = tmp_path / "older"
    shutil.copytree(CHART, older)
    file = older / "templates/crds.yaml"
    file.write_text(file.read_text().replace("    - mak\n", "    - older\n"))
    site.helm("install", "keyturn", older, *IMAGE)
    path = f"{PATHS['CustomResourceDefinition']}/modelaccesskeys.keyturn.dev"
    assert site.cluster.call("GET", path)["spec"]["names"]["shortNames"] == ["older"]
    site.helm("upgrade", "keyturn", CHART, *IMAGE)
    assert site.cluster.call("GET", path)["spec"]["names"]["shortNames"] == ["mak"]


def test_a_second_release_leaves_out_what_the_first_one_has(site: Site) -> None:
    """Another name, other namespaces, its own account: the hard wall between tenants."""
    site.install()
    shared = ("--set", "crds.install=false", "--set", "admission.install=false")
    done = site.helm("install", "team-b", CHART, *IMAGE, code=1)
    assert "cannot be imported into the current release" in done.stderr
    site.helm("install", "team-b", CHART, *IMAGE, *shared, "--set", "accounts={team-b}")
    site.helm("uninstall", "team-b")
    assert site.deployment()


def test_the_plain_manifests_are_accepted(site: Site) -> None:
    """As a dry run of the server, then for real; a second time nothing changes."""
    namespace = yaml.safe_load((INSTALL / "namespace.yaml").read_text())["metadata"]["name"]
    if site.get(f"/api/v1/namespaces/{namespace}") is None:
        site.kubectl("apply", "--server-side", "-f", INSTALL / "namespace.yaml")
    said = site.kubectl("apply", "--server-side", "--dry-run=server", "-k", INSTALL)
    assert "deployment.apps/keyturn serverside-applied (server dry run)" in said
    assert site.definitions() == {}
    site.kubectl("apply", "--server-side", "-k", INSTALL)
    site.served()
    assert "keyturn configured" not in site.kubectl("apply", "--server-side", "--dry-run=server", "-k", INSTALL)


def test_what_kubectl_applied_can_be_moved_to_helm(site: Site) -> None:
    """With the two options that the page names; without them Helm refuses, and changes nothing."""
    site.namespace = "keyturn-system"
    if site.get("/api/v1/namespaces/keyturn-system") is None:
        site.kubectl("apply", "--server-side", "-f", INSTALL / "namespace.yaml")
    site.kubectl("apply", "--server-side", "-k", INSTALL)
    site.served()
    made, definitions = site.key(), site.definitions()
    done = site.helm("install", "keyturn", CHART, *IMAGE, code=1)
    assert "cannot be imported into the current release" in done.stderr
    done = site.helm("install", "keyturn", CHART, *IMAGE, "--set", "replicas=3", "--take-ownership", code=1)
    assert 'conflict with "kubectl"' in done.stderr
    move = ("--take-ownership", "--force-conflicts")
    site.helm("upgrade", "--install", "keyturn", CHART, *IMAGE, "--set", "replicas=3", *move)
    found = site.deployment()
    assert found
    assert found["spec"]["replicas"] == 3
    assert (site.key()["metadata"]["uid"], site.definitions()) == (made["metadata"]["uid"], definitions)
    site.helm("upgrade", "keyturn", CHART, *IMAGE)


RIGHTS: list[tuple[str, str, str, str]] = [
    # verbs, resource, namespace (`own` is the operator's), name
    *[("list watch patch", f"{plural}.keyturn.dev", "", "") for plural in NAMES],
    *[("patch", f"{plural}/status.keyturn.dev", "", "") for plural in NAMES],
    ("list watch", "namespaces", "", ""),
    ("create", "events", "", ""),
    ("get list create patch", "secrets", "own", ""),
    ("get create update", "leases.coordination.k8s.io", "own", ""),
    ("get patch create", "secrets", "payments", "checkout-bot"),
    ("get", "secrets", "payments", "do-token"),
    ("get patch create", "secrets", "shop", "any"),
]
REFUSED: list[tuple[str, str, str, str]] = [
    ("delete deletecollection update watch", "secrets", "own", ""),
    ("delete patch list", "leases.coordination.k8s.io", "own", ""),
    ("get create update", "leases.coordination.k8s.io", "payments", ""),
    ("get patch create", "secrets", "payments", "other"),
    ("patch create delete update", "secrets", "payments", "do-token"),
    ("get list watch", "secrets", "payments", ""),
    ("list watch delete update", "secrets", "shop", ""),
    ("get list watch patch create", "secrets", "default", ""),
    ("get", "secrets", "kube-system", ""),
    *[("create update delete deletecollection", f"{plural}.keyturn.dev", "", "") for plural in NAMES],
    ("use", "keyturnaccounts.keyturn.dev", "", ""),
    ("use", "clusterkeyturnaccounts.keyturn.dev", "", ""),
    ("create patch delete", "namespaces", "", ""),
    ("get list patch delete", "events", "", ""),
    ("get list create", "pods", "own", ""),
    ("create", "pods/exec", "own", ""),
    ("create", "serviceaccounts/token", "own", ""),
    ("get list", "configmaps", "own", ""),
    ("get patch escalate bind", "roles.rbac.authorization.k8s.io", "own", ""),
    ("impersonate", "users", "", ""),
    ("get", "customresourcedefinitions.apiextensions.k8s.io", "", ""),
]


@pytest.fixture
def asked(site: Site) -> Asked:
    """The chart with Roles in two namespaces, and its service account as the pod has it."""
    spaces = {"own": site.namespace, "payments": site.cluster.namespace(), "shop": site.cluster.namespace()}
    values = site.home / "values.yaml"
    named = {"namespace": spaces["payments"], "secrets": ["checkout-bot"], "tokens": ["do-token"]}
    values.write_text(yaml.safe_dump({"tenants": [named, {"namespace": spaces["shop"]}]}))
    site.install("-f", str(values))
    token = site.kubectl("create", "token", "keyturn", "-n", site.namespace).strip()
    return Asked(site, token, spaces)


class Asked:
    """What a service account may do, as the API server says itself."""

    def __init__(self, site: Site, token: str, spaces: dict[str, str]) -> None:
        self.site, self.token, self.spaces = site, token, spaces

    def may(self, verb: str, resource: str, namespace: str, name: str) -> bool:
        """Ask. `resource` is `PLURAL[/PART][.GROUP]`."""
        plural, _, group = resource.partition(".")
        plural, _, part = plural.partition("/")
        wanted = {"verb": verb, "resource": plural, "subresource": part, "group": group, "name": name}
        wanted["namespace"] = self.spaces.get(namespace, namespace)
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        body = {"spec": {"resourceAttributes": wanted}}
        answer = self.site.cluster.call("POST", path, body, Authorization=f"Bearer {self.token}")
        return bool(answer["status"]["allowed"])


def test_the_operator_has_the_rights_that_it_needs_and_no_others(asked: Asked) -> None:
    """Nothing may be deleted, and no Secret be read that the values do not name."""
    for table, wanted in ((RIGHTS, True), (REFUSED, False)):
        for verbs, *what in table:
            for verb in verbs.split():
                assert asked.may(verb, *what) is wanted, (verb, *what)


def test_no_right_is_left_out_of_the_table(asked: Asked) -> None:
    """Every rule of the chart's roles is one that the table above names."""
    named = {(verb, resource) for verbs, resource, *_ in RIGHTS for verb in verbs.split()}
    given = set()
    for kind in ("clusterroles", "roles"):
        found = json.loads(asked.site.kubectl("get", kind, "-A", "-l", "app.kubernetes.io/name=keyturn", "-o", "json"))
        for rule in (rule for role in found["items"] for rule in role["rules"]):
            for group in rule["apiGroups"]:
                given |= {
                    (verb, f"{plural}.{group}" if group else plural)
                    for verb in rule["verbs"]
                    for plural in rule["resources"]
                }
    assert given == named


def test_the_code_can_work_with_these_rights(asked: Asked) -> None:
    """A Lease, a record, a delivery to a named Secret that is new, and to any Secret of the other namespace."""
    cluster = asked.site.cluster
    with contextlib.closing(server_of(cluster, asked.token)) as server:
        _work(asked, server)
    for plural in NAMES:
        assert cluster.call("GET", f"{HOME}/{plural}", Authorization=f"Bearer {asked.token}")["items"] == []


def _work(asked: Asked, server: Server) -> None:
    lease = Lease(server, (asked.spaces["own"], "team"), "one", uptime=time.monotonic, now=lambda: NOW)
    for _ in range(2):
        lease.turn()
        assert (lease.held(), lease.trouble) == (True, "")
    secrets = Secrets(server, "operator")
    content = {"type": "Opaque", "data": {"MODEL_ACCESS_KEY": encoded("s")}}
    for space, name in (("own", "record"), ("payments", "checkout-bot"), ("shop", "any")):
        place = Place(asked.spaces[space], name)
        assert secrets.create(place, content, unguarded)
        found = secrets.read(place)
        assert secrets.change(place, found.version, {"data": {"MODEL_ACCESS_KEY": encoded("t")}}, unguarded)
    with pytest.raises(TargetForbidden):
        secrets.create(Place(asked.spaces["payments"], "other"), content, unguarded)
