"""The two resources: what the engine's calls mean for each. All props are in snake_case.

The modules that do the work are imported only when needed: for a stack at rest, inputs are only compared.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from keyturn_provider import inputs, messages, session, state
from keyturn_provider.inputs import Props
from keyturn_provider.plugin import words
from keyturn_provider.plugin.settings import Settings
from keyturn_provider.plugin.words import Place
from keyturn_provider.state import Cause

Outputs = dict[str, object]
FROM_DYNAMIC = "it was a dynamic resource; this provider takes its record over, and its secret stays"


class Read(NamedTuple):
    """What a read found: the id (empty if the resource is gone), its outputs, and inputs if it was not known before."""

    id: str
    outputs: Outputs
    inputs: Outputs | None = None


class Resource(Protocol):
    """The operations on one type of resource. They raise KeyturnError, KeyturnFailed or keys.NotAtRest."""

    def check(self, place: Place, olds: Props, news: Props, settings: Settings) -> tuple[Outputs, list[str]]:
        """Return the inputs with defaults, and all mistakes in them."""

    def diff(self, place: Place, olds: Props, news: Props) -> Cause:
        """Return why an update is due."""

    def create(self, place: Place, news: Props, *, preview: bool) -> tuple[str, Outputs]:
        """Return the id and the outputs of a new resource, or what a preview knows of them."""

    def update(self, place: Place, olds: Props, news: Props, *, preview: bool) -> Outputs:
        """Return the outputs of a changed resource, or what a preview knows of them."""

    def read(self, place: Place, name: str, olds: Props, settings: Settings, *, importing: bool) -> Read:
        """Return what a resource is like now. `olds` are at most its places if it is imported or only looked up."""

    def delete(self, olds: Props) -> None:
        """Delete a resource."""


class Key:
    """ModelAccessKey."""

    def __init__(self) -> None:
        """Start without imports."""
        self._imported: set[Place] = set()

    def check(self, place: Place, olds: Props, news: Props, settings: Settings) -> tuple[Outputs, list[str]]:
        """Check the inputs, offline; unknown ones are accepted."""
        whole = settings.complete(news)
        checked = {**whole, "key": whole.get("key") or olds.get("key") or place.identity}
        if place in self._imported:  # the engine asks for what the import found; the program has the rest
            self._imported.remove(place)
            return checked, []
        owned = {**checked, "owner": place.owner}
        found = [*inputs.new_failures(olds, owned, session.environment()), *session.uniqueness.declare(owned)]
        return checked, [*_strangers(news, inputs.KEY), *found]

    def diff(self, place: Place, olds: Props, news: Props) -> Cause:
        """Tell whether an update is due, from inputs, outputs and the clock. It is never a replacement."""
        cause = state.key_update(olds, {**news, "owner": place.owner}, datetime.now(UTC), session.environment())
        if cause.why != state.changed(cause.names):
            return cause
        names = [name for name in cause.names if name not in inputs.ORIGIN]
        spelled = [words.camel(name) for name in names]
        if len(names) == len(cause.names):
            return Cause(state.changed(spelled), names)
        moves = f"its owner becomes {place.owner}" if olds.get("owner") else FROM_DYNAMIC
        return Cause("; ".join((moves, *spelled)), [*names, "owner"])

    def create(self, place: Place, news: Props, *, preview: bool) -> tuple[str, Outputs]:
        """Apply a new key until it is at rest."""
        from keyturn_provider import keys
        from keyturn_provider.plugin import preview as shown

        props = {**news, "owner": place.owner}
        if preview:
            return "", shown.outputs({}, props, shown.explain({}, props))
        return str(props["key"]), keys.create(props)

    def update(self, place: Place, olds: Props, news: Props, *, preview: bool) -> Outputs:
        """Apply a key again until it is at rest. One that was only imported is taken over."""
        from keyturn_provider import keys
        from keyturn_provider.plugin import imports
        from keyturn_provider.plugin import preview as shown

        props = {**news, "owner": place.owner}
        first = imports.only_imported(olds)
        before, wanted = ({}, imports.adopting(olds, props)) if first else (olds, props)
        if preview:
            return {**shown.outputs(before, wanted, shown.explain(before, wanted)), **_same(props, "adopt")}
        outputs = keys.create(wanted) if first else keys.update(before, wanted)
        return {**outputs, **_same(props, "adopt")}

    def read(self, place: Place, name: str, olds: Props, settings: Settings, *, importing: bool) -> Read:
        """Compare a key with its record, without changes; or find one that the state does not have."""
        from keyturn_provider import reads
        from keyturn_provider.plugin import imports

        if set(olds) <= set(imports.PLACES):
            self._imported |= {place} if importing else set()
            owner = {"owner": place.owner} if importing else {}
            return Read(*imports.found(name, {**settings.complete(olds, imports.PLACES), **owner}, place.identity))
        if imports.only_imported(olds):
            return Read(name, dict(olds))
        found = reads.read(name, olds)
        if found is None:
            messages.warn(f"{name}: its API keys are gone from the account, so it leaves the state")
        return Read(name, found) if found is not None else Read("", {})

    def delete(self, olds: Props) -> None:
        """Clean the deliveries and delete the API keys, or only release them."""
        from keyturn_provider import keys
        from keyturn_provider.plugin import imports

        if imports.only_imported(olds):
            imports.warn_released(olds.get("key") or olds.get("name"))
        else:
            keys.delete(olds)


class SmokeCheck:
    """SmokeCheck."""

    def check(self, place: Place, olds: Props, news: Props, settings: Settings) -> tuple[Outputs, list[str]]:
        """Check the inputs, offline; unknown ones are accepted."""
        checked = settings.complete(news, ("targets", "timing", "smoke"))
        found = inputs.check_failures(checked, session.environment())
        return checked, [*_strangers(news, inputs.SMOKE_CHECK), *found]

    def diff(self, place: Place, olds: Props, news: Props) -> Cause:
        """Tell whether the inputs changed, or `every` has passed."""
        cause = state.smoke_check_update(olds, news, datetime.now(UTC))
        return Cause() if cause.why == state.PROVIDER else cause

    def create(self, place: Place, news: Props, *, preview: bool) -> tuple[str, Outputs]:
        """Run the check."""
        from keyturn_provider import smoke_check

        return place.identity, self._unknown(news) if preview else smoke_check.outputs(news)

    def update(self, place: Place, olds: Props, news: Props, *, preview: bool) -> Outputs:
        """Run the check again."""
        from keyturn_provider import smoke_check

        return self._unknown(news) if preview else smoke_check.outputs(news)

    def read(self, place: Place, name: str, olds: Props, settings: Settings, *, importing: bool) -> Read:
        """Return the outputs as they are: a check is run by an up only."""
        if not olds:
            raise messages.KeyturnFailed(f"{name}: a SmokeCheck is declared, never imported or looked up.")
        return Read(name, dict(olds))

    def delete(self, olds: Props) -> None:
        """Nothing was made, so nothing is deleted."""

    def _unknown(self, news: Props) -> Outputs:
        from pulumi.output import UNKNOWN

        outputs = dict.fromkeys(("verdict", "checked_at", "next_check_at"), UNKNOWN)
        return {**inputs.given(news, inputs.SMOKE_CHECK), **outputs}


RESOURCES: dict[str, Resource] = {words.KEY: Key(), words.SMOKE_CHECK: SmokeCheck()}
"""The resources by their type."""


def _strangers(news: Props, known: tuple[str, ...]) -> list[str]:
    """Return a mistake for each input that there is not."""
    names = ", ".join(words.camel(name) for name in known)
    return [f"unknown input {words.camel(name)}; known: {names}" for name in sorted(set(news) - set(known))]


def _same(props: Props, name: str) -> dict[str, object]:
    """Return an input as the program gives it."""
    return {name: props.get(name)}
