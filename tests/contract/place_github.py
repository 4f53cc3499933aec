"""A place for the contract suite: secrets of repositories, behind a small server that opens what it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import uuid4

from keyturn.targets.base import TargetContext
from keyturn.targets.github import GitHubTarget
from tests.contract.places import Servers
from tests.support.github import GitHub

FIELD = "MODEL_ACCESS_KEY"


PERMITTED = {"KEYTURN_ALLOWED_PLACES": "github-secrets=*"}


class GitHubPlace:
    """One repository per path."""

    def __init__(self, github: GitHub) -> None:
        """Make a token."""
        self.github = github
        self.token = github.token()
        self._targets: list[GitHubTarget] = []

    def target(
        self, token: str = "", *, request: float = 10, environment: Mapping[str, str] = {}, **settings: object
    ) -> GitHubTarget:
        """Return a new target."""
        variables = {"GITHUB_API_URL": self.github.address, "GH_TOKEN": token or self.token, **PERMITTED, **environment}
        chosen = {"address": variables["GITHUB_API_URL"], **settings}
        made = GitHubTarget(TargetContext("github", chosen, variables, request))
        self._targets.append(made)
        return made

    def reader(self) -> GitHubTarget:
        """Return a target with a token that may only read."""
        return self.target(self.github.token("read"))

    def path(self) -> str:
        """Return a new repository."""
        return f"acme/r{uuid4().hex}"

    def put(self, path: str, field: str, value: str) -> None:
        """Write a secret as someone else does, in a later second than what is there."""
        place = f"/repos/{path}/actions"
        there = self.github.known.get((place, field))
        if there is not None and int(self.github.now) <= there.updated_at:
            self.github.ahead += 1
        self.github.put(place, field, value)

    def held(self, path: str, field: str = FIELD) -> str | None:
        """Return what a step of a workflow gets."""
        found = self.github.known.get((f"/repos/{path}/actions", field))
        return found.value if found else None

    def lose_an_answer(self) -> None:
        """Let the next secret be stored, and its answer be lost."""
        self.github.trouble("PUT", 0)

    def close(self) -> None:
        """Close the targets."""
        for target in self._targets:
            target.close()


@contextmanager
def deliveries(servers: Servers) -> Iterator[GitHubPlace]:
    """Open a place for deliveries."""
    del servers  # it starts in a moment, so each test has its own
    with GitHub() as github:
        place = GitHubPlace(github)
        yield place
        place.close()
