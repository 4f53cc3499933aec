"""1Password, through a Connect server.

The path of a delivery is the title or the id of an item, its field is `label` or `section.label`. Connect has no
compare-and-set: a write changes our field alone, and is then read again until the server shows it. The vendor's library
is imported with the first target, so that its settings are known without it.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from keyturn.core.errors import Conflict, InputError, TargetMisfit, TargetUnavailable
from keyturn.core.origins import origin_of
from keyturn.core.secret import Secret
from keyturn.targets.base import (
    TRIES,
    Capabilities,
    Guard,
    TargetContext,
    Value,
    WithoutDocuments,
    check_origins,
    check_path,
    merge,
    parse_settings,
    tries,
)
from keyturn.targets.onepassword_item import Item, ItemField, called, concealed, pointer, split_field
from keyturn.targets.origins import origin_mistakes, proxy_for

TEXTS = frozenset({"STRING", "CONCEALED"})
FIRST_LOOK, LAST_LOOK = 0.05, 2.0
"""Seconds between two looks for a write that the server does not show yet; each wait is twice the one before."""

FIRST_PAUSE = 0.1
"""Seconds before a refused change is tried again; each pause is twice the one before."""


class AuthSettings(BaseModel):
    """Where the token is; it does not stand here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env_prefix: str = Field(
        default="",
        pattern=r"^([A-Z][A-Z0-9_]*)?$",
        description="Stands before OP_CONNECT_HOST and OP_CONNECT_TOKEN, for a second server.",
    )


