"""The calls of DigitalOcean Secrets Manager: read, create, change at exactly the version that was read, list.

After DigitalOcean's public API description (`/v2/security/secrets`, October 2026, not generally available). It says
that an update names the current version, and which answers there are, but not which of them refuses another version:
so a refused change is judged by reading again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from keyturn.core.errors import TargetMisfit, TargetUnavailable
from keyturn.core.sanitize import plain
from keyturn.targets.base import Guard
from keyturn.targets.digitalocean_server import Answer, Server
from keyturn.targets.documents import DOCUMENT
from keyturn.targets.rest import Request
from keyturn.targets.servers import Action

SECRETS = "/v2/security/secrets"
PAGE = 200
"""Secrets per page of a list: the most that the API gives."""
PAGES = 500
"""So many pages are read at most: 100,000 secrets."""
REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
"""A definite no, to the content of a request or to its version."""

_MASKED = re.compile(r"EV\[[0-9]+:.*\]|\S*[*\u2022]{3,}\S*")
"""What other APIs show instead of a value: a ciphertext, or one word with asterisks or bullets in it."""

Model = TypeVar("Model", bound=BaseModel)


class _Written(BaseModel):
    version: int = Field(ge=1)


class _Secret(_Written):
    values: dict[str, object] | None = None
    delete_requested_at: str | None = None

    @model_validator(mode="after")
    def check_values(self) -> Self:
        """Refuse a secret without values: taken for an empty one, it would be replaced by our field alone."""
        if self.values is None and self.delete_requested_at is None:
            raise ValueError("no values")
        return self


class _Listed(BaseModel):
    secret: str
    region: str


class _Meta(BaseModel):
    pages: int
    total: int


class _Page(BaseModel):
    secrets: list[_Listed] | None = None
    meta: _Meta
    unavailable_regions: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A secret: its values, None if it is absent, and its version. `deleted`: its deletion is requested."""

    values: Mapping[str, object] | None = field(default=None, repr=False)
    version: int = 0
    deleted: bool = False


