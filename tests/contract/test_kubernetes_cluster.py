"""The target against a real API server: roles, admission, dry runs, and what other kinds of Secrets it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from keyturn.core.errors import CredentialError, InputError, TargetForbidden, TargetMisfit
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.kubernetes import KubernetesTarget
from tests.cluster.control_plane import Cluster
from tests.contract.place_kubernetes import KubernetesPlace, KubernetesRecords
from tests.contract.test_documents import free

FIELD = "MODEL_ACCESS_KEY"
OLD, NEW = Secret("sk-do-old-" + "o" * 54), Secret("sk-do-new-" + "n" * 54)


def rule(*verbs: str, **more: object) -> dict[str, object]:
    """A rule about Secrets."""
    return {"apiGroups": [""], "resources": ["secrets"], "verbs": list(verbs), **more}


@pytest.fixture
def place(cluster: Cluster, tmp_path: Path) -> Iterator[KubernetesPlace]:
    """A namespace."""
    found = KubernetesPlace(cluster, tmp_path)
    yield found
    found.close()


def as_user(
    place: KubernetesPlace, folder: Path, *rules: dict[str, object], writers: dict[str, str] | None = None
) -> KubernetesTarget:
    """The target with the rights of these rules only."""
    token = place.cluster.user({place.namespace: rules})
    config = place.cluster.write_kubeconfig(folder / "limited.json", token)
    return place.target(writers=writers, KUBECONFIG=str(config))


def mark(place: KubernetesPlace, path: str, **metadata: object) -> None:
    """Change the metadata of a Secret, as its owner."""
    merge = {"Content-Type": "application/merge-patch+json"}
    place.cluster.call("PATCH", f"/api/v1/namespaces/{place.namespace}/secrets/{path}", {"metadata": metadata}, **merge)


def test_one_name_may_be_granted(place: KubernetesPlace, tmp_path: Path) -> None:
    """With `resourceNames` a Secret is created by server-side apply; every other name is refused, with the rule."""
    path = place.path()
    target = as_user(place, tmp_path, rule("get", "patch", "create", resourceNames=[path]))
    target.preflight(path, FIELD)
    assert place.fields(path) is None
    target.write(path, FIELD, OLD, None, free)
    target.write(path, FIELD, NEW, OLD, free)
    assert place.fields(path) == {FIELD: NEW.reveal()}
    with pytest.raises(TargetForbidden, match="resourceNames: "):
        target.read(place.path(), FIELD)


def test_a_secret_that_became_someone_elses_is_not_written(place: KubernetesPlace) -> None:
    """Also after the preflight: what counts is the very version that is written over. Our own value may be removed."""
    path = place.path()
    target = place.target(writers={f"{path}#{FIELD}": "bot"})
    target.write(path, FIELD, OLD, None, free)
    target.preflight(path, FIELD)
    mark(place, path, labels={"app.kubernetes.io/managed-by": "Helm"})
    for act in (lambda: target.write(path, FIELD, NEW, OLD, free), lambda: target.preflight(path, FIELD)):
        with pytest.raises(
            TargetMisfit, match=r"keyturn did not make this Secret.*keyturn.dev/allow does not say 'bot'"
        ):
            act()
    assert place.fields(path) == {FIELD: OLD.reveal()}
    target.remove(path, FIELD, OLD, free)
    assert place.fields(path) == {}


def test_the_owner_of_a_secret_says_who_may_write_it(place: KubernetesPlace) -> None:
    """By name and for its own field only; without the setting each Secret may be written."""
    path = place.path()
    place.seed(path, {"password": "theirs"})
    target = place.target(writers={f"{path}#{FIELD}": "bot", f"{path}#OTHER": "another"})
    mark(place, path, annotations={"keyturn.dev/allow": "first, bot"})
    target.write(path, FIELD, NEW, None, free)
    for field in ("OTHER", "UNKNOWN"):
        with pytest.raises(TargetMisfit, match="keyturn did not make this Secret"):
            target.write(path, field, NEW, None, free)
    assert place.fields(path) == {"password": "theirs", FIELD: NEW.reveal()}
    place.target().write(path, "OTHER", NEW, None, free)


def test_a_secret_that_appears_before_the_write_is_not_merged_into(place: KubernetesPlace, tmp_path: Path) -> None:
    """Whether it would be created by a POST, or by an apply, which merges into what is there."""
    for limited in ({}, {"resourceNames": [path := place.path()]}):
        target = as_user(place, tmp_path, rule("get", "patch", "create", **limited), writers={f"{path}#{FIELD}": "bot"})
        target.preflight(path, FIELD)
        place.seed(path, {"password": "theirs"})
        with pytest.raises(TargetMisfit, match="keyturn did not make this Secret"):
            target.write(path, FIELD, NEW, None, free)
        assert place.fields(path) == {"password": "theirs"}
        place.cluster.call("DELETE", f"/api/v1/namespaces/{place.namespace}/secrets/{path}")


def test_a_preflight_finds_a_missing_right(place: KubernetesPlace, tmp_path: Path) -> None:
    """Before any secret is made: to write what is there, and to create what is not."""
    path = place.path()
    place.seed(path, {FIELD: OLD.reveal()})
    target = as_user(place, tmp_path, rule("get"))
    with pytest.raises(TargetForbidden, match=r"verbs: \[get, patch\]"):
        target.preflight(path, FIELD)
    with pytest.raises(TargetForbidden, match=r"verbs: \[create, get, patch\]"):
        target.preflight(place.path(), FIELD)


def test_a_preflight_finds_what_admission_would_refuse(place: KubernetesPlace) -> None:
    """An immutable Secret, which a dry run without a change would not find."""
    path = place.path()
    place.seed(path, {FIELD: OLD.reveal()})
    place.cluster.call(
        "PATCH",
        f"/api/v1/namespaces/{place.namespace}/secrets/{path}",
        {"immutable": True},
        **{"Content-Type": "application/merge-patch+json"},
    )
    with pytest.raises(TargetMisfit, match="immutable"):
        place.target().preflight(path, FIELD)
    assert place.fields(path) == {FIELD: OLD.reveal()}


def test_secrets_of_kubernetes_itself_are_neither_read_nor_written(place: KubernetesPlace) -> None:
    """A service account's token is no model access key, whatever a manifest says."""
    name = place.path()
    body = {"metadata": {"name": name}, "type": "kubernetes.io/basic-auth", "data": {"username": "bWU="}}
    place.cluster.call("POST", f"/api/v1/namespaces/{place.namespace}/secrets", body)
    target = place.target()
    for act in (
        lambda: target.read(name, "username"),
        lambda: target.write(name, FIELD, NEW, None, free),
        lambda: target.preflight(name, FIELD),
    ):
        with pytest.raises(TargetMisfit, match="type of its own"):
            act()
    assert place.fields(name) == {"username": "me"}


