"""The KV engine of a real server: deleted paths, self-deleting records, and mounts that are not what they seem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from keyturn.core.errors import TargetMisfit
from keyturn.core.secret import Secret
from keyturn.targets.vault import VaultTarget
from tests.contract.place_vault import VaultPlace, VaultRecords, context, documented_policy, login_with
from tests.contract.test_documents import free
from tests.support.openbao import OpenBao

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")


def listed(openbao: OpenBao, above: str) -> dict[str, str]:
    """Permit mounts below `above`: the server could take it for a namespace."""
    return {"KEYTURN_ALLOWED_ORIGINS": f"vault={openbao.address}#{above}"}


@pytest.fixture
def place(openbao: OpenBao) -> Iterator[VaultPlace]:
    """A place for deliveries."""
    place = VaultPlace(openbao)
    yield place
    place.close()


@pytest.fixture
def records(openbao: OpenBao) -> Iterator[VaultRecords]:
    """A place for documents."""
    place = VaultRecords(openbao)
    yield place
    place.close()


@pytest.fixture
def mount(openbao: OpenBao) -> Iterator[str]:
    """A KV v2 mount of its own, for settings that concern all its paths."""
    name = f"kv-{uuid4().hex}"
    openbao.call("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}})
    yield name
    openbao.call("DELETE", f"sys/mounts/{name}")


@pytest.mark.parametrize("how", ["DELETE secret/data", "PUT secret/destroy", "DELETE secret/metadata"])
def test_a_deleted_delivery_is_absent_and_can_be_written(place: VaultPlace, how: str) -> None:
    """The other fields of what was deleted do not come back, and the write names the version that the server wants."""
    target, path = place.target(), place.path()
    place.seed(path, {"KEY": OLD.reveal(), "other": "1"})
    method, endpoint = how.split()
    place.server.call(method, f"{endpoint}/{path}", {"versions": [1]} if method == "PUT" else None)
    assert target.read(path, "KEY").secret is None
    assert target.read_version(path, "KEY", "1") is None
    target.preflight(path, "KEY")
    target.write(path, "KEY", NEW, None, free)
    assert place.fields(path) == {"KEY": NEW.reveal()}


def test_a_destroyed_document_is_an_error(records: VaultRecords) -> None:
    """The words say that an earlier version is what is left."""
    target, path = records.target(), records.path()
    version = target.write_document(path, "{}", "0", free)
    records.server.call("PUT", f"secret/destroy/{path}", {"versions": [version]})
    with pytest.raises(TargetMisfit, match=r"destroyed.*rollback"):
        target.read_document(path)


def test_the_remedy_for_a_deleted_document_works(records: VaultRecords) -> None:
    """What the message says to type brings it back."""
    target, path = records.target(), records.path()
    version = target.write_document(path, '{"n": 1}', "0", free)
    records.lose(path)
    with pytest.raises(TargetMisfit, match=f"undelete -mount=secret -versions={version} {path}"):
        target.read_document(path)
    records.server.call("POST", f"secret/undelete/{path}", {"versions": [version]})
    assert target.read_document(path).text == '{"n": 1}'


@pytest.mark.parametrize("fields", [{}, {"document": 1}, {"document": {"a": 1}}, {"other": "x"}])
def test_a_path_that_holds_something_else_is_no_document(records: VaultRecords, fields: dict[str, object]) -> None:
    """Neither nothing, nor a document: an operator has to look."""
    path = records.path()
    records.seed(path, fields)
    with pytest.raises(TargetMisfit, match="not a keyturn document"):
        records.target().read_document(path)


def test_a_mount_that_deletes_by_itself_is_refused_for_records(openbao: OpenBao, mount: str) -> None:
    """`delete_version_after` on the mount would remove records without a word."""
    target = VaultTarget(context(openbao, mount=mount))
    target.check_documents("keyturn")
    openbao.call("POST", f"{mount}/config", {"delete_version_after": "720h"})
    with pytest.raises(TargetMisfit, match="720h"):
        target.check_documents("keyturn")
    target.close()


def test_a_record_that_deletes_itself_is_found_and_can_be_healed(records: VaultRecords) -> None:
    """`delete_version_after` on its path shows at the first write and at every read; the remedy works."""
    target, path = records.target(), records.path()
    records.server.call("POST", f"secret/metadata/{path}", {"delete_version_after": "24h"})
    with pytest.raises(TargetMisfit, match="will delete this document"):
        target.write_document(path, "{}", "0", free)
    with pytest.raises(TargetMisfit, match="will delete this document"):
        target.read_document(path)
    records.server.call("POST", f"secret/metadata/{path}", {"delete_version_after": "0s"})
    records.server.call("POST", f"secret/undelete/{path}", {"versions": [1]})
    assert target.read_document(path).text == "{}"


@pytest.mark.parametrize("most", [1, 2])
def test_few_kept_versions_do_no_harm(openbao: OpenBao, mount: str, most: int) -> None:
    """With `max_versions` small, versions go on counting and the earlier secret is simply gone."""
    openbao.call("POST", f"{mount}/config", {"max_versions": most, "cas_required": True})
    target = VaultTarget(context(openbao, mount=mount))
    first = target.write("apps/x", "KEY", OLD, None, free)
    second = target.write("apps/x", "KEY", NEW, OLD, free)
    assert target.read("apps/x", "KEY").version == second
    assert target.read_version("apps/x", "KEY", first) == (OLD if most > 1 else None)
    target.close()


def test_version_1_of_the_engine_is_refused_before_anything_is_written(openbao: OpenBao) -> None:
    """There every path looks absent, and takes a write that would store our request as the secret."""
    name = f"kv1-{uuid4().hex}"
    openbao.call("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "1"}})
    target = VaultTarget(context(openbao, mount=name))
    with pytest.raises(TargetMisfit, match="KV version 1"):
        target.write("apps/x", "KEY", NEW, None, free)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        openbao.call("GET", f"{name}/?list=true")
    target.close()


@pytest.mark.parametrize(
    ("mount", "match"),
    [("nope", "no mount 'nope'"), ("secret/apps", "the mount is 'secret'"), ("cubbyhole", "cubbyhole")],
)
@pytest.mark.parametrize("root", [True, False])
def test_a_wrong_mount_is_named(openbao: OpenBao, mount: str, match: str, root: object) -> None:
    """Not there, a folder of another mount, or another engine: for root and for a small policy alike."""
    token = "" if root else login_with(openbao, documented_policy())
    made = context(openbao, token, mount=mount)
    target = VaultTarget(replace(made, environment={**made.environment, **listed(openbao, "secret")}))
    with pytest.raises(TargetMisfit, match=match):
        target.read("apps/x", "KEY")
    target.close()


def test_a_mount_may_have_several_segments(openbao: OpenBao) -> None:
    """`mount: team/kv` is one mount, if `team` is permitted: it could be a namespace."""
    team = f"team-{uuid4().hex}"
    name = f"{team}/kv"
    openbao.call("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}})
    made = context(openbao, mount=f"/{name}/")
    target = VaultTarget(replace(made, environment={**made.environment, **listed(openbao, team)}))
    target.write("x", "KEY", NEW, None, free)
    assert target.read("x", "KEY").secret == NEW
    target.close()


def test_a_mount_that_goes_away_is_named(openbao: OpenBao, mount: str) -> None:
    """Its paths are not taken for absent ones."""
    target = VaultTarget(context(openbao, mount=mount))
    target.write("x", "KEY", NEW, None, free)
    openbao.call("DELETE", f"sys/mounts/{mount}")
    with pytest.raises(TargetMisfit, match="no mount"):
        target.read("x", "KEY")
    target.close()


def test_namespaces_are_kept_apart(openbao: OpenBao) -> None:
    """The namespace of the settings is the one that is read, written and logged in to; an unknown one is named."""
    name = f"ns-{uuid4().hex}"
    openbao.call("POST", f"sys/namespaces/{name}")
    openbao.call("POST", f"{name}/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})

    def target_in(namespace: str) -> VaultTarget:
        made = context(openbao, **({"namespace": namespace} if namespace else {}))
        return VaultTarget(replace(made, environment={**made.environment, "VAULT_NAMESPACE": namespace}))

    inside, outside = target_in(name), target_in("")
    inside.write("apps/ns", "KEY", NEW, None, free)
    assert inside.read("apps/ns", "KEY").secret == NEW
    assert outside.read("apps/ns", "KEY").secret is None
    unknown = target_in("nope")
    with pytest.raises(TargetMisfit, match="no such namespace"):
        unknown.read("apps/ns", "KEY")
    for target in (inside, outside, unknown):
        target.close()
