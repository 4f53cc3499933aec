"""What a 1Password Connect server knows and answers, without HTTP.

After its published API (version 1.8, github.com/1Password/connect, docs/openapi/spec.yaml) and what its users report:
a title names any number of items; a change makes a new version and is never compared with an old one; reads come from a
copy that follows 1Password after a moment; a change that meets another one in the same vault is refused with 409.
"""

from __future__ import annotations

import copy
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

CATEGORIES = re.compile(
    "LOGIN|PASSWORD|API_CREDENTIAL|SERVER|DATABASE|CREDIT_CARD|MEMBERSHIP|PASSPORT|SOFTWARE_LICENSE|OUTDOOR_LICENSE|"
    "SECURE_NOTE|WIRELESS_ROUTER|BANK_ACCOUNT|DRIVER_LICENSE|IDENTITY|REWARD_PROGRAM|DOCUMENT|EMAIL_ACCOUNT|"
    "SOCIAL_SECURITY_NUMBER|MEDICAL_RECORD|SSH_KEY"
)
TYPES = re.compile("STRING|EMAIL|CONCEALED|URL|TOTP|DATE|MONTH_YEAR|MENU")
ITEM_PARTS = ("id", "title", "vault", "category", "urls", "favorite", "tags", "sections", "fields", "files")
FULL_ONLY = ("sections", "fields", "files")
IDENTITY = re.compile(r"[a-z0-9]{26}")
FILTER = re.compile(r'(\w+) eq "([^"]*)"')


class Refusal(Exception):
    """An answer that is no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def new_identity() -> str:
    """Return an id as Connect makes them."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))


