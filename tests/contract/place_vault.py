"""A place for the contract suite: a mount of a real OpenBao, under the policy that docs/targets.md prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import httpx

from keyturn.targets.base import TargetContext
from keyturn.targets.vault import VaultTarget
from tests.contract.places import Fields, Servers
from tests.support.openbao import OpenBao

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "targets.md"


def documented_policy() -> str:
    """Return the policy as users copy it."""
    found = re.search(r"```hcl\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    assert found, "docs/targets.md holds no policy"
    return found[1]


def login_with(server: OpenBao, policy: str) -> str:
    """Return a token that holds this policy and no other, not even `default`."""
    name = f"keyturn-{uuid4().hex}"
    server.call("PUT", f"sys/policies/acl/{name}", {"policy": policy})
    return server.token(name)


def context(server: OpenBao, token: str = "", **settings: object) -> TargetContext:
    """Return what a Vault target is made from."""
    return TargetContext(
        name="vault",
        settings={"address": server.address, **settings},
        environment={"VAULT_ADDR": server.address, "VAULT_TOKEN": token or server.root_token},
        request=10,
    )


class VaultPlace:
    """The mount `secret/`."""

    others: ClassVar[Fields] = {
        "text": "kept",
        "number": 7,
        "large": 2**53 - 1,
        "fraction": 0.1,
        "yes": True,
        "none": None,
        "nested": {"a": [1, "b", {}]},
        "": "a field without a name",
    }
    no_texts: ClassVar[Sequence[object]] = (7, 0, True, False, 0.5, ["a"], [], {"a": "b"}, {}, None)

    def __init__(self, server: OpenBao) -> None:
        self.server = server
        self._token = login_with(server, documented_policy())
        self._targets: list[VaultTarget] = []
        self._folder = uuid4().hex

    def target(self) -> VaultTarget:
        """Return a new target."""
        self._targets.append(VaultTarget(context(self.server, self._token)))
        return self._targets[-1]

    def path(self) -> str:
        """Return a fresh path where the policy allows deliveries."""
        return f"apps/{self._folder}/{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Write as root, whatever is there."""
        self.server.call("POST", f"secret/data/{path}", {"data": fields})

    def fields(self, path: str) -> Fields | None:
        """Read as root."""
        try:
            data = self.server.call("GET", f"secret/data/{path}")["data"]
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise
        assert isinstance(data, dict)
        fields: Fields = data["data"]
        return fields

    def close(self) -> None:
        """Close the targets."""
        for target in self._targets:
            target.close()


class VaultRecords(VaultPlace):
    """The same mount, where the policy allows records."""

    def path(self) -> str:
        """Return a fresh path below the records prefix."""
        return f"keyturn/{self._folder}/{uuid4().hex}"

    def lose(self, path: str) -> None:
        """Delete the newest version, as `vault kv delete` does."""
        self.server.call("DELETE", f"secret/data/{path}")


@contextmanager
def deliveries(servers: Servers) -> Iterator[VaultPlace]:
    """Open a place for deliveries."""
    place = VaultPlace(servers.openbao)
    yield place
    place.close()


@contextmanager
def documents(servers: Servers) -> Iterator[VaultRecords]:
    """Open a place for documents."""
    place = VaultRecords(servers.openbao)
    yield place
    place.close()
