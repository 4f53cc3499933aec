"""The apps of one DigitalOcean account: found by their names, read, proposed, replaced, and their deployments.

The API is that of the account (public API description, "Apps"). There is no version: the last spec that was sent wins.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from keyturn.core.errors import CredentialError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.sanitize import plain
from keyturn.core.variables import TOKENS, account_token
from keyturn.targets import app_spec
from keyturn.targets.base import Guard
from keyturn.targets.rest import Answer, Request, Rest, seconds_of
from keyturn.targets.servers import Action, UnreadableAnswer

NO_APP = "keyturn-probe"
"""No id of an app: an update of it has to be refused, and only a token that may update apps is told so."""
AGAIN = 60.0
"""Seconds after which a name that was not in the list of apps is looked for again."""
PAGE, PAGES = 20, 500
"""Apps per page, so that an answer stays small, and pages at most. A page that is too large is read app by app."""
RECENT = 10
"""Deployments that are looked at: those before are over."""
ONE_MINUTE = 60.0
DATABASE = "database:view_credentials"
_LOCKS: dict[tuple[str, str], threading.Lock] = {}
"""The lock of each app: several targets of this process may reach it."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ERROR_ID = re.compile(r"[a-z_]{1,40}")


@dataclass(frozen=True, slots=True)
class App:
    """An app as it was read: id, name, the text of its spec, and the spec that it runs with, as text, if any.

    `took`: the seconds that its active deployment took; None if that is not shown.
    """

    id: str
    name: str
    spec: str = field(repr=False)
    running: str | None = field(default=None, repr=False)
    took: float | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment: its id, its phase, and the text of its spec."""

    id: str
    phase: str
    spec: str = field(repr=False)


class Apps:
    """The apps that one token reaches."""

    def __init__(self, rest: Rest, environment: Mapping[str, str], name: str) -> None:
        """Keep these. Nothing is sent yet. `environment` holds the account token."""
        self._rest = rest
        self._environment = environment
        self._name = name
        self._ids: dict[str, str] = {}
        self._took: dict[str, float | None] = {}
        self._listed = -AGAIN
        self._looking = threading.Lock()

    def where(self, app: str) -> str:
        """Return the location for messages."""
        return f"target {self._name}, app {app}"

    def alone(self, app: str) -> threading.Lock:
        """Return the lock of an app: without it, of two writers in this process one would have to merge again."""
        return _LOCKS.setdefault((self._rest.base, self._id(app)), threading.Lock())

    def read(self, app: str) -> App:
        """Read an app by its name. Raises TargetMisfit if the token sees none."""
        action = Action(self.where(app), f"read the app {app}", _scopes())
        answer = self._ask(action, Request("GET", f"/v2/apps/{self._id(app)}"))
        found = None if answer.status == HTTPStatus.NOT_FOUND else _app(answer, action)
        if found is None or found.name != app:  # it was deleted, or it has another name now
            with self._looking:
                self._ids.pop(app, None)
                self._listed = time.monotonic() - AGAIN
            raise self._missing(app)
        self._took[app] = found.took
        return found

    def took(self, app: str) -> float | None:
        """Return the seconds that the active deployment of an app took, as last read; None if nobody knows."""
        return self._took.get(app)

    def try_update(self, app: str) -> None:
        """Show that the token may update apps, by an update of no app and to no spec: it is refused in any case.

        Raises TargetForbidden if the token may not.
        """
        action = Action(self.where(app), f"update the app {app}", _scopes())
        answer = self._ask(action, Request("PUT", f"/v2/apps/{NO_APP}", body="{}"))
        if answer.good:
            raise TargetMisfit(
                "the API accepted an update of an app that cannot be there",
                where=action.where,
                evidence=f"{NO_APP}, without a spec",
                remedy="Nothing of the app was sent. Use another type of target: this API has changed.",
            )

    def propose(self, app: str, found: App) -> None:
        """Let App Platform check a spec as an update of its app. Nothing is changed.

        A token that may not do this leaves it out, unless a database is attached: then the update may be refused for a
        scope that only this shows. Raises TargetMisfit if the spec is refused.
        """
        action = Action(self.where(app), f"propose the spec of the app {app}", _scopes("app:create"))
        body = f'{{"app_id": {json.dumps(found.id)}, "spec": {found.spec}}}'
        try:
            answer = self._ask(action, Request("POST", "/v2/apps/propose", body=body))
        except TargetForbidden:
            if app_spec.databases(found.spec):
                raise
            return
        if not answer.good:
            raise self._refused(action, answer, found.spec)

    def replace(self, app: str, found: App, spec: str, guard: Guard) -> App:
        """Send a whole spec, which starts a deployment. Return the app with the spec that is stored then."""
        action = Action(self.where(app), f"update the app {app}", _scopes())
        request = Request("PUT", f"/v2/apps/{found.id}", body=f'{{"spec": {spec}}}', guard=guard)
        answer = self._ask(action, request)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise self._missing(app)
        if not answer.good:
            raise self._refused(action, answer, spec)
        return _app(answer, action, writing=True)

    def deployments(self, app: str) -> tuple[Deployment, ...]:
        """Return the last deployments, the newest first."""
        action = Action(self.where(app), f"list the deployments of the app {app}", _scopes())
        path = f"/v2/apps/{self._id(app)}/deployments"
        answer = self._ask(action, Request("GET", path, {"per_page": str(RECENT)}))
        if answer.good:
            with suppress(ValueError):  # raise ours below: the parser's error may hold the text
                found = app_spec.deployments_of(answer.text)
                return tuple(Deployment(plain(one, 60), plain(phase, 20), spec) for one, phase, spec in found)
        raise _no_answer(action, answer)

    def close(self) -> None:
        """Close the connections."""
        self._rest.close()

    def _id(self, app: str) -> str:
        """Return the id of an app. Raises TargetMisfit if no app has this name, or had it a moment ago."""
        if known := self._ids.get(app):
            return known
        with self._looking:
            if app not in self._ids and time.monotonic() - self._listed >= AGAIN:
                self._ids = dict(self._list(app))
                self._listed = time.monotonic()
            if app not in self._ids:
                raise self._missing(app)
            return self._ids[app]

    def _list(self, app: str) -> Iterator[tuple[str, str]]:
        action = Action(self.where(app), "list the apps", _scopes())
        for page in range(1, PAGES + 1):
            try:
                listed = self._page(action, page, PAGE)
            except UnreadableAnswer:
                listed = []
                for number in range((page - 1) * PAGE + 1, page * PAGE + 1):
                    listed += (alone := self._page(action, number, 1))
                    if not alone:
                        break
            for one in listed:
                spec = one.get("spec") if isinstance(one, dict) else None
                found = str(one.get("id")) if isinstance(one, dict) else ""
                if isinstance(spec, dict) and _ID.fullmatch(found):
                    yield str(spec.get("name")), found
            if len(listed) < PAGE:
                return
        raise TargetUnavailable(f"could not {action.doing}: the list does not end", where=action.where)

    def _page(self, action: Action, page: int, size: int) -> list[object]:
        answer = self._ask(action, Request("GET", "/v2/apps", {"page": str(page), "per_page": str(size)}))
        listed = _listed(answer)
        if listed is None:
            raise _no_answer(action, answer)
        return listed

    def _ask(self, action: Action, request: Request) -> Answer:
        source, token = account_token(self._environment)
        if not token:
            raise CredentialError("no DigitalOcean token found", where=action.where, remedy=f"Set {TOKENS[0]}.")
        answer = self._rest.send(action, request, token)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise CredentialError(
                "DigitalOcean refuses this token",
                where=action.where,
                evidence=f"it answered 401 to {source}",
                remedy="Set a valid token.",
            )
        if answer.status == HTTPStatus.FORBIDDEN:
            raise TargetForbidden(
                f"this token may not {action.doing}",
                where=action.where,
                evidence=f"DigitalOcean answered 403 to {source}",
                remedy=action.remedy,
            )
        return answer

    def _missing(self, app: str) -> TargetMisfit:
        remedy = "Check the path: the name of the app, then that of a component. The token has to be of its team."
        return TargetMisfit(f"there is no app {app}", where=self.where(app), remedy=remedy)

    @staticmethod
    def _refused(action: Action, answer: Answer, spec: str) -> TargetMisfit:
        told = answer.object()
        evidence = f"status {answer.status}"
        if _ERROR_ID.fullmatch(identity := str(told.get("id"))):
            evidence += f", {identity}"
        what = f"could not {action.doing}: App Platform refuses the spec"
        remedy = "Deploy the app in the control panel, which says why."
        if app_spec.databases(spec):
            what += ", and the app has an attached database"
            remedy = f"For such an app the token also needs the scope {DATABASE}. If it has it: {remedy}"
        return TargetMisfit(what, where=action.where, evidence=evidence, remedy=remedy)


def _listed(answer: Answer) -> list[object] | None:
    """Return the apps of a page; None if it is no page. An account without apps may leave the list out."""
    found = answer.object() if answer.good else {}
    apps, meta = found.get("apps"), found.get("meta")
    if apps is None and isinstance(meta, dict) and meta.get("total") == 0:
        return []
    return apps if isinstance(apps, list) else None


def limit(answer: Answer) -> float | None:
    """Return for how long the API asks to send nothing (429); None if it does not."""
    if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    return seconds_of(answer.headers) or ONE_MINUTE


def _app(answer: Answer, action: Action, *, writing: bool = False) -> App:
    # The error of a parser may hold the text. Raise ours below, so that it has no such context.
    if answer.good:
        try:
            spec = app_spec.spec_of(answer.text)
            active = _active(answer.object())
            name = app_spec.app_name(spec)
            return App(app_spec.app_id(answer.text), name, spec, _running(active), _took(active))
        except ValueError:
            pass
    raise _no_answer(action, answer, writing=writing)


def _active(found: Mapping[str, object]) -> Mapping[str, object]:
    """Return the active deployment of an app; empty if there is none."""
    app = found.get("app")
    active = app.get("active_deployment") if isinstance(app, dict) else None
    return active if isinstance(active, dict) else {}


def _running(active: Mapping[str, object]) -> str | None:
    spec = active.get("spec")
    return json.dumps(spec) if isinstance(spec, dict) else None


def _took(active: Mapping[str, object]) -> float | None:
    """Return the seconds from the creation of a deployment to its last phase; None if the answer does not tell."""
    with suppress(KeyError, ValueError, TypeError):
        began, over = (datetime.fromisoformat(str(active[name])) for name in ("created_at", "phase_last_updated_at"))
        return max(0.0, (over - began).total_seconds())
    return None


def _no_answer(action: Action, answer: Answer, *, writing: bool = False) -> TargetUnavailable:
    return TargetUnavailable(
        f"could not {action.doing}: this is not an answer of DigitalOcean's API",
        where=action.where,
        evidence=f"status {answer.status}",
        ambiguous=writing and answer.good,
    )


def _scopes(*more: str) -> str:
    """Name all scopes at once: after one was added, the next one would be missing."""
    return f"The token needs the scopes {', '.join(('app:read', 'app:update', *more))}."