def test_a_record_is_no_place_for_a_secret(cluster: Cluster, tmp_path: Path) -> None:
    """Nor is its type taken for a delivery's."""
    place = KubernetesRecords(cluster, tmp_path)
    target, path = place.target(), place.path()
    target.write_document(path, '{"schema": 1, "owner": "o", "key": "k", "digest_key": "x"}', "0", free)
    (name,) = [one["metadata"]["name"] for one in listed(place)]
    with pytest.raises(TargetMisfit, match="holds a record"):
        target.read(name, FIELD)
    place.close()


def listed(place: KubernetesPlace) -> list[dict[str, Any]]:
    """The Secrets of the namespace."""
    found: list[dict[str, Any]] = place.cluster.call("GET", f"/api/v1/namespaces/{place.namespace}/secrets")["items"]
    return found


def test_nothing_but_the_field_is_changed(place: KubernetesPlace) -> None:
    """Labels, annotations and other keys stay; the manager of ours is named."""
    path = place.path()
    body = {
        "metadata": {"name": path, "labels": {"app": "x"}, "annotations": {"a": "b"}},
        "data": {"other": "a2VwdA=="},
    }
    place.cluster.call("POST", f"/api/v1/namespaces/{place.namespace}/secrets", body)
    place.target().write(path, FIELD, NEW, None, free)
    (found,) = listed(place)
    assert found["metadata"]["labels"] == {"app": "x"}
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["data"]["other"] == "a2VwdA=="
    assert "keyturn" in {manager["manager"] for manager in found["metadata"]["managedFields"]}


@pytest.mark.parametrize("path", ["a/b", "Upper", "-x", "a_b", "x" * 254])
def test_a_path_is_the_name_of_a_secret(place: KubernetesPlace, path: str) -> None:
    """One place has one name: a path cannot lead into another namespace, which has a target of its own."""
    with pytest.raises(InputError, match="is not the name of a Secret"):
        place.target().read(path, FIELD)


def test_a_namespace_that_is_missing_is_named(cluster: Cluster, tmp_path: Path) -> None:
    """By the preflight of the first delivery, to a login that may create anything anywhere."""
    kubeconfig = cluster.write_kubeconfig(tmp_path / "admin.json", cluster.admin)
    context = TargetContext(
        name="cluster",
        settings={"address": cluster.origin, "namespace": "nowhere"},
        environment={"KUBECONFIG": str(kubeconfig)},
        request=20,
    )
    target = KubernetesTarget(context)
    with pytest.raises(TargetMisfit, match="there is no namespace nowhere"):
        target.preflight("app", FIELD)
    target.close()


def test_a_refused_login_is_exit_code_five(place: KubernetesPlace, tmp_path: Path) -> None:
    """A token that the server does not know."""
    config = place.cluster.write_kubeconfig(tmp_path / "wrong.json", "nobody")
    with pytest.raises(CredentialError, match="answered 401"):
        place.target(KUBECONFIG=str(config)).read(place.path(), FIELD)


@pytest.mark.parametrize("field", [".", "..", "..x", "a/b", "ä", "x" * 254, "a b"])
def test_a_field_that_a_secret_cannot_have_is_refused(place: KubernetesPlace, field: str) -> None:
    """Before anything is sent; the server agrees."""
    with pytest.raises(InputError, match="cannot have this field"):
        place.target().read(place.path(), field)
    with pytest.raises(httpx.HTTPStatusError):
        place.seed(place.path(), {field: "x"})
