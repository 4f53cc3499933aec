"""Operators that start again, die, share accounts, lose the API server, or follow a command line; and no leak."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from keyturn.sandbox import Sandbox, Settings
from tests.cluster.control_plane import Cluster
from tests.cluster.operating import FIELD, Cell, Tenant
from tests.cluster.resources import HOME, PATHS, Resources, refused
from tests.support.process import bare_environment, run, wait_until

SHORT = {"overlap": "1s"}


@pytest.fixture
def cell(resources: Resources, tmp_path: Path) -> Iterator[Cell]:
    """A namespace for operators, with a sandbox of its own."""
    with Sandbox(seed=1, settings=Settings(minute_limit=100_000, hour_limit=1_000_000)) as sandbox:
        found = Cell(resources, sandbox, tmp_path, resources.cluster.namespace())
        found.prepare()
        yield found


def versions(tenant: Tenant) -> dict[str, str]:
    """Return the version of each resource and Secret that an operator may write."""
    cluster, found = tenant.cell.resources.cluster, [tenant.read_account()]
    paths = [tenant.cell.resources.keys(tenant.name)]
    paths += [f"/api/v1/namespaces/{namespace}/secrets" for namespace in (tenant.name, tenant.cell.home)]
    for path in paths:
        found += cluster.call("GET", path)["items"]
    return {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in found}


def test_a_restart_lists_once_and_writes_nothing(cell: Cell) -> None:
    """Also with a key that waits and two that are refused. A graceful stop gives the Lease up at once."""
    tenant = cell.tenant()
    cell.secret(tenant.name, "theirs", {"password": "x"})
    with cell.operator("--account", tenant.account, quick=False) as first:
        tenant.make("one")
        tenant.make("waits", made=False)
        tenant.make("wrong", made=False, rotation={"every": "1h"})
        tenant.make("thief", made=False, deliver=[{"secret": {"name": "theirs"}}])
        tenant.ready("one")
        tenant.until(lambda: "Ready" in tenant.conditions("thief"), "the one that wants another one's Secret")
        assert tenant.conditions("thief")["Ready"]["reason"] == "FieldInUse"
        tenant.until(lambda: "Ready" in tenant.conditions("waits"), "the one that waits")
        tenant.until(lambda: "Ready" in tenant.conditions("wrong"), "the one that is wrong")
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(30) == 0
        assert "Stopped." in first.log.read_text()
    before, looks, mints = versions(tenant), tenant.looks(), tenant.mints()
    with cell.operator("--account", tenant.account, quick=False) as second:
        shown = f'key="{tenant.name}.one"'
        wait_until(lambda: shown in second.get("/metrics").text, "the first look", seconds=30)
        health = second.get("/healthz").json()
        assert (health["status"], health["accounts"], health["in_trouble"]) == ("ok", 1, 0)
    assert versions(tenant) == before
    assert tenant.looks() == looks + 1
    assert tenant.mints() == mints


def test_after_a_kill_the_other_one_takes_over(cell: Cell) -> None:
    """Of two, one works; nothing is minted twice."""
    tenant = cell.tenant()
    mine = ("--account", tenant.account)
    with cell.operator(*mine, name="pod-a") as first, cell.operator(*mine, name="pod-b") as second:
        tenant.make("before", rotation=SHORT)
        tenant.ready("before")
        holder = tenant.holder()
        one, other = (first, second) if holder == "pod-a" else (second, first)
        assert other.get("/healthz").json()["accounts"] == 0
        os.kill(one.process.pid, signal.SIGKILL)
        one.process.wait(10)
        tenant.make("after", rotation=SHORT)
        tenant.ready("after", seconds=60)
        assert tenant.holder() != holder
        assert tenant.read("before")["status"]["keyGeneration"] == 1
        assert tenant.delivered_once("before", "after")


def test_after_a_restart_of_the_api_server_it_goes_on(cell: Cell, cluster: Cluster) -> None:
    """By itself, with what changed meanwhile."""
    tenant = cell.tenant()
    with cell.operator("--account", tenant.account) as operator:
        tenant.make("before")
        tenant.ready("before")
        cluster.restart()
        # After its start the server refuses all keys, until it knows the kind of account that a policy names.
        named = {"accountRef": {"kind": "ClusterKeyturnAccount", "name": tenant.account}}
        refusal = partial(refused, cell.resources, tenant.name, cluster.admin, named)
        wait_until(lambda: not refusal(), "the policies", seconds=120)
        tenant.make("after")
        tenant.ready("after", seconds=90)
        assert operator.get("/healthz").status_code == 200


def manifest(tenant: Tenant, file: Path) -> None:
    """Write the manifest of docs/kubernetes.md for the key `bot`."""
    where = {"type": "kubernetes", "address": tenant.cell.resources.cluster.origin}
    entry = {
        "name": f"{tenant.name}-bot",
        "adopt": {"secret": "regenerate"},
        "rotation": {"strategy": "alternating", "every": "720h", "overlap": "1s"},
        "smoke": {"model": "llama3.3-70b-instruct"},
        "deliver": [{"target": tenant.name, "path": "bot", "field": FIELD}],
    }
    whole = {
        "apiVersion": "keyturn/v1",
        "name": tenant.account,
        "targets": {
            "keyturn.records": {**where, "namespace": tenant.cell.home},
            tenant.name: {**where, "namespace": tenant.name},
        },
        "records": {"target": "keyturn.records"},
        "keys": {f"{tenant.name}.bot": entry},
    }
    file.write_text(yaml.safe_dump(whole))


def test_the_command_line_takes_a_key_over_and_back(cell: Cell, tmp_path: Path) -> None:
    """Both have the same records, so neither mints what the other one has made."""
    tenant, file = cell.tenant(), tmp_path / "keyturn.yaml"
    with cell.operator("--account", tenant.account):
        tenant.make(rotation=SHORT)
        tenant.ready()
        tenant.until(lambda: "retireTime" not in tenant.read()["status"], "the end of the overlap", seconds=90)
    manifest(tenant, file)
    environment = bare_environment(KUBECONFIG=str(cell.kubeconfig), **cell.sandbox.exports)
    mints = tenant.mints()

    def keyturn(*arguments: str) -> str:
        done = run([sys.executable, "-m", "keyturn.cli", *arguments, "-f", str(file)], env=environment, seconds=90)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    keyturn("apply", "--yes", "--verify")
    assert tenant.mints() == mints
    keyturn("rotate", f"{tenant.name}.bot", "--reason", "INC-43", "--yes")
    rotated = tenant.value()
    assert cell.sandbox.accepts(rotated)
    mints = tenant.mints()
    with cell.operator("--account", tenant.account):
        tenant.until(lambda: tenant.read()["status"].get("keyGeneration") == 2, "the operator sees it")
        tenant.ready()
    assert tenant.value() == rotated
    assert tenant.mints() <= mints + 1  # the old secret is retired once, by one of the two


def test_no_secret_is_anywhere_but_in_secrets(cell: Cell) -> None:
    """Neither in logs, even with -vv, nor in Events, annotations, statuses, field managers, or what is served."""
    tenant = cell.tenant()
    with cell.operator("--account", tenant.account, "-vv") as operator:
        tenant.make("one", rotation=SHORT)
        tenant.ready("one")
        tenant.until(lambda: "retireTime" not in tenant.read("one")["status"], "the retire", seconds=90)
        tenant.annotate("one", rotate="canary")
        tenant.until(lambda: tenant.read("one")["status"]["keyGeneration"] == 2, "the rotation")
        tenant.make("two", made=False)
        tenant.until(lambda: "Ready" in tenant.conditions("two"), "a key that waits")
        served = "".join(operator.get(path).text for path in ("/healthz", "/readyz", "/metrics", "/"))
        probes = "".join(operator.get(path).text for path in ("/healthz", "/readyz"))
        assert not [name for name in (tenant.name, tenant.account, "one") if name in probes]
    texts = [served, *(log.read_text() for log in cell.logs)]
    for path in (
        tenant.cell.resources.keys(tenant.name),
        PATHS["ClusterKeyturnAccount"],
        f"{HOME}/keyturnaccounts",
        "/api/v1/events",
        "/apis/coordination.k8s.io/v1/leases",
        "/api/v1/secrets",
    ):
        for item in cell.resources.cluster.call("GET", path)["items"]:
            item.pop("data", None)
            texts.append(json.dumps(item))
    whole = "\n".join(texts)
    secrets = [
        *(minted.value for minted in cell.sandbox.state.secrets.values()),
        cell.sandbox.exports["DIGITALOCEAN_TOKEN"],
        cell.token,
    ]
    assert len(secrets) > 4
    leaked = [secret for secret in secrets if secret in whole or base64.b64encode(secret.encode()).decode() in whole]
    assert not leaked
    assert "pod-" in whole
    assert '"manager": "keyturn"' in whole
    leases = cell.resources.cluster.call("GET", f"/apis/coordination.k8s.io/v1/namespaces/{cell.home}/leases")["items"]
    assert {one["manager"] for lease in leases for one in lease["metadata"]["managedFields"]} == {"keyturn"}
