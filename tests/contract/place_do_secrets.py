"""A place for the contract suite: Secrets Manager as the sandbox plays it, with the scopes of docs/targets.md."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

import httpx

from keyturn.sandbox import Sandbox
from keyturn.targets.base import TargetContext
from keyturn.targets.do_secrets import DoSecretsTarget, _document_name
from tests.contract.places import Fields, Servers

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "targets.md"
REGION = "nyc3"
SECRETS = "/v2/security/secrets"


def documented_scopes() -> set[str]:
    """Return the scopes that users give to the token."""
    [section] = re.findall(r"^## `do-secrets`.*?(?=^## )", DOCUMENTATION.read_text(), re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`(security:\w+)`", section))


class DoSecretsPlace:
    """One region of one account."""

    others: ClassVar[Fields] = {"text": "kept", "dot.ted key": "also", "empty": ""}
    no_texts: ClassVar[Sequence[object]] = ()

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.token = sandbox.add_token(scopes=documented_scopes()).value
        self._client = httpx.Client(
            base_url=sandbox.url, headers={"authorization": f"Bearer {sandbox.token}"}, timeout=10
        )
        self._targets: list[DoSecretsTarget] = []

    def target(self, **environment: str) -> DoSecretsTarget:
        """Return a new target."""
        known = {"KEYTURN_API_URL": self.sandbox.url, "DIGITALOCEAN_TOKEN": self.token, **environment}
        settings = {"region": REGION, "preview": True}
        self._targets.append(DoSecretsTarget(TargetContext("do", settings, known, request=10)))
        return self._targets[-1]

    def path(self) -> str:
        """Return a fresh name, which is also a prefix of documents."""
        return f"app-{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Make the secret hold exactly these fields, whatever is there."""
        there = self.call("GET", f"/{path}?region={REGION}")
        if there is None:
            self.call("POST", "", {"name": path, "region": REGION, "values": fields})
        else:
            self.call("PUT", f"/{path}", {"region": REGION, "version": there["version"], "values": fields})

    def fields(self, path: str) -> Fields | None:
        """Read as another user of the account."""
        found = self.call("GET", f"/{path}?region={REGION}")
        return None if found is None else found["values"]

    def lose(self, path: str) -> None:
        """Delete the secret of a document, as in the control panel."""
        self.call("DELETE", f"/{_document_name(path)}?region={REGION}")

    def call(self, verb: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Send a request; None if there is no such secret, or no content."""
        answer = self._client.request(verb, f"{SECRETS}{path}", json=body)
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.NO_CONTENT}:
            return None
        answer.raise_for_status()
        return answer.json()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        for target in self._targets:
            target.close()


@contextmanager
def place(servers: Servers) -> Iterator[DoSecretsPlace]:
    """Open a place for deliveries and documents."""
    del servers  # a sandbox starts in a moment, so each test has its own
    with Sandbox(seed=1, minute_limit=10**6, hour_limit=10**6) as sandbox:
        opened = DoSecretsPlace(sandbox)
        yield opened
        opened.close()
