"""App Platform: variables of apps.

A delivery is one encrypted variable of an app or of a component. It cannot be read back: the spec shows its ciphertext,
which changes with every write and so is its marker. A write sends the whole spec, in which only this value differs, and
starts a deployment. Consumers use the value when a deployment of a spec with this ciphertext is active.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from math import ceil
from typing import ClassVar

from pydantic import BaseModel

from keyturn.core.errors import (
    ChangeUndone,
    Conflict,
    InputError,
    KeyturnError,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret
from keyturn.core.variables import API
from keyturn.targets import app_spec
from keyturn.targets.app_platform_apps import App, Apps, Deployment, limit
from keyturn.targets.base import (
    Capabilities,
    Effect,
    EffectState,
    Guard,
    TargetContext,
    TargetSettings,
    Value,
    WithoutDocuments,
    WithoutReading,
    WithoutServer,
    check_path,
    marker_of,
    parse_settings,
)
from keyturn.targets.permitted_places import check_permitted, place_mistakes
from keyturn.targets.rest import Rest, client_of

BUILD, RUN = "BUILD_TIME", "RUN_TIME"
OVER = frozenset({"ACTIVE", "SUPERSEDED", "ERROR", "CANCELED"})
"""Phases of a deployment that is not at work any more."""
_SEALED = re.compile(r"EV\[[0-9]{1,9}:[!-9;-\\^-~]{1,200}:[!-9;-\\^-~]+\]")
_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_KEY = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A spec that is sent: the deployments that were known before, the spec that was read, and our place in it."""

    known: frozenset[str]
    read: str
    component: str
    field: str
    again: bool = False

    def shown(self, spec: str) -> str:
        """Return the ciphertext of our variable in a spec."""
        return _shown(spec, self.component, self.field)

    def beside(self, listed: Sequence[Deployment], stored: str) -> tuple[int, list[Deployment]]:
        """Return how many new deployments are above ours, and those below, which ours may have undone.

        If ours is not listed yet, the number is -1, and all are below. What was there when the spec was read is not.
        `stored` is our spec; empty if it is not known: then ours differs from what was read in our variable only.
        """
        new = [one for one in listed if one.id not in self.known]
        at = max((at for at, one in enumerate(new) if self._ours(one.spec, stored)), default=-1)
        return at, list(takewhile(lambda one: not _same(one.spec, self.read), new[at + 1 :]))

    def _ours(self, spec: str, stored: str) -> bool:
        if not stored:
            return self.shown(spec) != self.shown(self.read) and _alike(spec, self.read, self.component, self.field)
        # The ciphertext is of this write only, also if a deployment shows its spec in another form; but when ours is
        # sent once more, what someone made from our first write has it, too.
        return _same(spec, stored) or (not self.again and self.shown(spec) == self.shown(stored) != "")


