"""A place for the contract suite: one vault for a service account, which may read and write items and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar
from uuid import uuid4

from keyturn.targets.base import TargetContext
from keyturn.targets.onepassword_service import VARIABLE, ServiceAccountTarget
from tests.contract.places import Fields, Servers
from tests.support.connect_state import new_identity
from tests.support.onepassword_core import Core, played_by


class ServiceAccountPlace:
    """One vault; a value that is no plain text is written as (type, value). Every path is an item that is there."""

    others: ClassVar[Fields] = {
        "text": "kept",
        "": "a field without a label",
        "with.dot": "kept too",
        "email": ("Email", "bot@example.com"),
        "otp": ("Totp", "otpauth://totp/x?secret=ABC"),
    }
    no_texts: ClassVar[Sequence[object]] = (("Totp", "otpauth://totp/x"), ("Date", "2026-11-23"), ("Email", "a@b.c"))

    def __init__(self, core: Core) -> None:
        self.core = core
        self.vault = new_identity()
        self.token = core.token({self.vault: "rw"})

    def target(self, token: str | None = None, *, request: float = 10) -> ServiceAccountTarget:
        """Return a new target, with this token and this deadline for a call."""
        environment = {VARIABLE: self.token if token is None else token}
        return ServiceAccountTarget(TargetContext("op", {"vault": self.vault}, environment, request=request))

    def path(self) -> str:
        """Return the id of a fresh item."""
        identity: str = self.core.item(self.vault)["id"]
        return identity

    def seed(self, path: str, fields: Fields) -> None:
        """Write past the client, whatever is there."""
        parts = []
        for label, value in fields.items():
            kind, text = value if isinstance(value, tuple) else ("Concealed", value)
            parts.append({"id": uuid4().hex, "title": label, "fieldType": kind, "value": text})
        self.core.store(self.core.items[path] | {"fields": parts})

    def fields(self, path: str) -> Fields | None:
        """Read past the client; an item without fields counts as absent."""
        found = {
            one["title"]: one["value"]
            if one["fieldType"] in {"Text", "Concealed"}
            else (one["fieldType"], one["value"])
            for one in self.core.items[path]["fields"]
        }
        return found or None


@contextmanager
def deliveries(servers: Servers) -> Iterator[ServiceAccountPlace]:
    """Open a place for deliveries."""
    del servers
    with played_by(Core()) as core:
        yield ServiceAccountPlace(core)
