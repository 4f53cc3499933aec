"""The policy that docs/targets.md prints is enough, and none of its lines is too much."""

from __future__ import annotations

from uuid import uuid4

import pytest

from keyturn.core.errors import KeyturnError, TargetForbidden
from keyturn.core.secret import Secret
from keyturn.targets.vault import VaultTarget
from tests.contract.place_vault import context, documented_policy, login_with
from tests.contract.test_documents import free
from tests.support.openbao import OpenBao

SECRET = Secret("sk-do-example")


def use_everything(target: VaultTarget) -> None:
    """Do all that a run of keyturn does."""
    delivery, record = f"apps/{uuid4().hex}", f"keyturn/{uuid4().hex}"
    target.check_documents(record)
    target.write_document(record, "{}", target.read_document(record).version, free)
    target.list_documents("keyturn")
    target.preflight(delivery, "KEY")
    version = target.write(delivery, "KEY", SECRET, None, free)
    target.preflight(delivery, "KEY")
    assert target.read_version(delivery, "KEY", version) == SECRET
    target.remove(delivery, "KEY", SECRET, free)


def test_the_documented_policy_is_enough(openbao: OpenBao) -> None:
    """A token that holds it and nothing else, not even `default`, can do all that keyturn does."""
    target = VaultTarget(context(openbao, login_with(openbao, documented_policy())))
    use_everything(target)
    target.close()


@pytest.mark.parametrize("line", range(4))
def test_with_one_line_less_the_missing_one_is_named(openbao: OpenBao, line: int) -> None:
    """The error prints the path and the capabilities to add."""
    lines = [text for text in documented_policy().splitlines() if text.startswith("path")]
    assert len(lines) == 4
    missing = lines.pop(line)
    target = VaultTarget(context(openbao, login_with(openbao, "\n".join(lines))))
    with pytest.raises(TargetForbidden) as caught:
        use_everything(target)
    target.close()
    path, capabilities = missing.split('"', 2)[1], missing[missing.index("{") :]
    assert path.rstrip("*") in str(caught.value)
    assert capabilities in str(caught.value)


@pytest.mark.parametrize(
    ("capabilities", "refused"),
    [
        (["create", "update"], "read"),
        (["create", "read"], "update"),
        (["update", "read"], "create"),
        (["read"], "create"),
    ],
)
def test_preflight_finds_a_capability_that_is_missing(openbao: OpenBao, capabilities: list[str], refused: str) -> None:
    """Before anything is written, at a place where nothing is yet; with `default`, the server can be asked."""
    name = uuid4().hex
    openbao.policy(name, {"secret/data/apps/*": capabilities})
    body = {"policies": [name, "default"], "ttl": "1h", "no_parent": True}
    auth = openbao.call("POST", "auth/token/create", body)["auth"]
    assert isinstance(auth, dict)
    target = VaultTarget(context(openbao, str(auth["client_token"])))
    with pytest.raises(KeyturnError, match=refused):
        target.preflight(f"apps/{uuid4().hex}", "KEY")
    target.close()


@pytest.mark.parametrize("seeded", [True, False])
def test_preflight_finds_a_place_that_may_only_be_read(openbao: OpenBao, seeded: object) -> None:
    """Without `default` the write itself is the question; its content stays."""
    path = f"apps/{uuid4().hex}"
    if seeded:
        openbao.call("POST", f"secret/data/{path}", {"data": {"KEY": "sk-do-1"}})
    target = VaultTarget(context(openbao, login_with(openbao, 'path "secret/data/apps/*" { capabilities = ["read"] }')))
    with pytest.raises(TargetForbidden, match="write"):
        target.preflight(path, "KEY")
    assert target.read(path, "KEY").secret == (Secret("sk-do-1") if seeded else None)
    target.close()
