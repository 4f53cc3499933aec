"""PURE: where secrets are in the API of GitHub ("REST API endpoints for … secrets" in its documentation)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from keyturn.core.errors import InputError
from keyturn.targets.base import check_path

_FIELD = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
"""Names of secrets. GitHub ignores their case, so only one spelling is allowed here."""


class Family(StrEnum):
    """For whom the secrets are."""

    ACTIONS = "actions"
    DEPENDABOT = "dependabot"
    CODESPACES = "codespaces"
    AGENTS = "agents"


REPOSITORY: Mapping[Family, str] = {
    Family.ACTIONS: "secrets",
    Family.DEPENDABOT: "dependabot_secrets",
    Family.CODESPACES: "codespaces_secrets",
    Family.AGENTS: "agent_secrets",
}
"""The permission for secrets of a repository, as a GitHub App has it."""
ORGANIZATION: Mapping[Family, str] = {
    Family.ACTIONS: "organization_secrets",
    Family.DEPENDABOT: "organization_dependabot_secrets",
    Family.CODESPACES: "organization_codespaces_secrets",
    Family.AGENTS: "organization_agent_secrets",
}
"""The same of an organization."""
ENVIRONMENTS = "environments"
"""The permission for secrets of an environment."""
REQUESTED = frozenset({"secrets", "dependabot_secrets", "organization_secrets", ENVIRONMENTS})
"""Those that GitHub's API description names for the token of an app (`app-permissions`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository, an environment of one, or an organization, by what it is called in a path."""

    family: Family
    owner: str
    repository: str = ""
    environment: str = ""

    def __str__(self) -> str:
        """Show in words."""
        if self.environment:
            return f"environment {self.environment} of {self.owner}/{self.repository}"
        return f"repository {self.owner}/{self.repository}" if self.repository else f"organization {self.owner}"

    @property
    def url(self) -> str:
        """The path of its secrets in the API."""
        if self.environment:
            return f"/repos/{self.owner}/{self.repository}/environments/{self.environment}/secrets"
        holder = f"/repos/{self.owner}/{self.repository}" if self.repository else f"/orgs/{self.owner}"
        return f"{holder}/{self.family}/secrets"

    @property
    def installation(self) -> str:
        """The path of the installation of a GitHub App that reaches it."""
        holder = f"/repos/{self.owner}/{self.repository}" if self.repository else f"/orgs/{self.owner}"
        return f"{holder}/installation"

    @property
    def permission(self) -> str:
        """The permission that its secrets need, with `write`."""
        if self.environment:
            return ENVIRONMENTS
        return (REPOSITORY if self.repository else ORGANIZATION)[self.family]


def place_of(path: str, field: str, family: Family) -> Place:
    """Return the place of a delivery: `OWNER/REPOSITORY`, `OWNER/REPOSITORY/ENVIRONMENT` or `ORGANIZATION`.

    Raises:
        InputError: another form, an environment of another family than `actions`, or no name of a secret.
    """
    parts = check_path(path).split("/")
    if len(parts) > 3 or (len(parts) == 3 and family is not Family.ACTIONS):  # noqa: PLR2004 - the longest form
        raise InputError(
            f"the path {path!r} is not allowed",
            evidence="it has the form OWNER/REPOSITORY, ORGANIZATION or, for actions, OWNER/REPOSITORY/ENVIRONMENT",
        )
    if path != path.lower():
        raise InputError(
            f"the path {path!r} is not allowed",
            evidence="GitHub ignores the case of owners, repositories and environments: only one spelling is allowed",
            remedy="Write all in lower case.",
        )
    if not _FIELD.fullmatch(field):
        raise InputError(
            "a delivery to GitHub needs a field" if not field else f"a secret cannot have the name {field!r}",
            where=path,
            evidence="the field is the name of a secret: A-Z 0-9 _, no digit at its start, and not GITHUB_…",
        )
    return Place(family, *parts)
