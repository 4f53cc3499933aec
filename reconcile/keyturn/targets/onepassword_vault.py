"""One vault of a 1Password Connect server: its items, found by title or id, and their fields.

A change is a JSON Patch of one field (Connect's `PATCH /v1/vaults/{id}/items/{id}`), so that we never write any other
part of an item. Connect answers from a copy that is slightly behind 1Password.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from keyturn.core.errors import TargetMisfit, TargetUnavailable
from keyturn.targets.base import Guard
from keyturn.targets.onepassword_item import Item, Listed, Summary
from keyturn.targets.onepassword_server import Answer, Server
from keyturn.targets.servers import Action

ID = re.compile(r"[a-z0-9]{26}")
"""An id of a vault or an item, as Connect's API describes it."""

CATEGORY = "API_CREDENTIAL"
NO_CATEGORY = "CUSTOM"
"""A category for which Connect creates no items: it checks the permission first, and then refuses the request."""

T = TypeVar("T")


class VaultName(BaseModel):
    """A vault in a list."""

    id: str
    name: str = ""


ITEM = TypeAdapter(Item)
ITEMS = TypeAdapter(Annotated[tuple[Summary, ...], Listed])
VAULTS = TypeAdapter(Annotated[tuple[VaultName, ...], Listed])


class Vault:
    """One vault, by name or id. The name is looked up once."""

    def __init__(self, server: Server, vault: str, name: str) -> None:
        """Keep the server. Nothing is sent yet."""
        self._server = server
        self._vault = vault
        self._name = name
        self._id = vault if ID.fullmatch(vault) else ""

    def where(self, path: str) -> str:
        """Return the location for messages."""
        return f"target {self._name}, {self._vault}/{path}"

    def find(self, path: str) -> Item | None:
        """Return the item with this id or title, or None if there is none.

        Raises:
            TargetMisfit: no such vault, several items with this title, or only archived ones.
        """
        items = f"/v1/vaults/{self._identify()}/items"
        if ID.fullmatch(path) and (item := self._get(items, path, path)):
            return item
        action = self._action(path, "list items", "read")
        query = quote(f'title eq "{path}"', safe="")
        answer = self._server.ask(action, "GET", f"{items}?filter={query}")
        self._check_vault(answer)
        titled = [one for one in _parse(ITEMS, answer, action) if one.title == path]
        used = [one for one in titled if not one.state]
        if len(used) > 1:
            raise TargetMisfit(
                f"{len(used)} items have this title",
                where=self.where(path),
                evidence=", ".join(one.id for one in used),
                remedy="Use the id of the right one as the path, or remove the others.",
            )
        if titled and not used:
            raise self._inactive(path, titled[0])
        return self._get(items, used[0].id, path) if used else None

    def patch(self, path: str, item: Item, change: Mapping[str, object], guard: Guard | None = None) -> int | None:
        """Apply one change to an item. Return its version, or None if another change was faster."""
        action = self._action(path, "change this item", "read and write")
        place = f"/v1/vaults/{self._identify()}/items/{item.id}"
        answer = self._server.ask(action, "PATCH", place, [dict(change)], guard=guard)
        # Connect also answers 400 if the item changed a moment ago.
        missed = answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}
        return None if missed else _parse(ITEM, answer, action, writing=True).version

    def create(self, path: str, section: str, field: Mapping[str, object], guard: Guard) -> int | None:
        """Create an item with this title and one field, in a section if one is named. Return like `patch`."""
        action = self._action(path, "create this item", "read and write")
        heading = {"id": section, "label": section}
        parts = {"sections": [heading] if section else [], "fields": [dict(field)]}
        answer = self._post(action, path, {"category": CATEGORY, **parts}, guard)
        self._check_vault(answer)
        if answer.status == HTTPStatus.BAD_REQUEST:
            raise TargetMisfit(
                "could not create this item: the server refuses its content",
                where=action.where,
                evidence=f"status {answer.status}",
                remedy="Create it in 1Password, with the field.",
            )
        return None if answer.status == HTTPStatus.CONFLICT else _parse(ITEM, answer, action, writing=True).version

    def probe_create(self, path: str) -> None:
        """Request an item that the server has to refuse. Raises the errors of a real request, and creates no item."""
        self._post(self._action(path, "create this item", "read and write"), path, {"category": NO_CATEGORY})

    def _post(self, action: Action, title: str, parts: Mapping[str, object], guard: Guard | None = None) -> Answer:
        vault = self._identify()
        item = {"title": title, "vault": {"id": vault}, **parts}
        return self._server.ask(action, "POST", f"/v1/vaults/{vault}/items", item, guard=guard)

    def _get(self, items: str, identity: str, path: str) -> Item | None:
        action = self._action(path, "read this item", "read")
        answer = self._server.ask(action, "GET", f"{items}/{identity}")
        self._check_vault(answer)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        item = _parse(ITEM, answer, action)
        if item.state:
            raise self._inactive(path, item)
        return item

    def _identify(self) -> str:
        """Return the vault's id."""
        if not self._id:
            action = self._action("", "list vaults", "read")
            query = quote(f'name eq "{self._vault}"', safe="")
            answer = self._server.ask(action, "GET", f"/v1/vaults?filter={query}")
            found = [one.id for one in _parse(VAULTS, answer, action) if one.name == self._vault]
            if len(found) > 1:
                raise TargetMisfit(
                    f"{len(found)} vaults have the name {self._vault}",
                    where=f"target {self._name}",
                    evidence=", ".join(found),
                    remedy="Use the id of the right one as `vault`.",
                )
            if not found:
                raise self._no_vault()
            self._id = found[0]
        return self._id

    def _check_vault(self, answer: Answer) -> None:
        """Raise if the vault is gone. The server answers 404 for vaults and items, with different texts."""
        said = answer.body.get("message") if isinstance(answer.body, dict) else None
        if answer.status == HTTPStatus.NOT_FOUND and isinstance(said, str) and said.startswith("vault"):
            raise self._no_vault()

    def _no_vault(self) -> TargetMisfit:
        return TargetMisfit(
            f"there is no vault {self._vault} that this token may use",
            where=f"target {self._name}",
            remedy="Check `vault`, and that the Connect server and the token have access to it.",
        )

    def _inactive(self, path: str, item: Summary) -> TargetMisfit:
        return TargetMisfit(
            f"this item is {'archived' if item.state == 'ARCHIVED' else 'deleted'}",
            where=self.where(path),
            evidence=f"item {item.id}",
            remedy="Restore it, or use another title.",
        )

    def _action(self, path: str, doing: str, access: str) -> Action:
        where = self.where(path) if path else f"target {self._name}"
        return Action(where, doing, f"Grant it {access} on the vault {self._vault}.")


def _parse(shape: TypeAdapter[T], answer: Answer, action: Action, *, writing: bool = False) -> T:
    if answer.good:
        with suppress(ValidationError):
            return shape.validate_python(answer.body)
    raise TargetUnavailable(
        f"could not {action.doing}: this is not an answer of 1Password Connect",
        where=action.where,
        evidence=f"status {answer.status}",
        remedy="Check that the host is the server, not a proxy.",
        ambiguous=writing,
    )
