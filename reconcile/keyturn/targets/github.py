"""GitHub: secrets of repositories, environments and organizations.

A delivery is one secret. It cannot be read back: GitHub shows only when it was written, to the second, and that is its
marker. Each value is sealed for the public key of its place. PyNaCl is imported at the first write.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from keyturn.core.errors import Conflict, InputError, TargetError, TargetMisfit, TargetUnavailable
from keyturn.core.origins import check_transport, parse_origin
from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret
from keyturn.targets.base import (
    Capabilities,
    Guard,
    NoConsent,
    TargetContext,
    TargetSettings,
    Value,
    WithoutDocuments,
    WithoutReading,
    check_origins,
    parse_settings,
)
from keyturn.targets.github_login import AppLogin, AuthSettings, Login, TokenLogin
from keyturn.targets.github_places import Family, Place, place_of
from keyturn.targets.github_secrets import HEADERS, Found, GitHubSecrets, limit
from keyturn.targets.permitted_places import check_permitted, place_mistakes
from keyturn.targets.places import Items, flat
from keyturn.targets.rest import Rest, client_of

PUBLIC = "https://api.github.com"
API = "GITHUB_API_URL"
"""The variable that permits another API."""
LAG = 1.0
"""Seconds after the answer to a write at which its marker may lie: the clocks of GitHub's servers differ."""
LOOKS = 5
"""How often the marker is read after a write, once per second, until it has changed."""


