"""1Password with a service account: one field of an item, named by the id of the item.

A service account has few requests: each use reads one item once, and nothing is listed. Whether 1Password refuses to
replace an item that was changed after it was read is not documented, so it counts as without compare-and-set. The
vendor's library is imported when the first target is opened. The settings can be checked without it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from keyturn.core.errors import Conflict, InputError, TargetMisfit, TargetUnavailable
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
    unguarded,
)
from keyturn.targets.onepassword_item import split_field
from keyturn.targets.origins import prefix_mistakes
from keyturn.targets.places import TargetSettings

if TYPE_CHECKING:
    from keyturn.targets.onepassword_account import Item, ItemField
    from keyturn.targets.servers import Action

VARIABLE = "OP_SERVICE_ACCOUNT_TOKEN"
ID = r"^[a-z0-9]{26}$"
"""An id of a vault or an item."""
FIRST_PAUSE = 0.5
"""Seconds before a refused change is tried again; doubled each time."""


class AuthSettings(BaseModel):
    """The variable of the token. The token itself is not part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    env_prefix: str = Field(
        default="",
        pattern=r"^([A-Z][A-Z0-9_]*)?$",
        description=f"Prefix of {VARIABLE}, for a second service account.",
    )


class ServiceAccountSettings(TargetSettings):
    """Settings of a vault that a 1Password service account may use."""

    vault: str = Field(pattern=ID, description="Id of the vault. To find it by its name would list vaults.")
    auth: AuthSettings = Field(default=AuthSettings(), description="The variable of the token.")


class ServiceAccountTarget(WithoutDocuments):
    """One vault. A path is the id of an item."""

    kind: ClassVar[str] = "onepassword"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False, unique_versions=True
    )
    settings_model: ClassVar[type[BaseModel]] = ServiceAccountSettings

    @classmethod
    def origin_mistakes(cls, settings: ServiceAccountSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the prefix is permitted. The token itself names the server that it is sent to."""
        return prefix_mistakes("auth.env_prefix", settings.auth.env_prefix, environment)

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the prefix."""
        settings = parse_settings(ServiceAccountSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        # Import the vendor's library only now: opening a target is the first use of the service account.
        from keyturn.targets.onepassword_account import Account

        variable, where = f"{settings.auth.env_prefix}{VARIABLE}", f"target {context.name}"
        self._account = Account(context.environment, variable, context.request, where)
        self._vault = settings.vault
        self._name = context.name
        # 1Password accepts one change of a vault at a time.
        self._writing = threading.Lock()

    def read(self, path: str, field: str) -> Value:
        """Read a field. The version is that of the item, after its id."""
        self._check(path, field)
        item = self._get(path)
        return self._value(item, self._find(item, path, field))

    def read_version(self, path: str, field: str, version: str) -> Secret | None:
        """Return None: the client provides no earlier versions."""
        del version
        self._check(path, field)
        return None

    def write(self, path: str, field: str, secret: Secret, expected: Secret | None, guard: Guard) -> str:
        """Replace the item by itself with our field changed."""
        return self._change(path, field, secret, expected, guard)

    def remove(self, path: str, field: str, expected: Secret, guard: Guard) -> None:
        """Remove only our field. The item stays."""
        self._change(path, field, None, expected, guard)

    def preflight(self, path: str, field: str) -> None:
        """Replace the item by itself. Nothing less shows that this service account may write."""
        self._check(path, field)
        with self._writing:
            for _ in tries(FIRST_PAUSE):
                item = self._get(path)
                if self._find(item, path, field) is None:
                    self._section(item, path, field)
                if self._account.put(self._action(path, "change"), item, unguarded) is not None:
                    return
        raise self._overtaken(path)

    def close(self) -> None:
        """Do nothing: the client has nothing to close."""

    def _change(self, path: str, field: str, secret: Secret | None, expected: Secret | None, guard: Guard) -> str:
        """Set our field, or remove it if `secret` is None. Return the item's version."""
        from keyturn.targets.onepassword_account import with_value

        self._check(path, field)
        where = self._where(path)

        def read() -> tuple[Value, Item]:
            item = self._get(path)
            return self._value(item, self._find(item, path, field)), item

        def write_over(item: Item) -> str | None:
            found = self._find(item, path, field)
            section = self._section(item, path, field) if found is None else None
            changed = with_value(item, found, split_field(field)[1], section, secret)
            after = self._account.put(self._action(path, "change"), changed, guard)
            if after is None:
                return None
            value = self._value(after, self._find(after, path, field))
            if value.secret != secret:
                raise Conflict(f"the field {field} is not as it was written", where=where)
            return value.version

        overtaken = self._overtaken(path)
        with self._writing:
            return merge(
                read,
                write_over,
                field=field,
                secret=secret,
                expected=expected,
                where=where,
                pause=FIRST_PAUSE,
                overtaken=overtaken,
            )

    def _get(self, path: str) -> Item:
        return self._account.get(self._action(path, "read"), self._vault, path)

    def _find(self, item: Item, path: str, field: str) -> ItemField | None:
        """Return the field with this name, None if it is absent.

        A field in a section with a name has the name `section.label`, any other one `label`: one place has one name.
        """
        from keyturn.targets.onepassword_account import is_text

        titles = {section.id: section.title for section in item.sections}

        def name(one: ItemField) -> str:
            section = titles.get(one.section_id or "")
            return f"{section}.{one.title}" if section else one.title

        found = [one for one in item.fields if name(one) == field]
        if len(found) > 1 or (not found and any(one.title == field for one in item.fields)):
            raise TargetMisfit(
                f"this item has {len(found)} fields named {field}" if found else f"the field {field} is in a section",
                where=self._where(path),
                remedy="Use section.label as the field, or rename the others.",
            )
        if found and not is_text(found[0]):
            raise TargetMisfit(
                f"the field {field} does not hold text",
                where=self._where(path),
                evidence="its type is neither text nor concealed",
                remedy="Use another field, or remove this one.",
            )
        return found[0] if found else None

    def _section(self, item: Item, path: str, field: str) -> str | None:
        """Return the id of the section for a new field; None if it names none."""
        section = split_field(field)[0]
        found = [one.id for one in item.sections if section == one.title]
        if section and not found:
            raise TargetMisfit(
                f"this item has no section {section}",
                where=self._where(path),
                remedy="Create it in 1Password, or omit the section from the field.",
            )
        return found[0] if section else None

    @staticmethod
    def _value(item: Item, found: ItemField | None) -> Value:
        """Return a value with a version that no other item has: ids are unique."""
        return Value(Secret(found.value) if found and found.value else None, f"{item.id}.{item.version}")

    def _overtaken(self, path: str) -> TargetUnavailable:
        return TargetUnavailable(
            "other changes of this vault were faster", where=self._where(path), evidence=f"{TRIES} times"
        )

    def _where(self, path: str) -> str:
        return f"target {self._name}, {self._vault}/{path}"

    def _action(self, path: str, verb: str) -> Action:
        from keyturn.targets.servers import Action

        remedy = "The service account needs read_items and write_items on the vault."
        return Action(self._where(path), f"{verb} this item", remedy)

    @staticmethod
    def _check(path: str, field: str) -> None:
        if not re.fullmatch(ID, check_path(path)):
            raise InputError(
                f"the path {path!r} is not the id of an item",
                evidence="an id has 26 lower-case letters and digits",
                remedy="The 1Password CLI shows it: op item get TITLE --format json.",
            )
        if not field or field.startswith(".") or field.endswith("."):
            remedy = "Use label or section.label."
            raise InputError("a delivery to 1Password needs a field with a label", where=path, remedy=remedy)
