"""A place for the contract suite: apps of the sandbox, with the smallest token that docs/targets.md names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from keyturn.sandbox import App, Sandbox
from keyturn.targets.app_platform import AppPlatformTarget
from keyturn.targets.base import TargetContext
from tests.contract.places import Servers

FIELD = "MODEL_ACCESS_KEY"
SCOPES = frozenset({"app:read", "app:update"})
Json = dict[str, Any]


def spec(name: str) -> Json:
    """Return a spec with all kinds of parts, also ones that nobody knows."""
    return {
        "name": name,
        "region": "ams",
        "not-known": {"of": ["any", 1.5, None, True]},
        "envs": [{"key": "SHARED", "type": "SECRET", "value": "app-level"}, {"key": "MODE", "value": "test"}],
        "services": [
            {"name": "api", "envs": [{"key": FIELD, "type": "SECRET", "value": "api's own"}]},
            {"name": "web", "instance_count": 2, "envs": [{"key": "OTHER", "type": "SECRET", "value": "kept"}]},
        ],
        "workers": [{"name": "mailer"}],
        "static_sites": [{"name": "site"}],
    }


class AppPlatformPlace:
    """One app per path: the component `web` of it."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Make a token with the scopes of the page."""
        self.sandbox = sandbox
        self.token = sandbox.add_token(scopes=SCOPES).value
        self._targets: list[AppPlatformTarget] = []

    def target(self, token: str = "", *, request: float = 10, permitted: str = "app-platform=*") -> AppPlatformTarget:
        """Return a new target."""
        environment = {
            "KEYTURN_API_URL": self.sandbox.url,
            "DIGITALOCEAN_TOKEN": token or self.token,
            "KEYTURN_ALLOWED_PLACES": permitted,
        }
        made = AppPlatformTarget(TargetContext("apps", {}, environment, request))
        self._targets.append(made)
        return made

    def reader(self) -> AppPlatformTarget:
        """Return a target with a token that may read apps."""
        return self.target(self.sandbox.add_token(scopes={"app:read"}).value)

    def path(self) -> str:
        """Return the component of a new app."""
        return f"{self.sandbox.make_app(spec(f'a{uuid4().hex[:20]}')).name}/web"

    def app(self, path: str) -> App:
        """Return the app of a path."""
        return next(app for app in self.sandbox.state.apps.values() if app.name == path.partition("/")[0])

    def put(self, path: str, field: str, value: str) -> None:
        """Set a variable as someone else does, through the API."""
        app = self.app(path)
        changed = json.loads(json.dumps(app.spec))
        web = next(one for one in changed["services"] if one["name"] == "web")
        web["envs"] = [one for one in web["envs"] if one["key"] != field]
        web["envs"].append({"key": field, "scope": "RUN_TIME", "type": "SECRET", "value": value})
        self.send(app.id, changed)

    def send(self, app: str, changed: Json) -> None:
        """Send a spec as someone else does."""
        with httpx.Client(base_url=self.sandbox.url, trust_env=False) as client:
            headers = {"Authorization": f"Bearer {self.sandbox.token}"}
            assert client.put(f"/v2/apps/{app}", json={"spec": changed}, headers=headers).status_code == 200

    def held(self, path: str, field: str = FIELD) -> str | None:
        """Return a variable of the spec, opened."""
        web = next(one for one in self.spec(path)["services"] if one["name"] == "web")
        found = next((one["value"] for one in web["envs"] if one["key"] == field), None)
        return None if found is None else self.sandbox.state.sealed[found]

    def used(self, path: str) -> str | None:
        """Return the variable that the component runs with."""
        return self.sandbox.running(self.app(path).id, "web")[1].get(FIELD)

    def spec(self, path: str) -> Json:
        """Return a copy of the spec, as the API shows it."""
        found: Json = json.loads(json.dumps(self.app(path).spec))
        return found

    def roll_out(self, path: str, field: str, *, well: bool) -> None:
        """End the deployment; where it has ended, deploy the same spec again before."""
        app = self.app(path)
        if app.deployments[-1].ends_at <= self.sandbox.now:
            self.send(app.id, self.spec(path))
        self.sandbox.end_deployment(app.id, "ACTIVE" if well else "ERROR")

    def writes(self, path: str) -> int:
        """Return how many deployments were started."""
        return len(self.app(path).deployments)

    def count(self, op: str) -> int:
        """Return how many requests of an operation were sent."""
        return sum(seen.op == op for seen in self.sandbox.requests)

    def lose_an_answer(self) -> None:
        """Let the next spec be stored, and its answer be lost."""
        self.sandbox.arm("update-app", "lost-response")

    def close(self) -> None:
        """Close the targets."""
        for target in self._targets:
            target.close()


@contextmanager
def deliveries(servers: Servers) -> Iterator[AppPlatformPlace]:
    """Open a place for deliveries."""
    del servers  # it starts in a moment, so each test has its own
    with Sandbox(seed=1, minute_limit=10_000, deployment=3600) as sandbox:
        place = AppPlatformPlace(sandbox)
        yield place
        place.close()
