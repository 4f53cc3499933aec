"""A place for the contract suite: one vault of a Connect server, with the smallest token that docs/targets.md names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar
from uuid import uuid4

from keyturn.targets.base import TargetContext
from keyturn.targets.onepassword import OnePasswordTarget
from tests.contract.places import Fields, Servers
from tests.support.connect import Connect
from tests.support.connect_state import Json

VAULT = "Platform Secrets & Keys"


def context(connect: Connect, token: str, **settings: object) -> TargetContext:
    """Return what a 1Password target is made from."""
    return TargetContext(
        name="op",
        settings={"host": connect.address, "vault": VAULT, "create": True, **settings},
        environment={"OP_CONNECT_HOST": connect.address, "OP_CONNECT_TOKEN": token},
        request=10,
    )


class OnePasswordPlace:
    """One vault; a value that is no plain text is written as (type, value)."""

    others: ClassVar[Fields] = {
        "text": "kept",
        "": "a field without a label",
        "with.dot": "kept too",
        "email": ("EMAIL", "bot@example.com"),
        "otp": ("TOTP", "otpauth://totp/x?secret=ABC"),
    }
    no_texts: ClassVar[Sequence[object]] = (("TOTP", "otpauth://totp/x"), ("DATE", "2026-11-23"), ("EMAIL", "a@b.c"))

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.vault = connect.vault(VAULT)
        self.token = connect.token({self.vault: "rw"})
        self._targets: list[OnePasswordTarget] = []

    def target(self, *, patience: float = 10, **settings: object) -> OnePasswordTarget:
        """Return a new target, with this deadline for a request."""
        made_from = replace(context(self.connect, self.token, **settings), request=patience)
        self._targets.append(OnePasswordTarget(made_from))
        return self._targets[-1]

    def path(self) -> str:
        """Return a fresh title."""
        return f"apps/a+b=c@d/{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Write past the API, whatever is there."""
        parts: list[Json] = []
        for label, value in fields.items():
            kind, text = value if isinstance(value, tuple) else ("CONCEALED", value)
            parts.append({"id": uuid4().hex, "type": kind, "label": label, "value": text})
        there = self._item(path)
        self.connect.item(self.vault, path, **({"id": there["id"]} if there else {}), fields=parts)

    def fields(self, path: str) -> Fields | None:
        """Read past the API."""
        item = self._item(path)
        if item is None:
            return None
        plain = {"STRING", "CONCEALED"}
        return {
            one["label"]: one["value"] if one["type"] in plain else (one["type"], one["value"])
            for one in item["fields"]
            if "value" in one
        }

    def close(self) -> None:
        """Close the targets."""
        for target in self._targets:
            target.close()

    def _item(self, title: str) -> Json | None:
        found = [item for item in self.connect.state.everything(self.vault) if item["title"] == title]
        assert len(found) < 2, "one title, two items"
        return found[0] if found else None


@contextmanager
def deliveries(servers: Servers) -> Iterator[OnePasswordPlace]:
    """Open a place for deliveries."""
    del servers  # it starts in a moment, so each test has its own
    with Connect() as connect:
        place = OnePasswordPlace(connect)
        yield place
        place.close()
