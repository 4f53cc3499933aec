"""A 1Password service account: the vendor's client, with a deadline, and the errors for what it raises.

The client's native core sends the requests, to the server that the token itself names. It reports failures as text
without a status, so they are told apart by how the texts of version 0.4 begin: further on, they may quote an item. Any
other text means that it may have happened. No text is repeated.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol

from onepassword.client import Client
from onepassword.errors import RateLimitExceededException
from onepassword.types import ItemField as NewField
from onepassword.types import ItemFieldType

from keyturn import __version__
from keyturn.core.errors import CredentialError, KeyturnError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.base import Guard
from keyturn.targets.servers import Action

CONFLICT = "a conflict occurred on the server"
"""Another change of the vault was faster; nothing was changed."""
_FORBIDDEN = "you don't have the right permissions"
_ABSENT = "resource not found"
_REFUSED = "invalid user input"
_LOGIN = (
    "you are not authenticated",
    "invalid service account token",
    "bad service account token",
    "authentication error",
)


class ItemField(Protocol):
    """A field of an item."""

    id: str
    title: str
    section_id: str | None
    field_type: str
    value: str


class Section(Protocol):
    """A heading of an item."""

    id: str
    title: str


class Item(Protocol):
    """An item with its fields."""

    id: str
    fields: list[ItemField]
    sections: list[Section]
    version: int

    def model_copy(self, *, deep: bool) -> Item:
        """Return a copy: the client's types are pydantic models."""


class Account:
    """Reads and writes items by their ids. Nothing is ever listed. Thread-safe."""

    def __init__(self, environment: Mapping[str, str], variable: str, request: float, where: str) -> None:
        """`variable` holds the token, `request` is the deadline of one call in seconds. Nothing is sent yet."""
        self._environment = environment
        self._variable = variable
        self._request = request
        self._where = where
        self._lock = threading.Lock()
        self._opened: Client | None = None

    def get(self, action: Action, vault: str, item: str) -> Item:
        """Return an item.

        Raises:
            TargetUnavailable: no answer, or the limit of requests is used up.
            TargetForbidden, TargetMisfit: the service account may not do this; there is no such item for it.
            CredentialError: the token is missing or refused.
        """
        found = self._call(action, lambda client: client.items.get(vault, item))
        if found is None:
            raise TargetUnavailable(f"could not {action.doing}: the vault is being changed", where=action.where)
        return found

    def put(self, action: Action, item: Item, guard: Guard) -> Item | None:
        """Replace an item. Return it as it is now, or None if another change of the vault was faster.

        Raises the errors of `get`; TargetUnavailable is ambiguous if the item may have been replaced.
        """
        return self._call(action, lambda client: client.items.put(item), guard)

    def _call(
        self, action: Action, ask: Callable[[Client], Coroutine[object, object, Item]], guard: Guard | None = None
    ) -> Item | None:
        client = self._connected()
        if guard:
            guard()
        try:
            return asyncio.run(asyncio.wait_for(ask(client), self._request))
        except Exception as error:  # noqa: BLE001 - the client raises nothing more precise
            if str(error).startswith(CONFLICT):
                return None
            failure = self._failure(action, error, writing=guard is not None)
        raise failure

    def _connected(self) -> Client:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Client:
        token = self._environment.get(self._variable, "").strip()
        if not token:
            raise CredentialError(
                f"the variable {self._variable} is not set or is empty",
                where=self._where,
                remedy="It holds the token of a 1Password service account.",
            )
        login = Client.authenticate(token, "keyturn", f"v{__version__}")
        try:
            return asyncio.run(asyncio.wait_for(login, self._request))
        except Exception as error:  # noqa: BLE001 - the client raises nothing more precise
            failure = self._failure(Action(self._where, "log in to 1Password"), error, writing=False)
        raise failure

    def _failure(self, action: Action, error: Exception, *, writing: bool) -> KeyturnError:
        """Return the error for what the client raised."""
        said, failed, where = str(error), f"could not {action.doing}", action.where
        if said.startswith(_LOGIN):
            remedy = f"It has expired or was revoked: set a new one in {self._variable}."
            return CredentialError("1Password refuses this service account token", where=where, remedy=remedy)
        if isinstance(error, RateLimitExceededException):
            return TargetUnavailable(
                f"{failed}: the limit of requests of this service account is used up",
                where=where,
                remedy="1Password counts them per hour and per day. Run again later.",
            )
        if said.startswith(_FORBIDDEN):
            what = f"this service account may not {action.doing}"
            return TargetForbidden(what, where=where, remedy=action.remedy)
        if said.startswith(_ABSENT):
            return TargetMisfit(
                "there is no such item for this service account",
                where=where,
                remedy=f"Check `vault` and the id of the item. {action.remedy}",
            )
        if said.startswith(_REFUSED):
            return TargetMisfit(f"{failed}: 1Password refuses its content", where=where)
        late = isinstance(error, TimeoutError)
        return TargetUnavailable(
            f"{failed}: {f'no answer within {self._request:g} s' if late else 'the 1Password client failed'}",
            where=where,
            evidence=type(error).__name__,
            remedy="Run again. If it goes on, update the Python library onepassword-sdk.",
            ambiguous=writing,
        )


def is_text(field: ItemField) -> bool:
    """Tell whether a field can hold a secret."""
    return field.field_type in {ItemFieldType.TEXT, ItemFieldType.CONCEALED}


def with_value(item: Item, field: ItemField | None, label: str, section: str | None, secret: Secret | None) -> Item:
    """Return a copy of an item with a secret in a field (None: without the field), and all else as it is.

    If `field` is None, a new one is added, with this label and in the section with this id; without a section, the
    client adds one without a name.
    """
    changed = item.model_copy(deep=True)
    if field is None:
        new = {
            "id": secrets.token_hex(13),
            "title": label,
            "section_id": section,
            "value": secret.reveal() if secret else "",
        }
        changed.fields.append(NewField(field_type=ItemFieldType.CONCEALED, **new))
    elif secret is None:
        changed.fields = [one for one in changed.fields if one.id != field.id]
    else:
        next(one for one in changed.fields if one.id == field.id).value = secret.reveal()
    return changed
