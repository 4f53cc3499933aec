"""The secrets of GitHub: public keys, metadata, write, delete, and the errors for its answers.

Facts: "REST API endpoints for … secrets", "Rate limits for the REST API" and "Troubleshooting the REST API" in GitHub's
documentation, version 2026-03-10 of the API.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from keyturn.core.errors import TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret
from keyturn.targets.base import Guard
from keyturn.targets.github_login import Login
from keyturn.targets.github_places import Place
from keyturn.targets.rest import Answer, Request, Rest, seconds_of
from keyturn.targets.sealed_box import sealed
from keyturn.targets.servers import Action

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2026-03-10"}
ONE_MINUTE = 60.0
"""The pause that GitHub asks for at a limit without a time of its own."""
PROBE = "PROBE_OF_KEYTURN"
"""The name of a secret that is never there: a write of it without a value has to be refused."""
PAGE, PAGES = 100, 50
"""Repositories per page, the API's largest, and pages at most."""
_REFUSED = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY})
_LIMITED = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS})
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII)
_PERMISSIONS = re.compile(r"[a-z_=;, ]{1,200}")


@dataclass(frozen=True, slots=True)
class Found:
    """The metadata of a secret; without moments if there is none.

    `updated` and `seen` are Unix seconds of GitHub's clock: the last write, and when GitHub answered. A secret that is
    absent may have been written and deleted until then. `passed` is this machine's clock at that moment, to tell how
    much later it is.
    """

    updated: float
    seen: float
    passed: float
    created_at: str = ""
    updated_at: str = ""
    visibility: str = ""

    @property
    def marker(self) -> str:
        """What changes with every write of another second; empty if there is no secret."""
        return f"{self.created_at} {self.updated_at}" if self.updated_at else ""

    def until_next(self) -> float:
        """Return the seconds until GitHub's clock is past the second of the last write."""
        return self.updated + 1 - self.seen - (time.monotonic() - self.passed)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a secret is sealed for."""

    id: str
    key: str


class GitHubSecrets:
    """The secrets that one login reaches."""

    def __init__(self, rest: Rest, login: Login, name: str) -> None:
        """Keep these. Nothing is sent yet."""
        self._rest = rest
        self._login = login
        self._name = name

    def where(self, place: Place) -> str:
        """Return the location for messages."""
        return f"target {self._name}, {place}"

    def public_key(self, place: Place) -> PublicKey:
        """Read the public key of a place, which every login gets that may read its secrets."""
        action = self._action("read the public key of", place)
        answer = self._ask(action, Request("GET", f"{place.url}/public-key"), place)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise TargetMisfit(
                f"there is no {place}, or this login may not see its secrets",
                where=action.where,
                evidence="GitHub answers 404 in both cases",
                remedy=f"Check the path. {action.remedy}",
            )
        found = answer.object()
        if not (answer.good and isinstance(found.get("key_id"), str) and isinstance(found.get("key"), str)):
            raise _no_answer(action, answer)
        return PublicKey(str(found["key_id"]), str(found["key"]))

    def read(self, place: Place, name: str) -> Found:
        """Read the metadata of a secret.

        Raises TargetMisfit if the login does not see the place: what it may not see is not absent.
        """
        action = self._action(f"read the secret {name} of", place)
        answer = self._ask(action, Request("GET", f"{place.url}/{name}"), place)
        passed = time.monotonic()
        if answer.status == HTTPStatus.NOT_FOUND:
            self.public_key(place)
            return Found(answer.date or 0.0, answer.date or 0.0, passed)
        found = answer.object()
        created, updated = str(found.get("created_at")), str(found.get("updated_at"))
        moment = _moment(updated)
        if not answer.good or moment is None or _moment(created) is None:
            raise _no_answer(action, answer)
        seen = answer.date if answer.date is not None else moment
        return Found(moment, seen, passed, created, updated, str(found.get("visibility") or ""))

    def write(
        self, place: Place, name: str, secret: Secret, key: PublicKey, sharing: Mapping[str, object], guard: Guard
    ) -> float | None:
        """Write a secret, sealed for `key`. Return GitHub's clock after it in Unix seconds, 0 if it is not told.

        Return None if GitHub refuses the value (422), such as for an old key. `sharing` has the further fields that an
        organization needs.
        """
        action = self._action(f"write the secret {name} of", place)
        try:
            value = sealed(secret, key.key)
        except ValueError as wrong:
            raise TargetUnavailable(f"could not {action.doing}: {wrong}", where=action.where) from None
        body = json.dumps({"encrypted_value": value, "key_id": key.id, **sharing})
        answer = self._ask(action, Request("PUT", f"{place.url}/{name}", body=body, guard=guard), place)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return None
        if not answer.good:
            raise TargetMisfit(f"could not {action.doing}", where=action.where, evidence=f"status {answer.status}")
        return answer.date or 0.0

    def try_write(self, place: Place) -> None:
        """Show that the login may write, by a secret without a value, which GitHub has to refuse (422).

        Raises TargetForbidden if the login may not: that is looked at first.
        """
        action = self._action("write the secrets of", place)
        body = json.dumps({"encrypted_value": "", "key_id": ""})
        answer = self._ask(action, Request("PUT", f"{place.url}/{PROBE}", body=body), place)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise self._forbidden(action, answer)
        if answer.good:
            raise TargetMisfit(
                "GitHub accepted a secret without a value, which its description does not allow",
                where=action.where,
                evidence=f"it is called {PROBE}",
                remedy="Remove it, and use another type of target: this API has changed.",
            )
        if answer.status not in _REFUSED:
            raise _no_answer(action, answer)

    def delete(self, place: Place, name: str, guard: Guard) -> None:
        """Delete a secret. One that is not there is done."""
        action = self._action(f"delete the secret {name} of", place)
        answer = self._ask(action, Request("DELETE", f"{place.url}/{name}", guard=guard), place)
        if not answer.good and answer.status != HTTPStatus.NOT_FOUND:
            raise TargetMisfit(f"could not {action.doing}", where=action.where, evidence=f"status {answer.status}")

    def selected(self, place: Place, name: str) -> list[int]:
        """Return the ids of the repositories that may use a secret of an organization."""
        action = self._action(f"list the repositories of the secret {name} of", place)
        ids: list[int] = []
        for page in range(1, PAGES + 1):
            params = {"page": str(page), "per_page": str(PAGE)}
            answer = self._ask(action, Request("GET", f"{place.url}/{name}/repositories", params), place)
            listed = answer.object().get("repositories") if answer.good else None
            if not isinstance(listed, list):
                raise _no_answer(action, answer)
            ids += [one["id"] for one in listed if isinstance(one, dict) and isinstance(one.get("id"), int)]
            if len(listed) < PAGE:
                break
        else:
            raise TargetUnavailable(f"could not {action.doing}: the list does not end", where=action.where)
        total = answer.object().get("total_count")
        if len(set(ids)) != total:  # sent back, it would take the secret from those that are missing
            raise TargetUnavailable(
                f"could not {action.doing}: the list is incomplete, or has just been changed",
                where=action.where,
                evidence=f"{len(set(ids))} of {plain(str(total), 20)}",
                remedy="Run again.",
            )
        return ids

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def _action(self, verb: str, place: Place) -> Action:
        remedy = f"The login needs the permission {place.permission}: write."
        return Action(self.where(place), f"{verb} the {place}", remedy)

    def _ask(self, action: Action, request: Request, place: Place) -> Answer:
        """Send a request, and once more with another token if the first one is refused."""
        token = self._login.token(place)
        answer = self._rest.send(action, request, token)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer = self._rest.send(action, request, self._login.token(place, refused=token))
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self._forbidden(action, answer)
        return answer

    def _forbidden(self, action: Action, answer: Answer) -> TargetForbidden:
        accepted = answer.headers.get("X-Accepted-GitHub-Permissions", "")
        also = f", which asks for {accepted}" if _PERMISSIONS.fullmatch(accepted) else ""
        return TargetForbidden(
            f"this login may not {action.doing}",
            where=action.where,
            evidence=f"GitHub answered {answer.status} to {self._login.source}{also}",
            remedy=action.remedy,
        )


def limit(answer: Answer) -> float | None:
    """Return for how long GitHub asks to send nothing, by its primary and its secondary limits; None if it does not."""
    if answer.status not in _LIMITED:
        return None
    if (after := seconds_of(answer.headers)) is not None:
        return after
    if answer.headers.get("X-RateLimit-Remaining") == "0":
        reset = seconds_of(answer.headers, "X-RateLimit-Reset")
        return max(1.0, reset - answer.date) if reset is not None and answer.date is not None else ONE_MINUTE
    told = "rate limit" in str(answer.object().get("message")).lower()  # a secondary limit may have no header
    return ONE_MINUTE if told or answer.status == HTTPStatus.TOO_MANY_REQUESTS else None


def _moment(text: str) -> float | None:
    """Return the Unix seconds of a moment as GitHub writes it; None if it is another text."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _no_answer(action: Action, answer: Answer) -> TargetUnavailable:
    return TargetUnavailable(
        f"could not {action.doing}: this is not an answer of GitHub's API",
        where=action.where,
        evidence=f"status {answer.status}",
        remedy="Check that GITHUB_API_URL is the API, not a proxy.",
    )
