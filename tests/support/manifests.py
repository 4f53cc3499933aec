"""Manifests to make mistakes in, and two kinds of target to make them with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, field_validator

from keyturn.core.errors import InputError, ManifestError, Mistake
from keyturn.core.model import Desired
from keyturn.manifest import load_text
from keyturn.targets.base import Capabilities, WithoutServer, origin_mistakes

ENVIRONMENT = {"VAULT_ADDR": "https://vault.example.com:8200"}

TOP = """\
apiVersion: keyturn/v1
name: platform-keys
targets:
  vault: {type: vault, address: "https://vault.example.com:8200"}
  files: {type: files}
defaults:
  smoke: {model: llama3.3-70b-instruct}
"""

KEYS = """\
keys:
  bot:
    deliver:
      - {target: vault, path: apps/bot, field: KEY}
"""


class Auth(BaseModel):
    """How to log in."""

    model_config = ConfigDict(extra="forbid")

    method: str = "token"
    role: str = ""
    env_prefix: str = ""


class VaultSettings(BaseModel):
    """What a manifest may say of the vault of these tests."""

    model_config = ConfigDict(extra="forbid")

    address: str = ""
    region: str = ""
    mount: str = "secret"
    auth: Auth = Auth()

    @field_validator("region")
    @classmethod
    def known(cls, region: str) -> str:
        """Refuse by repeating the value, as a careless target might."""
        if region.startswith("bad"):
            raise ValueError(f"{region} is no region")
        return region


class Vault:
    """Can do everything."""

    kind: ClassVar[str] = "vault"
    capabilities: ClassVar[Capabilities] = Capabilities(compare_and_set=True, versions=True, documents=True)
    settings_model: ClassVar[type[BaseModel]] = VaultSettings

    @classmethod
    def origin_mistakes(cls, settings: VaultSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """As the real one."""
        variable = f"{settings.auth.env_prefix}VAULT_ADDR"
        return (
            origin_mistakes("address", settings.address, (variable,), environment, "vault") if settings.address else ()
        )


class FilesSettings(BaseModel):
    """No settings."""

    model_config = ConfigDict(extra="forbid")

    root: str = "."


class Files(WithoutServer):
    """Cannot compare and set, and wants a field."""

    kind: ClassVar[str] = "files"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False
    )
    settings_model: ClassVar[type[BaseModel]] = FilesSettings


class Ledger(WithoutServer):
    """Holds records and no secrets."""

    kind: ClassVar[str] = "ledger"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=True, versions=False, documents=True, deliveries=False
    )
    settings_model: ClassVar[type[BaseModel]] = FilesSettings


KINDS: Any = {"vault": Vault, "files": Files, "ledger": Ledger}
"""Only what a manifest asks of a kind: its settings and what it can do."""


def read(text: str | bytes, environment: dict[str, str] | None = None) -> Desired:
    """Read a manifest."""
    return load_text(text, "k.yaml", ENVIRONMENT if environment is None else environment, kinds=KINDS)


def mistakes(text: str | bytes, environment: dict[str, str] | None = None) -> tuple[Mistake, ...]:
    """Return what is wrong with a manifest."""
    with pytest.raises(ManifestError) as caught:
        read(text, environment)
    return caught.value.mistakes


def mistake(text: str | bytes, environment: dict[str, str] | None = None) -> Mistake:
    """Return the only mistake of a manifest."""
    found = mistakes(text, environment)
    assert len(found) == 1, found
    return found[0]


def told(text: str | bytes, environment: dict[str, str] | None = None) -> str:
    """Return the only mistake of a manifest as `path: text`."""
    only = mistake(text, environment)
    return f"{only.path}: {only.text}"