class GitHubSettings(TargetSettings):
    """Settings of GitHub's secrets."""

    address: str = Field(
        default=PUBLIC, description="URL of the API. It has to be GITHUB_API_URL; without that, GitHub itself."
    )
    family: Literal["actions", "dependabot", "codespaces", "agents"] = Field(
        default="actions", description="For whom the secrets are."
    )
    visibility: Literal["private", "all", "selected"] = Field(
        default="private",
        description="Which repositories may use a secret of an organization that keyturn creates. If it is there, this "
        "is kept as it is.",
    )
    auth: AuthSettings = Field(default=AuthSettings(), description="How to log in.")

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        return self.address.rstrip("/")

    def delivery_mistakes(self, path: str, field: str, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake for what cannot be a secret of GitHub, and for a place that is not permitted."""
        try:
            place_of(path, field, Family(self.family))
        except InputError as error:
            error.where = "field" if error.where else "path"
            yield error
        yield from place_mistakes(GitHubTarget.kind, path, environment)

    def place(self, base: Path) -> Items:
        """Return all settings, with the address in its normal form."""
        del base
        return flat(self.model_dump(mode="json") | {"address": self.url})

    def store(self, base: Path) -> Items:
        """Return the address and the family: the same name may be there in each."""
        del base
        return (("address", self.url), ("family", self.family))


class GitHubTarget(WithoutReading, WithoutDocuments):
    """The secrets of one family."""

    kind: ClassVar[str] = "github-secrets"
    capabilities: ClassVar[Capabilities] = Capabilities(
        compare_and_set=False, versions=False, documents=False, whole_value=False, reads=False, marks=True
    )
    settings_model: ClassVar[type[BaseModel]] = GitHubSettings

    @classmethod
    def origin_mistakes(cls, settings: GitHubSettings, environment: Mapping[str, str]) -> Iterable[InputError]:
        """Yield a mistake unless the address is that of the environment, or GitHub's own if it names none.

        The token is one of that API: a manifest does not choose where it goes.
        """
        permitted = environment.get(API, "").strip().rstrip("/")
        if settings.url != (permitted or PUBLIC):
            yield NoConsent(
                f"no credential may be sent to {plain(settings.url, 200)}",
                where="address",
                evidence=f"{API} is {plain(permitted, 200)}" if permitted else f"{API} is not set",
                remedy=f"If it is right, set {API} to it.",
            )
            return
        try:
            check_transport(parse_origin(settings.url))
        except InputError as error:
            error.where = "address"
            yield error

    def __init__(self, context: TargetContext) -> None:
        """Check the settings and the origin."""
        settings = parse_settings(GitHubSettings, context)
        check_origins(self.origin_mistakes(settings, context.environment), context)
        app = settings.auth.method == "app"
        for library in ("nacl", "cryptography") if app else ("nacl",):  # not imported until it is used
            if find_spec(library) is None:
                raise ModuleNotFoundError(f"{library} is missing", name=library)
        rest = Rest(client_of(settings.url, context.environment, context.request, HEADERS), limit)
        self._environment, self._where = context.environment, f"target {context.name}"
        login: Login = AppLogin(rest, context.environment, self._where) if app else TokenLogin(context.environment)
        self._secrets = GitHubSecrets(rest, login, context.name)
        self._settings = settings
        self._patience = context.request

    def read(self, path: str, field: str) -> Value:
        """Return the marker of a secret; none if it is not there, or if the login may not see the place."""
        return Value(None, self._secrets.read(self._place(path, field), field).marker)

    def write_marked(self, path: str, field: str, secret: Secret, marker: str, guard: Guard) -> str:
        """Write a secret in a later second than the value that is there, so that its marker is another one."""
        place = self._place(path, field)
        key = self._secrets.public_key(place)
        found = self._expected(place, field, marker)
        if found.until_next() > 0:
            self._pass_by(place, field, found)
            found = self._expected(place, field, marker)
        sharing = {} if place.repository else self._sharing(place, field, found)
        written = self._secrets.write(place, field, secret, key, sharing, guard)
        if written is None and (other := self._secrets.public_key(place)) != key:
            written = self._secrets.write(place, field, secret, other, sharing, guard)
        if written is None:
            raise self._refused(place, field)
        return self._marker_after(place, field, marker, written)

    def remove_marked(self, path: str, field: str, marker: str, guard: Guard) -> None:
        """Delete the secret if it still has `marker`."""
        place = self._place(path, field)
        found = self._secrets.read(place, field)
        if found.marker:
            self._compare(place, field, found, marker)
            self._secrets.delete(place, field, guard)

    def preflight(self, path: str, field: str) -> None:
        """Read the public key and the metadata, and try a write that GitHub has to refuse."""
        place = self._place(path, field)
        self._secrets.public_key(place)
        self._secrets.read(place, field)
        self._secrets.try_write(place)

    def close(self) -> None:
        """Close the connections."""
        self._secrets.close()

    def _place(self, path: str, field: str) -> Place:
        check_permitted(self.kind, path, self._where, self._environment)
        return place_of(path, field, Family(self._settings.family))

    def _expected(self, place: Place, name: str, marker: str) -> Found:
        found = self._secrets.read(place, name)
        self._compare(place, name, found, marker)
        return found

    def _compare(self, place: Place, name: str, found: Found, marker: str) -> None:
        if found.marker != marker:
            raise Conflict(
                f"the secret {name} was modified concurrently",
                where=self._secrets.where(place),
                evidence=f"it was written at {found.updated_at}" if found.marker else "it is absent",
            )

    def _pass_by(self, place: Place, name: str, found: Found) -> None:
        """Wait until GitHub's clock is past the second of the last write."""
        left = found.until_next()
        if left > self._patience:
            raise TargetUnavailable(
                f"the secret {name} was written later than GitHub's own clock says",
                where=self._secrets.where(place),
                evidence=f"at {found.updated_at}, {left:.0f} s from now",
            )
        time.sleep(max(0.0, left))

    def _sharing(self, place: Place, name: str, found: Found) -> dict[str, object]:
        """Return who may use a secret of an organization: a write has to say it each time."""
        visibility = found.visibility or self._settings.visibility
        if visibility != "selected":
            return {"visibility": visibility}
        chosen = self._secrets.selected(place, name) if found.visibility else []
        return {"visibility": visibility, "selected_repository_ids": chosen}

    def _marker_after(self, place: Place, name: str, before: str, moment: float) -> str:
        """Read the marker of our own write. One that is much later than its answer is another writer's."""
        for number in range(LOOKS):
            if number:
                time.sleep(1)
            try:
                found = self._secrets.read(place, name)
            except TargetError as error:
                error.ambiguous = True
                raise
            if not moment or (found.marker and found.updated > moment + LAG):
                break
            if found.marker not in {"", before}:
                return found.marker
        raise TargetUnavailable(
            f"the secret {name} was written, but what GitHub shows is not this write",
            where=self._secrets.where(place),
            ambiguous=True,
        )

    def _refused(self, place: Place, name: str) -> TargetMisfit:
        return TargetMisfit(
            f"GitHub refuses the value of the secret {name}",
            where=self._secrets.where(place),
            evidence="status 422",
            remedy="Check that secrets are enabled there, and that a repository or organization has room for one more.",
        )