class AppPlatformSettings(TargetSettings):
    """Settings of App Platform: none. The apps are those of the account whose token is in the environment."""

    def delivery_mistakes(self, path: str, field: str, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake for what cannot be a variable of an app, and for an app that is not permitted."""
        try:
            _place(path, field)
        except InputError as error:
            error.where = "field" if error.where else "path"
            yield error
        yield from place_mistakes(AppPlatformTarget.kind, path, environment)


class AppPlatformTarget(WithoutReading, WithoutDocuments, WithoutServer):
    """The apps of the account."""

    kind: ClassVar[str] = "app-platform"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False,
        versions=False,
        documents=False,
        whole_value=False,
        unique_versions=True,
        reads=False,
        marks=True,
        effect=True,
    )
    settings_model: ClassVar[type[BaseModel]] = AppPlatformSettings

    def __init__(self, context: TargetContext) -> None:
        """Check the settings, and the URL of the API in the environment."""
        parse_settings(AppPlatformSettings, context)
        variable, default = API
        url = context.environment.get(variable, "").strip() or default
        try:
            rest = Rest(client_of(url, context.environment, context.request, {}), limit)
        except InputError as error:
            error.where = variable
            raise
        self._environment, self._where = context.environment, f"target {context.name}"
        self._apps = Apps(rest, context.environment, context.name)
        self._unanswered: dict[str, _Sent] = {}
        """By app, the last spec that was sent and got no answer: what it has undone is seen before the next one."""
        self._undone: dict[str, tuple[str, ...]] = {}
        """By app, what was undone, until an acknowledged write tells it."""

    def read(self, path: str, field: str) -> Value:
        """Return the marker of a variable; none if the component or the variable is not there, and why it takes none.

        Raises TargetMisfit if the token sees no such app: what it may not see is not absent.
        """
        app, _ = self._place(path, field)
        found = self._apps.read(app)
        marker, refuses = self._present(found, path, field), ""
        try:
            self._present(found, path, field, writing=True)
        except TargetMisfit as refused:
            refuses = str(refused)
        return Value(None, marker, refuses)

    def write_marked(self, path: str, field: str, secret: Secret, marker: str, guard: Guard) -> str:
        """Send the spec, as it is right now, with the variable set. It starts a deployment."""
        with self._apps.alone(self._place(path, field)[0]):
            return self._change(path, field, secret, marker, guard)

    def remove_marked(self, path: str, field: str, marker: str, guard: Guard) -> None:
        """Send the spec without the variable. It starts a deployment."""
        with self._apps.alone(self._place(path, field)[0]):
            self._change(path, field, None, marker, guard)

    def preflight(self, path: str, field: str) -> None:
        """Show that the token may update apps, and let App Platform check the present spec. No deployment starts."""
        app, _ = self._place(path, field)
        found = self._apps.read(app)
        self._present(found, path, field, writing=True)
        self._apps.deployments(app)  # each write lists them: it must not fail then
        self._apps.try_update(app)
        self._apps.propose(app, found)

    def effect(self, path: str, field: str, version: str) -> Effect:
        """Tell whether a deployment of a spec with this value is active, and every component uses it."""
        app, component = self._place(path, field)
        found = self._apps.read(app)

        def used(spec: str) -> bool:
            return _marker(found.id, spec, component, field) == version and not _overriding(spec, component, field)

        if found.running is not None and used(found.running):
            return Effect()
        listed = self._apps.deployments(app)
        mine = [one for one in listed if used(one.spec)]
        if any(one.phase == "ACTIVE" for one in mine):
            return Effect()
        for one in mine:
            if one.phase not in OVER:
                return Effect(EffectState.PENDING, f"deployment {one.id} is {one.phase}")
        if other := _overriding(found.spec, component, field):
            return Effect(EffectState.FAILED, f"the component {plain(other, 60)} has a variable {field} of its own")
        if mine and mine[0].phase == "SUPERSEDED":  # by none of ours
            told = f"the app runs another spec since deployment {listed[0].id} (rolled back?)"
            return Effect(EffectState.FAILED, f"{told}: revert the rollback, or deploy the app again")
        if mine:
            return Effect(EffectState.FAILED, f"deployment {mine[0].id} is {mine[0].phase}")
        return Effect(EffectState.PENDING, "no deployment has begun")

    def consequence(self, path: str, field: str) -> str:
        """Say that a deployment starts, and how long the last one took."""
        del field
        app = path.partition("/")[0]
        minutes = ceil((self._apps.took(app) or 0) / 60)
        length = f", about {minutes} minute{'s' if minutes > 1 else ''}" if minutes else ""
        return f"starts a deployment of the app {app} (all its components){length}"

    def close(self) -> None:
        """Close the connections."""
        self._apps.close()

    def _place(self, path: str, field: str) -> tuple[str, str]:
        check_permitted(self.kind, path, self._where, self._environment)
        return _place(path, field)

    def _change(self, path: str, field: str, secret: Secret | None, marker: str, guard: Guard) -> str:
        app, component = self._place(path, field)
        listed = self._apps.deployments(app)
        if lost := self._unanswered.pop(app, None):
            _, below = lost.beside(listed, "")
            self._undone[app] = tuple(f"deployment {one.id}" for one in below)
        found = self._apps.read(app)
        if secret is None and not self._present(found, path, field):
            return ""
        present = self._present(found, path, field, writing=secret is not None)
        if present != marker:
            raise Conflict(
                f"the variable {field} was modified concurrently",
                where=self._apps.where(path),
                evidence="it is another value" if present else "it is absent",
            )
        spec = app_spec.with_variable(found.spec, component, field, secret.reveal() if secret else None)
        sent = _Sent(frozenset(one.id for one in listed), found.spec, component, field)
        stored = self._settled(path, field, sent, self._stored(path, sent, found, spec, guard), guard)
        fresh = _marker(found.id, stored.spec, component, field)
        if secret is not None and fresh in {"", present}:
            raise TargetUnavailable(
                f"could not set the variable {field}: the answer does not show it encrypted",
                where=self._apps.where(path),
                ambiguous=True,
            )
        if undone := self._undone.pop(app, ()):
            told = ChangeUndone(
                f"the variable {field} was {'set' if secret else 'removed'}, which may have undone what someone else "
                "changed in this app at the same moment",
                where=self._apps.where(path),
                evidence=", ".join(undone),
                remedy="Look at the deployments of this app, and make again what is missing.",
            )
            told.version = fresh
            raise told
        return fresh

    def _stored(self, path: str, sent: _Sent, found: App, spec: str, guard: Guard) -> App:
        """Send a spec. Without an answer it was stored all the same if the app has it now, and another ciphertext."""
        app = path.partition("/")[0]
        try:
            return self._apps.replace(app, found, spec, guard)
        except TargetUnavailable as error:
            lost = error
        if lost.ambiguous:
            with suppress(KeyturnError):
                now = self._apps.read(app)
                other = sent.shown(now.spec) != sent.shown(found.spec)
                if other and _alike(now.spec, spec, sent.component, sent.field):
                    return now
            self._unanswered[app] = sent
        raise lost

    def _settled(self, path: str, field: str, sent: _Sent, stored: App, guard: Guard) -> App:
        """Put back what someone else changed between our read and our write: the spec of the one deployment below ours.

        Of several, or in any doubt, nothing is sent, and they are noted, to be told.
        """
        app, _, component = path.partition("/")
        undone: tuple[str, ...] = ("the deployments could not be listed",)
        with suppress(KeyturnError, ValueError):
            listed = self._apps.deployments(app)
            above, below = sent.beside(listed, stored.spec)
            undone = tuple(f"deployment {one.id}" for one in below)
            if len(below) == 1 and above == 0 and sent.shown(below[0].spec) == sent.shown(sent.read):
                found = App(stored.id, stored.name, below[0].spec)
                ours = app_spec.variable(stored.spec, component, field)
                spec = app_spec.with_variable(found.spec, component, field, str(ours.value) if ours else None)
                again = _Sent(frozenset(one.id for one in listed), stored.spec, component, field, again=True)
                stored = self._apps.replace(app, found, spec, guard)
                _, below = again.beside(self._apps.deployments(app), stored.spec)
                undone = tuple(f"deployment {one.id}" for one in below)
        self._undone[app] = self._undone.get(app, ()) + undone
        return stored

    def _present(self, app: App, path: str, field: str, *, writing: bool = False) -> str:
        """Return the marker of a variable, empty if it is absent. Raises TargetMisfit if it cannot hold a secret.

        A component that is not there, or does not use the variable of the whole app, is an error only for `writing`.
        """
        component, where, spec = path.partition("/")[2], self._apps.where(path), app.spec
        try:
            found = app_spec.variable(spec, component, field)
            static = app_spec.is_static(spec, component)
        except app_spec.NotThere as missing:
            if not writing:
                return ""
            evidence = plain(str(missing), 200)
            remedy = "Add the component to the app, or change the path in the entry."
            what = f"the app has no component {component}"
            raise TargetMisfit(what, where=where, evidence=evidence, remedy=remedy) from None
        except ValueError as wrong:
            what = "this spec cannot be changed"
            raise TargetMisfit(what, where=where, evidence=str(wrong)) from None
        if static:
            raise TargetMisfit(
                f"the component {component} is a static site, which publishes what it is built with",
                where=where,
                remedy="Deliver to a component that runs.",
            )
        if found is not None and found.type != app_spec.SECRET:
            raise TargetMisfit(
                f"the variable {field} is not encrypted, so everyone who may see the app may read it",
                where=where,
                remedy="Encrypt it in the control panel, or give it `type: SECRET` in the spec.",
            )
        if found is not None and (
            found.scope == BUILD or (not component and found.scope != RUN and app_spec.static_sites(spec))
        ):
            raise TargetMisfit(
                f"the build uses the variable {field}, which would publish the secret or leave it without a use",
                where=where,
                remedy="Give it `scope: RUN_TIME` in the spec.",
            )
        if found is not None and not (found.value is None or found.value == "") and not _shown(spec, component, field):
            raise TargetMisfit(f"the variable {field} is not shown encrypted", where=where)
        if writing and found is None and component and app_spec.variable(spec, "", field) is not None:
            raise TargetMisfit(
                f"the whole app has a variable {field}, which this one would take the place of",
                where=where,
                remedy="Deliver to the app without a component, or use another name.",
            )
        if writing and (other := _overriding(spec, component, field)):
            raise TargetMisfit(
                f"the component {plain(other, 60)} has a variable {field} of its own, and does not use the app's",
                where=where,
                remedy="Remove that one, or deliver to each component instead of the app.",
            )
        return _marker(app.id, spec, component, field)


def _shown(spec: str, component: str, field: str) -> str:
    """Return the ciphertext that a spec shows as the value of a variable; empty if there is none."""
    with suppress(ValueError):
        found = app_spec.variable(spec, component, field)
        if found is not None and isinstance(found.value, str) and _SEALED.fullmatch(found.value):
            return found.value
    return ""


def _marker(app: str, spec: str, component: str, field: str) -> str:
    """Return the marker of a variable, empty if it is absent: no other place has it, also with a copied ciphertext."""
    shown = _shown(spec, component, field)
    return marker_of(f"{app}/{component}#{field} {shown}") if shown else ""


def _overriding(spec: str, component: str, field: str) -> str:
    """Return a component that uses a variable of its own instead of that of the whole app; empty if there is none."""
    with suppress(ValueError):
        return "" if component else app_spec.overriding(spec, field)
    return ""


def _alike(one: str, other: str, component: str, field: str) -> bool:
    """Tell whether two specs are the same but for the value of our variable; a component that is gone is a change."""
    with suppress(ValueError):
        return app_spec.alike(one, other, component, field)
    return False


def _same(one: str, other: str) -> bool:
    return bool(json.loads(one) == json.loads(other))


def _place(path: str, field: str) -> tuple[str, str]:
    """Return the app and the component of a delivery, the component empty for a variable of the whole app."""
    app, _, component = check_path(path).partition("/")
    if "/" in component:
        raise InputError(f"the path {path!r} is not allowed", evidence="it has the form APP or APP/COMPONENT")
    if _ID.fullmatch(app):
        raise InputError(
            f"the path {path!r} is not allowed",
            evidence="it begins with the id of an app, and one place has one name",
            remedy="Write the app's name.",
        )
    if not _KEY.fullmatch(field):
        raise InputError(
            "a delivery to App Platform needs a field" if not field else f"a variable cannot have the name {field!r}",
            where=path,
            evidence="the field is the name of a variable: letters, digits and _, and no digit at its start",
        )
    return app, component