class Store:
    """The secrets of one region."""

    def __init__(self, server: Server, region: str, name: str) -> None:
        """Keep the server. Nothing is sent yet."""
        self._server = server
        self._region = region
        self._name = name

    def where(self, secret: str) -> str:
        """Return the location for messages."""
        return f"target {self._name}, {self._region}/{secret}"

    def read(self, secret: str) -> Entry:
        """Read a secret. Raises TargetMisfit if a value looks masked: written back, the mask would replace it."""
        action = self._action("read", secret, "security:read")
        answer = self._server.ask(action, Request("GET", f"{SECRETS}/{secret}", {"region": self._region}))
        if answer.status == HTTPStatus.NOT_FOUND:
            return Entry()
        found = _parsed(_Secret, answer, action)
        masked = sorted(name for name, value in (found.values or {}).items() if _masked(name, value))
        if masked:
            raise TargetMisfit(
                f"the API does not show the value of {plain(masked[0], 60)}: it looks masked",
                where=action.where,
                evidence="it is a ciphertext, or asterisks or bullets are in it",
                remedy="Nothing was changed. Use a token that may see the values, or another secret.",
            )
        return Entry(found.values or {}, found.version, found.delete_requested_at is not None)

    def create(self, secret: str, values: Mapping[str, object], guard: Guard) -> Entry | None:
        """Create a secret. Return None if there is one."""
        action = self._action("create", secret, "security:create")
        answer = self._post(action, {"name": secret, "region": self._region, "values": dict(values)}, guard)
        if answer.status in REFUSED:
            if self.read(secret).values is not None:
                return None
            remedy = "Use another name, or restore the secret if one of this name was deleted."
            raise _refused(action, answer, remedy)
        return Entry(values, _parsed(_Written, answer, action, writing=True).version)

    def change(self, secret: str, version: int, values: Mapping[str, object], guard: Guard) -> Entry | None:
        """Replace the values of a secret at exactly `version`. Return None if it is at another version, or gone."""
        action = self._action("write", secret, "security:read and security:update")
        body = {"region": self._region, "version": version, "values": dict(values)}
        answer = self._server.ask(action, Request("PUT", f"{SECRETS}/{secret}", body=body, guard=guard))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status in REFUSED:
            if self.read(secret).version != version:
                return None
            raise _refused(action, answer, "Its values may be too large, or too many.")
        return Entry(values, _parsed(_Written, answer, action, writing=True).version)

    def probe_create(self, secret: str) -> None:
        """Request a secret without values, which the API has to refuse. Raises the errors of a real request.

        Nothing is created: the description requires `values`.
        """
        action = self._action("create", secret, "security:read and security:create")
        answer = self._post(action, {"name": secret, "region": self._region}, lambda: None)
        if answer.good:
            raise TargetMisfit(
                "the API accepted a secret without values, which its description does not allow",
                where=action.where,
                remedy="Remove this secret, and use another type of target: this API has changed.",
            )

    def list(self) -> frozenset[str]:
        """Return the names of the secrets, including those whose deletion is requested. No values are read.

        Raises:
            TargetUnavailable: the list is incomplete; a secret that is missing in it may exist.
        """
        needs = "It needs the scope security:read."
        action = Action(f"target {self._name}", f"list the secrets of the region {self._region}", needs)
        found: set[tuple[str, str]] = set()
        for number in range(1, PAGES + 1):
            params = {"page": str(number), "per_page": str(PAGE)}
            page = _parsed(_Page, self._server.ask(action, Request("GET", SECRETS, params)), action)
            if self._region in (page.unavailable_regions or ()):
                raise self._incomplete(action, "the API could not ask this region")
            found |= {(one.region, one.secret) for one in page.secrets or ()}
            if number >= page.meta.pages:
                if len(found) < page.meta.total and not page.unavailable_regions:
                    raise self._incomplete(action, f"{len(found)} of {page.meta.total} secrets")
                return frozenset(secret for region, secret in found if region == self._region)
        raise self._incomplete(action, f"it does not end after {PAGES} pages")

    def _post(self, action: Action, body: Mapping[str, object], guard: Guard) -> Answer:
        answer = self._server.ask(action, Request("POST", SECRETS, body=body, guard=guard))
        if answer.status == HTTPStatus.NOT_FOUND:
            raise TargetMisfit(
                f"could not {action.doing}: this account has no Secrets Manager",
                where=action.where,
                evidence="status 404",
                remedy="It is not generally available. Use another type of target.",
            )
        return answer

    def _action(self, verb: str, secret: str, scopes: str) -> Action:
        word = "scopes" if " and " in scopes else "scope"
        return Action(self.where(secret), f"{verb} the secret {secret}", f"It needs the {word} {scopes}.")

    @staticmethod
    def _incomplete(action: Action, evidence: str) -> TargetUnavailable:
        what = f"could not {action.doing}: the list is incomplete"
        return TargetUnavailable(what, where=action.where, evidence=evidence, remedy="Run again later.")


def _masked(name: str, value: object) -> bool:
    return name != DOCUMENT and isinstance(value, str) and _MASKED.fullmatch(value) is not None


def _refused(action: Action, answer: Answer, remedy: str) -> TargetMisfit:
    what = f"could not {action.doing}: the API refuses its name or its content"
    return TargetMisfit(what, where=action.where, evidence=f"status {answer.status}", remedy=remedy)


def _parsed(model: type[Model], answer: Answer, action: Action, *, writing: bool = False) -> Model:
    """Return an answer as `model`. The API's text is not repeated."""
    if answer.good:
        # pydantic's error contains the answer and its secrets. Raise ours below, so that it has no such context.
        with suppress(ValidationError):
            return model.model_validate(answer.body)
    raise TargetUnavailable(
        f"could not {action.doing}: this is not an answer about secrets",
        where=action.where,
        evidence=f"status {answer.status}",
        ambiguous=writing and answer.good,
    )