@dataclass
class State:
    """One server: its vaults, and the tokens with what each may do (`r`, `w`) in which vault.

    `lag` is how many seconds the copy is behind, `stalled` since when it no longer follows, `conflicts` how many of the
    next changes meet another one. A change of an item that the copy does not show as it is fails, as users report.
    """

    lag: float = 0
    stalled: float | None = None
    conflicts: int = 0
    frozen: bool = False
    vaults: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)
    _items: dict[str, list[tuple[float, Json]]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def stall(self) -> None:
        """Let the copy follow no longer."""
        self.stalled = time.monotonic()

    def newest(self, identity: str) -> Json:
        """Return an item as 1Password has it."""
        return copy.deepcopy(self._items[identity][-1][1])

    def everything(self, vault: str) -> list[Json]:
        """Return all items of a vault as 1Password has them."""
        with self._lock:
            newest = [self.newest(identity) for identity in self._items]
        return [item for item in newest if item["vault"]["id"] == vault and item.get("state") != "DELETED"]

    def store(self, item: Json) -> Json:
        """Keep a new version of an item."""
        with self._lock:
            revisions = self._items.setdefault(item["id"], [])
            now = datetime.now(UTC).isoformat()
            created = revisions[0][1]["createdAt"] if revisions else now
            kept = copy.deepcopy(item) | {"version": len(revisions) + 1, "createdAt": created, "updatedAt": now}
            revisions.append((time.monotonic(), kept))
            return copy.deepcopy(kept)

    def list_vaults(self, token: str, query: str | None) -> list[Json]:
        """Answer GET /v1/vaults."""
        wanted = _parse_filter(query, ("name",))
        scope = self._scope(token)
        return [
            {"id": identity, "name": name, "type": "USER_CREATED"}
            for identity, name in self.vaults.items()
            if identity in scope and wanted({"name": name})
        ]

    def list_items(self, token: str, vault: str, query: str | None) -> list[Json]:
        """Answer GET /v1/vaults/{id}/items: summaries, without fields."""
        self._check(token, vault, "r")
        wanted = _parse_filter(query, ("title", "tag"))
        with self._lock:
            shown = [self._shown(identity) for identity in self._items]
        return [
            {name: value for name, value in item.items() if name not in FULL_ONLY}
            for item in shown
            if item and item["vault"]["id"] == vault and item.get("state") != "DELETED" and wanted(item)
        ]

    def get(self, token: str, vault: str, identity: str) -> Json:
        """Answer GET of an item."""
        self._check(token, vault, "r")
        with self._lock:
            item = self._shown(identity)
        if item is None or item["vault"]["id"] != vault:
            raise Refusal(404, f"item {identity} not found")
        return item

    def create(self, token: str, vault: str, body: object) -> Json:
        """Answer POST: the id is the server's own."""
        self._check(token, vault, "w")
        item = _checked(body, vault)
        item["id"] = new_identity()
        item["fields"] = [
            {"id": "notesPlain", "type": "STRING", "purpose": "NOTES", "label": "notesPlain"},
            *item.get("fields", []),
        ]
        with self._change():
            return self.store(item)

    def replace(self, token: str, vault: str, identity: str, body: object) -> Json:
        """Answer PUT: the whole item, whatever version it was made from."""
        self._check(token, vault, "w")
        item = _checked(body, vault)
        if item.get("id") != identity:
            raise Refusal(400, "The item's ID does not match the one in the URL")
        with self._change():
            self._living(vault, identity)
            return self.store(item)

    def patch(self, token: str, vault: str, identity: str, body: object) -> Json:
        """Answer PATCH: `add`, `remove` and `replace`, one after the other, all or none."""
        self._check(token, vault, "w")
        with self._change():
            item = self._living(vault, identity)
            if not isinstance(body, list):
                raise Refusal(400, "Invalid patch document")
            for operation in body:
                _apply(item, operation)
            return self.store(item | _checked(item, vault)) if body else item

    def delete(self, token: str, vault: str, identity: str) -> None:
        """Answer DELETE."""
        self._check(token, vault, "w")
        with self._change():
            self.store(self._living(vault, identity) | {"state": "DELETED"})

    def _change(self) -> threading.RLock:
        if self.conflicts:
            self.conflicts -= 1
            raise Refusal(409, "Internal server conflict")
        return self._lock

    def _living(self, vault: str, identity: str) -> Json:
        if identity not in self._items or self.newest(identity)["vault"]["id"] != vault:
            raise Refusal(404, f"item {identity} not found")
        item = self.newest(identity)
        if item.get("state") == "DELETED":
            raise Refusal(404, f"item {identity} not found")
        if item.get("state") or self._shown(identity) != item:
            raise Refusal(400, f"Unable to update item {item['title']!r}")
        return item

    def _shown(self, identity: str) -> Json | None:
        """Return what the copy holds."""
        until = (self.stalled or time.monotonic()) - self.lag
        seen = [item for at, item in self._items.get(identity, []) if at <= until]
        return copy.deepcopy(seen[-1]) if seen and seen[-1].get("state") != "DELETED" else None

    def _scope(self, token: str) -> Mapping[str, str]:
        if token not in self.tokens:
            raise Refusal(401, "Invalid token signature")
        return self.tokens[token]

    def _check(self, token: str, vault: str, access: str) -> None:
        scope = self._scope(token)
        if not IDENTITY.fullmatch(vault) or vault not in self.vaults:
            raise Refusal(404, f"vault {vault} not found")
        if vault not in scope:
            raise Refusal(403, f"vault {vault} is not in scope")
        if access not in scope[vault]:
            raise Refusal(403, "Authorization: token does not have permission to perform this action")
        if access == "w" and self.frozen:
            raise Refusal(403, "Account is frozen")


def _parse_filter(query: str | None, names: tuple[str, ...]) -> Callable[[Json], bool]:
    if query is None:
        return lambda _: True
    found = FILTER.fullmatch(query)
    if not found or found[1] not in names:
        raise Refusal(400, "Invalid filter")
    name, value = found.groups()
    return lambda item: value in item.get("tags", []) if name == "tag" else str(item[name]).lower() == value.lower()


def _checked(body: object, vault: str) -> Json:
    """Return an item with an id for each field, or refuse it."""
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid item")
    if not CATEGORIES.fullmatch(str(body.get("category"))):
        raise Refusal(400, "Invalid item category")
    if body.get("vault") != {"id": vault}:
        raise Refusal(400, "The item's vault does not match the one in the URL")
    item = {name: copy.deepcopy(body[name]) for name in ITEM_PARTS if name in body}
    sections = {section.get("id") for section in item.get("sections", [])}
    fields = [{"id": new_identity(), "type": "STRING"} | one for one in item.get("fields", [])]
    for one in fields:
        if not TYPES.fullmatch(one["type"]):
            raise Refusal(400, "Invalid field type")
        if not isinstance(one.get("value", ""), str):
            raise Refusal(400, "Invalid field value")
        if one.get("section") and one["section"].get("id") not in sections:
            raise Refusal(400, f"The item doesn't have a {one['section'].get('id')} section.")
    if len({one["id"] for one in fields}) < len(fields):
        raise Refusal(400, "Duplicate field ID")
    return item | {"fields": fields}


def _apply(item: Json, operation: object) -> None:
    if not isinstance(operation, dict) or operation.get("op") not in {"add", "remove", "replace"}:
        raise Refusal(400, "Invalid patch operation")
    verb, value = operation["op"], operation.get("value")
    parts = [part.replace("~1", "/").replace("~0", "~") for part in str(operation.get("path")).split("/")[1:]]
    if parts == ["fields"] and verb == "add":
        item.setdefault("fields", []).append(value)
        return
    place: Any = item
    name: Any = parts[-1] if parts else ""
    if parts[:1] == ["fields"] and len(parts) in {2, 3}:
        at = [number for number, one in enumerate(item.get("fields", [])) if one["id"] == parts[1]]
        if not at:
            raise Refusal(400, "The item doesn't have that field.")
        place, name = (item["fields"], at[0]) if len(parts) == 2 else (item["fields"][at[0]], name)
    elif len(parts) != 1:
        raise Refusal(400, "Invalid patch path")
    if verb != "add" and isinstance(place, dict) and name not in place:
        raise Refusal(400, "Invalid patch path")
    if verb == "remove":
        del place[name]
    elif isinstance(place, list):
        place[name] = {"id": place[name]["id"], **(value or {})}
    else:
        place[name] = value
