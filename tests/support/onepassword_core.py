"""The native core of the 1Password client, which cannot reach a test server: this one speaks the same JSON to it.

Everything above it is the vendor's own: its types, what it sends as JSON, and how it raises what the core reports. The
texts of failures are those in the core of version 0.4.2.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from onepassword.core import UniffiCore

from tests.support.connect_state import new_identity

Json = dict[str, Any]

ABSENT = "resource not found"
CONFLICT = "a conflict occurred on the server. this usually happens due to a race condition in requests"
FORBIDDEN = "you don't have the right permissions to access this resource"
BAD_TOKEN = "invalid service account token, please make sure you provide a valid service account token as parameter: "
REVOKED = "you are not authenticated"
LIMITED = "rate limit exceeded"


class CoreError(Exception):
    """A failure as the core reports it: JSON in `msg`."""

    def __init__(self, message: str, name: str = "Error") -> None:
        super().__init__(message)
        self.msg = json.dumps({"name": name, "message": message})


class Core:
    """1Password as one client sees it: vaults, items, and tokens with what each may do (`r`, `w`) in which vault.

    `failures` are reported by the next calls of `ItemsPut`, before or after they take effect. `strict`: a put of an
    item that was changed after it was read is a conflict; whether 1Password does that is not known. `seconds` is how
    long a call takes. `calls` are the names of all calls.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.seconds = 0.0
        self.failures: list[tuple[bool, Exception]] = []
        self.calls: list[str] = []
        self.items: dict[str, Json] = {}
        self._tokens: dict[str, dict[str, str]] = {}
        self._clients: dict[str, str] = {}
        self._lock = threading.Lock()

    def token(self, scope: Mapping[str, str]) -> str:
        """Make a token that may do this in these vaults."""
        token = f"ops_{new_identity()}"
        self._tokens[token] = dict(scope)
        return token

    def revoke(self, token: str) -> None:
        """Let a token be refused from now on."""
        del self._tokens[token]

    def item(self, vault: str, **parts: object) -> Json:
        """Put an item into a vault, past the client, and return it."""
        made: Json = {
            "id": new_identity(),
            "title": "inference",
            "category": "ApiCredentials",
            "vaultId": vault,
            "fields": [],
            "sections": [],
            "notes": "",
            "tags": [],
            "websites": [],
            "files": [],
            "createdAt": "2026-11-29T08:00:00Z",
            "updatedAt": "2026-11-29T08:00:00Z",
        }
        return self.store(made | parts)

    def store(self, item: Json) -> Json:
        """Keep a new version of an item."""
        with self._lock:
            version = self.items.get(item["id"], {}).get("version", 0) + 1
            self.items[item["id"]] = copy.deepcopy(item) | {"version": version}
            return copy.deepcopy(self.items[item["id"]])

    # what the client calls

    async def init_client(self, config: str) -> str:
        """Log in."""
        self.calls.append("init_client")
        token = json.loads(config)["serviceAccountToken"]
        if token not in self._tokens:
            raise CoreError(BAD_TOKEN + token)
        self._clients[str(len(self._clients))] = token
        return str(len(self._clients) - 1)

    async def invoke(self, config: str) -> str:
        """Answer one call."""
        await asyncio.sleep(self.seconds)
        invocation = json.loads(config)["invocation"]
        name, given = invocation["parameters"]["name"], invocation["parameters"]["parameters"]
        self.calls.append(name)
        scope = self._tokens.get(self._clients[str(invocation["clientId"])])
        if scope is None:
            raise CoreError(REVOKED)
        if name == "ItemsGet":
            return json.dumps(self._get(scope, given["vault_id"], given["item_id"]))
        assert name == "ItemsPut", f"nothing else is to be called: {name}"
        early, failure = self.failures.pop(0) if self.failures else (False, None)
        if failure and early:
            raise failure
        answer = json.dumps(self._put(scope, given["item"]))
        if failure:
            raise failure
        return answer

    def release_client(self, client: str) -> None:
        """Forget a client."""

    def _get(self, scope: Mapping[str, str], vault: str, identity: str) -> Json:
        found = self.items.get(identity)
        if "r" not in scope.get(vault, "") or found is None or found["vaultId"] != vault:
            raise CoreError(ABSENT)
        return copy.deepcopy(found)

    def _put(self, scope: Mapping[str, str], item: Json) -> Json:
        there = self._get(scope, item["vaultId"], item["id"])
        if "w" not in scope[item["vaultId"]]:
            raise CoreError(FORBIDDEN)
        if self.strict and item["version"] != there["version"]:
            raise CoreError(CONFLICT)
        return self.store(item)


@contextmanager
def played_by(core: Core) -> Iterator[Core]:
    """Let every client that is made meanwhile use this core instead of the native one."""

    class Played(UniffiCore):  # type: ignore[misc]  # the vendor ships no types
        def __init__(self) -> None:
            self.core = core

    with patch("onepassword.client.UniffiCore", Played):
        yield core
