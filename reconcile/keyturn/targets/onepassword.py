"""1Password, through a Connect server.

The path of a delivery is the title or the id of an item; its field is `label` or `section.label`. Connect has no
compare-and-set: a write changes only our field, and then the item is read until the server shows the change. The
vendor's library is imported when the first target is opened. The settings can be checked without it.
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
from keyturn.targets.files import authority, authority_mistakes
from keyturn.targets.onepassword_item import Item, ItemField, called, concealed, pointer, split_field
from keyturn.targets.origins import origin_mistakes, prefix_mistakes, proxy_for
from keyturn.targets.places import Items, TargetSettings, flat, normal_origin, normal_path

TEXTS = frozenset({"STRING", "CONCEALED"})
FIRST_LOOK, LAST_LOOK = 0.05, 2.0
"""Seconds between two reads while the server does not show a write yet; doubled each time, up to the second value."""

FIRST_PAUSE = 0.1
"""Seconds before a refused change is tried again; doubled each time."""


class AuthSettings(BaseModel):
    """The variable of the token. The token itself is not part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env_prefix: str = Field(
        default="",
        pattern=r"^([A-Z][A-Z0-9_]*)?$",
        description="Prefix of OP_CONNECT_HOST and OP_CONNECT_TOKEN, for a second server.",
    )