class OnePasswordSettings(BaseModel):
    """The settings of a vault behind a 1Password Connect server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(description="Scheme, host and port of the server; the token goes only to OP_CONNECT_HOST's.")
    vault: str = Field(
        min_length=1, pattern=r"^[^\x00-\x1f\"\\]+$", description="The name or the id of the vault, of one server."
    )
    create: bool = Field(default=False, description="Whether an item that is not there may be made.")
    ca_cert: str = Field(default="", description="File of the certificate authority, beside the manifest.")
    auth: AuthSettings = Field(default=AuthSettings(), description="Where the token is.")


class OnePasswordTarget(WithoutDocuments):
    """One vault."""

    kind: ClassVar[str] = "onepassword-connect"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = OnePasswordSettings

    @classmethod
    def origin_mistakes(cls, settings: OnePasswordSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """The host has to be that of OP_CONNECT_HOST."""
        return origin_mistakes("host", settings.host, (f"{settings.auth.env_prefix}OP_CONNECT_HOST",), environment)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings, the origin and the certificate file."""
        settings = parse_settings(OnePasswordSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        origin = origin_of(settings.host)
        verify = _authority(settings, context)
        # The vendor's library is loaded here, when a server is really to be asked.
        from keyturn.targets.onepassword_server import Endpoint, Server
        from keyturn.targets.onepassword_vault import Vault

        endpoint = Endpoint(
            origin=origin,
            verify=verify,
            proxy=proxy_for(origin, context.environment),
            request=context.request,
            variable=f"{settings.auth.env_prefix}OP_CONNECT_TOKEN",
        )
        self._server = Server(endpoint, context.environment, f"target {context.name}")
        self._vault = Vault(self._server, settings.vault, context.name)
        self._create = settings.create
        self._patience = context.request
        # 1Password takes one change of a vault at a time; and two threads must not both make the same item.
        self._writing = threading.Lock()
        self._may_show: dict[str, float] = {}

    def read(self, path: str, field: str) -> Value:
        """Read a field; the version is the item's."""
        return self._look(_place(path, field), field).value

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """None: Connect shows no earlier version of an item."""
        del version
        _place(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Change our field alone, and wait until the server shows it."""
        return self._change(_place(path, field), field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove our field alone; the item stays."""
        self._change(_place(path, field), field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Write the item's title as it is; if there is no item, ask for one that cannot be made.

        Not our field: without compare-and-set, rewriting a secret could undo what somebody else just wrote.
        """
        _place(path, field)
        with self._writing:
            for _ in tries(FIRST_PAUSE):
                look = self._look(path, field)
                if look.item is None:
                    self._check_create(path)
                    self._vault.probe_create(path)
                    return
                if look.found is None:
                    self._find_section(look.item, path, field)
                title = {"op": "replace", "path": "/title", "value": look.item.title}
                version = self._vault.patch(path, look.item, title)
                if version is not None:
                    self._await(path, field, version)
                    return
        raise self._refused(path)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def _look(self, path: str, field: str) -> Look:
        item = self._vault.find(path)
        found = self._find_field(item, path, field) if item else None
        return Look(item, found)

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        """Set our field, or remove it if `secret` is None; return the item's version."""
        where = self._vault.where(path)

        def read() -> tuple[Value, Look]:
            look = self._look_for_made(path, field)
            return look.value, look

        def write_over(look: Look) -> str | None:
            version = self._send(look, path, field, secret.reveal() if secret else None, guard)
            if version is None:
                return None
            after = self._await(path, field, version).value
            if after.secret != secret:
                raise Conflict(
                    f"the field {field} was modified right after it was written",
                    where=where,
                    evidence="Connect cannot compare and set",
                )
            return after.version

        with self._writing:
            return merge(
                read,
                write_over,
                field=field,
                secret=secret,
                expected=expected,
                where=where,
                pause=FIRST_PAUSE,
                overtaken=self._refused(path),
            )

    def _send(self, look: Look, path: str, field: str, value: str | None, guard: Guard) -> int | None:
        """Send one change; return the item's new version, None if it was refused because of another change."""
        if look.item is None:
            self._check_create(path)
            section, label = split_field(field)
            try:
                return self._vault.create(path, section, concealed(label, section, value), guard)
            except TargetUnavailable as error:
                if error.ambiguous:
                    self._may_show[path] = time.monotonic() + self._patience
                raise
        change: dict[str, object]
        if look.found is None:
            section = self._find_section(look.item, path, field)
            change = {"op": "add", "path": "/fields", "value": concealed(split_field(field)[1], section, value)}
        elif value is None:
            change = {"op": "remove", "path": pointer(look.found)}
        else:
            # `add` replaces what is there, and also fills a field that has no value yet.
            change = {"op": "add", "path": f"{pointer(look.found)}/value", "value": value}
        return self._vault.patch(path, look.item, change, guard)

    def _look_for_made(self, path: str, field: str) -> Look:
        """Look; where an item may have been made and not show yet, until it had its time: no second one is wanted."""
        until = self._may_show.get(path, 0.0)
        while (look := self._look(path, field)).item is None and time.monotonic() < until:
            time.sleep(FIRST_LOOK)
        self._may_show.pop(path, None)
        return look

    def _await(self, path: str, field: str, version: int) -> Look:
        """Read again until the server shows what it has acknowledged.

        Connect answers from a copy that follows 1Password after a moment: its Terraform provider waits likewise.
        """
        until, wait = time.monotonic() + self._patience, FIRST_LOOK
        while True:
            try:
                look = self._look(path, field)
            except TargetUnavailable:
                look = Look()
            except TargetMisfit as error:
                error.ambiguous = True
                raise
            if look.item and look.item.version >= version:
                return look
            if time.monotonic() + wait > until:
                raise TargetUnavailable(
                    "what was written cannot be read back yet",
                    where=self._vault.where(path),
                    evidence=f"not within {self._patience:g} s",
                    remedy="Check that the Connect server is in step with 1Password, and run again.",
                    ambiguous=True,
                )
            time.sleep(wait)
            wait = min(wait * 2, LAST_LOOK)

    def _refused(self, path: str) -> TargetUnavailable:
        return TargetUnavailable(
            "the server refuses this change",
            where=self._vault.where(path),
            evidence=f"{TRIES} times",
            remedy="Somebody else may be changing this vault: run again. The server's log tells why.",
        )

    def _find_field(self, item: Item, path: str, field: str) -> ItemField | None:
        found = called(item, field)
        if len(found) > 1:
            raise TargetMisfit(
                f"{len(found)} fields of this item are called {field}",
                where=self._vault.where(path),
                remedy="Write section.label as the field, or rename the others.",
            )
        if found and found[0].type not in TEXTS:
            raise TargetMisfit(
                f"the field {field} holds no text",
                where=self._vault.where(path),
                evidence="its type is neither text nor password",
                remedy="Use another field, or remove this one.",
            )
        return found[0] if found else None

    def _find_section(self, item: Item, path: str, field: str) -> str:
        """Return the id of the section in which a new field belongs, empty for none."""
        section = split_field(field)[0]
        found = [one.id for one in item.sections if section in {one.label, one.id}]
        if section and not found:
            raise TargetMisfit(
                f"this item has no section {section}",
                where=self._vault.where(path),
                remedy="Make it in 1Password, or leave the section out of the field.",
            )
        return found[0] if section else ""

    def _check_create(self, path: str) -> None:
        if not self._create:
            raise TargetMisfit(
                "there is no such item",
                where=self._vault.where(path),
                evidence="no item in use has this title or id",
                remedy="Make it, or write `create: true` among the settings of the target.",
            )


@dataclass(frozen=True, slots=True)
class Look:
    """What was read: the item, and our field in it; None for what is absent."""

    item: Item | None = None
    found: ItemField | None = None

    @property
    def value(self) -> Value:
        """What the field holds, and the item's version, 0 if there is no item."""
        secret = Secret(self.found.value) if self.found and self.found.value else None
        return Value(secret, str(self.item.version if self.item else 0))


def _place(path: str, field: str) -> str:
    if not field:
        raise InputError("a delivery to 1Password needs a field", where=path, evidence="an item holds named fields")
    if not split_field(field)[1]:
        raise InputError(f"the field {field!r} has no label", where=path, remedy="Write label, or section.label.")
    return check_path(path)


def _authority(settings: OnePasswordSettings, context: TargetContext) -> bool | ssl.SSLContext:
    """Return the trust in a certificate file, looked for beside the manifest; True if none is named."""
    if not settings.ca_cert:
        return True
    try:
        return ssl.create_default_context(cafile=Path(context.base, settings.ca_cert))
    except OSError as error:
        why = type(error).__name__
    raise InputError(
        "this certificate file cannot be used", where=f"target {context.name}", evidence=f"{settings.ca_cert}, {why}"
    )
