"""The actions of the policy in docs/targets.md are enough and none is too much (moto looks at no resources)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from uuid import uuid4

import pytest

from keyturn.core.errors import TargetForbidden
from keyturn.core.secret import Secret
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TargetContext
from tests.contract.place_vault import DOCUMENTATION
from tests.contract.test_documents import free
from tests.support.moto import Moto

SECRET = Secret("sk-do-example")


def documented_actions() -> list[str]:
    """Return the actions of the policy as users copy it."""
    found = re.search(r"```json\n(\{\s*\"Version\".*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert found, "docs/targets.md holds no IAM policy"
    return [action for statement in json.loads(found[1])["Statement"] for action in statement["Action"]]


@pytest.fixture(scope="module")
def strict() -> Iterator[Moto]:
    """An AWS that checks signatures and policies while a test wants it to."""
    with Moto() as server:
        yield server


def login_with(server: Moto, actions: Sequence[str]) -> AwsTarget:
    """Return a target whose user may do just this."""
    server.enforce(iam=False)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    environment = server.user({"Version": "2012-10-17", "Statement": [statement]})
    server.enforce(iam=True)
    return AwsTarget(TargetContext(name="aws", settings={"create": True}, environment=environment, request=10))


def use_everything(target: AwsTarget) -> None:
    """Do all that a run of keyturn does."""
    delivery, record = f"prod/{uuid4().hex}", f"keyturn/{uuid4().hex}"
    target.check_documents(record)
    target.write_document(record, "{}", target.read_document(record).version, free)
    target.list_documents("keyturn")
    target.preflight(delivery, "KEY")
    version = target.write(delivery, "KEY", SECRET, None, free)
    target.preflight(delivery, "KEY")
    assert target.read_version(delivery, "KEY", version) == SECRET
    target.remove(delivery, "KEY", SECRET, free)


def test_the_documented_actions_are_enough(strict: Moto) -> None:
    """A user who may do these and nothing else can do all that keyturn does."""
    target = login_with(strict, documented_actions())
    use_everything(target)
    target.close()


@pytest.mark.parametrize("missing", documented_actions())
def test_with_one_action_less_it_is_named(strict: Moto, missing: str) -> None:
    """The error names what the policy has to allow."""
    target = login_with(strict, [action for action in documented_actions() if action != missing])
    with pytest.raises(TargetForbidden, match=missing):
        use_everything(target)
    target.close()


@pytest.mark.parametrize("missing", ["secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"])
def test_preflight_finds_that_a_secret_may_not_be_written(strict: Moto, missing: str) -> None:
    """Before any mint; what consumers read stays as it is."""
    everything = login_with(strict, documented_actions())
    path = f"prod/{uuid4().hex}"
    version = everything.write(path, "KEY", SECRET, None, free)
    target = login_with(strict, [action for action in documented_actions() if action != missing])
    with pytest.raises(TargetForbidden, match=missing):
        target.preflight(path, "KEY")
    assert target.read(path, "KEY").version == version
    for one in (everything, target):
        one.close()