class OnePasswordSettings(TargetSettings):
    """Settings of a vault behind a 1Password Connect server."""

    host: str = Field(description="Scheme, host and port of the server. The token is sent only to OP_CONNECT_HOST.")
    vault: str = Field(min_length=1, pattern=r'^[^\x00-\x1f"\\]+$', description="Name or id of the vault.")
    create: bool = Field(default=False, description="Create an item if it does not exist.")
    ca_cert: str = Field(default="", description="File of the certificate authority, unless OP_CONNECT_CACERT is set.")
    auth: AuthSettings = Field(default=AuthSettings(), description="The variable of the token.")

    def place(self, base: Path) -> Items:
        """Return all settings, with the host as an origin."""
        normal = {
            "host": normal_origin(self.host),
            "ca_cert": normal_path(self.ca_cert, base) if self.ca_cert else "",
        }
        return flat(self.model_dump() | normal)

    def file_mistakes(self, base: Path, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the certificate file is below the manifest's directory."""
        del environment
        return authority_mistakes("ca_cert", self.ca_cert, base)

    def store(self, base: Path) -> Items:
        """Return the host and the vault."""
        del base
        return (("host", normal_origin(self.host)), ("vault", self.vault))


class OnePasswordTarget(WithoutDocuments):
    """One vault of a 1Password Connect server."""

    kind: ClassVar[str] = "onepassword-connect"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = OnePasswordSettings

    @classmethod
    def origin_mistakes(cls, settings: OnePasswordSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield mistakes unless the host is that of OP_CONNECT_HOST."""
        prefix = settings.auth.env_prefix
        yield from origin_mistakes("host", settings.host, (f"{prefix}OP_CONNECT_HOST",), environment, "connect")
        yield from prefix_mistakes("auth.env_prefix", prefix, environment)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings, the origin and the certificate file."""
        settings = parse_settings(OnePasswordSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        origin = origin_of(settings.host)
        base, variable = Path(context.base), f"{settings.auth.env_prefix}OP_CONNECT_CACERT"
        check_origins(settings.file_mistakes(base, context.environment), context)
        _, pem = authority(settings.ca_cert, variable, context.environment, base, f"target {context.name}")
        # Import the vendor's library only now: opening a target is the first use of the server.
        from keyturn.targets.onepassword_server import Endpoint, Server
        from keyturn.targets.onepassword_vault import Vault

        endpoint = Endpoint(
            origin=origin,
            verify=ssl.create_default_context(cadata=pem) if pem else True,
            proxy=proxy_for(origin, context.environment),
            request=context.request,
            variable=f"{settings.auth.env_prefix}OP_CONNECT_TOKEN",
        )
        self._server = Server(endpoint, context.environment, f"target {context.name}")
        self._vault = Vault(self._server, settings.vault, context.name)
        self._create = settings.create
        self._patience = context.request
        # 1Password accepts one change of a vault at a time, and two threads must not both create the same item.
        self._writing = threading.Lock()
        self._pending: dict[str, float] = {}

    def read(self, path: str, field: str) -> Value:
        """Read a field. The version is that of the item."""
        return self._look(_place(path, field), field).value

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: Connect provides no earlier versions."""
        del version
        _place(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Change only our field, and wait until the server shows the change."""
        return self._change(_place(path, field), field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove only our field. The item stays."""
        self._change(_place(path, field), field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Write the item's title unchanged. Without an item, request one that the server has to refuse.

        Our field is not rewritten: without compare-and-set, that could undo a concurrent write of the secret.
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
        """Set our field, or remove it if `secret` is None. Return the item's version."""
        where = self._vault.where(path)

        def read() -> tuple[Value, Look]:
            look = self._read_created(path, field)
            return look.value, look

        def write_over(look: Look) -> str | None:
            version = self._send(look, path, field, secret.reveal() if secret else None, guard)
            if version is None:
                return None
            after = self._await(path, field, version).value
            if after.secret != secret:
                raise Conflict(
                    f"the field {field} was modified immediately after it was written",
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
        """Send one change. Return the item's new version, or None if another change was faster."""
        if look.item is None:
            self._check_create(path)
            section, label = split_field(field)
            try:
                return self._vault.create(path, section, concealed(label, section, value), guard)
            except TargetUnavailable as error:
                if error.ambiguous:
                    self._pending[path] = time.monotonic() + self._patience
                raise
        change: dict[str, object]
        if look.found is None:
            section = self._find_section(look.item, path, field)
            change = {"op": "add", "path": "/fields", "value": concealed(split_field(field)[1], section, value)}
        elif value is None:
            change = {"op": "remove", "path": pointer(look.found)}
        else:
            # `add` replaces a value, and also sets a field that has no value yet.
            change = {"op": "add", "path": f"{pointer(look.found)}/value", "value": value}
        return self._vault.patch(path, look.item, change, guard)

    def _read_created(self, path: str, field: str) -> Look:
        """Read the item and our field. Wait for an item that we may have created, rather than create a second one."""
        until = self._pending.get(path, 0.0)
        while (look := self._look(path, field)).item is None and time.monotonic() < until:
            time.sleep(FIRST_LOOK)
        self._pending.pop(path, None)
        return look

    def _await(self, path: str, field: str, version: int) -> Look:
        """Read again until the server shows the change that it has acknowledged.

        Connect answers from a copy that is slightly behind 1Password. Its Terraform provider waits in the same way.
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
                    "the server does not show the written secret yet",
                    where=self._vault.where(path),
                    evidence=f"not within {self._patience:g} s",
                    remedy="Check that the Connect server syncs with 1Password, and run again.",
                    ambiguous=True,
                )
            time.sleep(wait)
            wait = min(wait * 2, LAST_LOOK)

    def _refused(self, path: str) -> TargetUnavailable:
        return TargetUnavailable(
            "the server refuses this change",
            where=self._vault.where(path),
            evidence=f"{TRIES} times",
            remedy="Another client may be changing this vault: run again. The server's log shows the reason.",
        )

    def _find_field(self, item: Item, path: str, field: str) -> ItemField | None:
        found = called(item, field)
        if len(found) > 1:
            raise TargetMisfit(
                f"this item has {len(found)} fields named {field}",
                where=self._vault.where(path),
                remedy="Use section.label as the field, or rename the others.",
            )
        if found and found[0].type not in TEXTS:
            raise TargetMisfit(
                f"the field {field} does not hold text",
                where=self._vault.where(path),
                evidence="its type is neither text nor password",
                remedy="Use another field, or remove this one.",
            )
        return found[0] if found else None

    def _find_section(self, item: Item, path: str, field: str) -> str:
        """Return the id of the section for a new field. Empty means no section."""
        section = split_field(field)[0]
        found = [one.id for one in item.sections if section in {one.label, one.id}]
        if section and not found:
            raise TargetMisfit(
                f"this item has no section {section}",
                where=self._vault.where(path),
                remedy="Create it in 1Password, or omit the section from the field.",
            )
        return found[0] if section else ""

    def _check_create(self, path: str) -> None:
        if not self._create:
            raise TargetMisfit(
                "there is no such item",
                where=self._vault.where(path),
                evidence="no active item has this title or id",
                remedy="Create it, or set `create: true` for this target.",
            )


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a read: the item and our field in it; None if absent."""

    item: Item | None = None
    found: ItemField | None = None

    @property
    def value(self) -> Value:
        """The value of the field, and the item's version, or 0 without an item."""
        secret = Secret(self.found.value) if self.found and self.found.value else None
        return Value(secret, str(self.item.version if self.item else 0))


def _place(path: str, field: str) -> str:
    if not field:
        raise InputError(
            "a delivery to 1Password needs a field", where=path, evidence="an item consists of named fields"
        )
    if not split_field(field)[1]:
        raise InputError(f"the field {field!r} has no label", where=path, remedy="Use label or section.label.")
    return check_path(path)
