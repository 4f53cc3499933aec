"""Rotations of keys that are in App Platform, in GitHub and in an OpenBao at once, while a consumer of each calls.

The consumers are those of these stores: processes that the platform starts with the variables of a deployment, before
it is active; steps of workflows, which get the secret when they begin; and a reader of the vault.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from keyturn.core.record import Record
from tests.real.calls import VARIABLE
from tests.real.consumer import PATIENCE
from tests.real.environment import FIELD, PATIENT, Route, Servers, Site
from tests.real.run import Run
from tests.support.github import GitHub
from tests.support.process import bare_environment, start

CALLS = Path(__file__).with_name("calls.py")
DEPLOYMENT = 3.0
"""Seconds of a deployment. The platform starts the new processes in its last two fifths."""
STEP = 1.0
"""Seconds of a workflow's step."""
OVERLAP = 4.0
FAILS = 5
"""Of so many rounds, the deployments of one fail."""
TRIES = 30
"""How often `apply` is run until a round is at rest."""
LOOK = 0.02


class Calls:
    """What the processes of one consumer came to."""

    def __init__(self, url: str) -> None:
        """Nothing runs yet."""
        self.counts: Counter[str] = Counter()
        self._url = url

    def begin(self, variables: dict[str, str], seconds: float = 0.0) -> subprocess.Popen[str]:
        """Start a process with these variables."""
        args = [sys.executable, "-S", str(CALLS), self._url, str(seconds)]
        return subprocess.Popen(args, env=bare_environment(**variables), stdout=subprocess.PIPE, text=True)

    def end(self, process: subprocess.Popen[str], *, now: bool = True) -> None:
        """Stop a process, or wait until it ends, and count what it saw."""
        if now:
            process.terminate()
        told, _ = process.communicate(timeout=PATIENCE)
        self.counts += Counter(json.loads(told.splitlines()[-1]))


class Consumer(threading.Thread):
    """A thread that does one thing again and again until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.done = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Work, and keep what went wrong."""
        try:
            self.work()
        except BaseException as error:  # noqa: BLE001 - it is raised by `finish`
            self.failure = error

    def work(self) -> None:
        """Do it."""

    def finish(self) -> None:
        """End, and raise what went wrong."""
        self.done.set()
        self.join(PATIENCE)
        if self.failure:
            raise self.failure


class Platform(Consumer):
    """Runs one component: a process per deployment, the new one before the old one ends."""

    def __init__(self, site: AppSite, key: str) -> None:
        super().__init__()
        self.calls = Calls(site.sandbox.url)
        self.deployments = 0
        self._site, self._app = site, site.apps[key]

    def work(self) -> None:
        """Follow the deployments. One that fails never gets as far as a process that is in use."""
        sandbox = self._site.sandbox
        serving, variables = sandbox.running(self._app, "web")
        process = self._healthy(variables)
        try:
            while not self.done.wait(LOOK):
                last = sandbox.state.apps[self._app].deployments[-1]
                phase = last.step(sandbox.now)[0]
                if last.id == serving or last.end != "ACTIVE" or phase not in {"DEPLOYING", "ACTIVE"}:
                    continue
                fresh = self._healthy(sandbox.running(self._app, "web", last.id)[1])
                serving, process, before = last.id, fresh, process
                self.calls.end(before)
                self.deployments += 1
        finally:
            self.calls.end(process)

    def _healthy(self, variables: dict[str, str]) -> subprocess.Popen[str]:
        """Start a process, and wait until it is healthy: its first call was accepted."""
        process = self.calls.begin({VARIABLE: variables[FIELD]})
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        return process


class Workflows(Consumer):
    """Runs one workflow after the other: each step gets the secret, opened, when it begins."""

    def __init__(self, site: AppSite, key: str) -> None:
        super().__init__()
        self.calls = Calls(site.sandbox.url)
        self.runs = 0
        self._site, self._place = site, f"/repos/{site.repository(key)}/actions"

    def work(self) -> None:
        """Run until the end."""
        while not self.done.is_set():
            value = self._site.github.known[self._place, FIELD].value
            self.calls.end(self.calls.begin({VARIABLE: value}, STEP), now=False)
            self.runs += 1


class AppSite(Site):
    """A site whose keys are delivered to an app, a repository and the vault."""

    def __init__(self, shared: Servers, github: GitHub) -> None:
        super().__init__(shared, relayed=False)
        self.github = github
        self.apps: dict[str, str] = {}
        self.timing = PATIENT
        self._token = github.token()

    def deliver(self, key: str) -> None:
        """Put a key with two API keys into the manifest, delivered to all three."""
        spec = {"name": f"{self.id}-{key}", "services": [{"name": "web"}], "workers": [{"name": "other"}]}
        self.apps[key] = self.sandbox.make_app(spec).id
        places = [
            self.delivery(f"{spec['name']}/web", "apps"),
            self.delivery(self.repository(key), "github"),
            self.delivery(self.path(key)),
        ]
        self.existing(key, "alternating", overlap=f"{OVERLAP:g}s", deliver=places)

    def repository(self, key: str) -> str:
        """Return the repository of a key."""
        return f"{self.id}/{key}"

    def write(self, route: Route | None = None) -> Path:
        """Add the targets."""
        file = super().write(route)
        document = json.loads(file.read_text())
        document["targets"] |= {
            "apps": {"type": "app-platform"},
            "github": {"type": "github-secrets", "address": self.github.address},
        }
        file.write_text(json.dumps(document))
        return file

    def environment(self, route: Route | None = None, machine: str = "here") -> dict[str, str]:
        """Add the login to GitHub."""
        return super().environment(route, machine) | {
            "GITHUB_API_URL": self.github.address,
            "GH_TOKEN": self._token,
            "KEYTURN_ALLOWED_PLACES": "app-platform=*,github-secrets=*",
        }

    def redeploy(self, key: str) -> None:
        """Deploy an app again, as an operator does who has repaired it: the same spec once more."""
        app = self.apps[key]
        with httpx.Client(base_url=self.sandbox.url, trust_env=False, timeout=PATIENCE) as client:
            headers = {"Authorization": f"Bearer {self.sandbox.token}"}
            spec = client.get(f"/v2/apps/{app}", headers=headers).json()["app"]["spec"]
            assert client.put(f"/v2/apps/{app}", json={"spec": spec}, headers=headers).status_code == 200

    def secrets(self, key: str) -> dict[str, str]:
        """Return what each store holds for a key, opened."""
        state = self.sandbox.state
        spec: Any = state.apps[self.apps[key]].spec
        [variable] = spec["services"][0]["envs"]
        return {
            "app": state.sealed[variable["value"]],
            "github": self.github.known[f"/repos/{self.repository(key)}/actions", FIELD].value,
            "vault": self.held_at(self.path(key)) or "",
        }


@dataclass(slots=True)
class Rotated:
    """What the consumers saw during so many rotations."""

    rotations: int = 0
    failed_deployments: int = 0
    deployments: int = 0
    workflows: int = 0
    old_dead: int = 0
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def rotate_everywhere(shared: Servers, rotations: int, keys: int) -> Rotated:
    """Rotate so many times, some keys at once."""
    begun, found = time.monotonic(), Rotated()
    names = [f"k{number}" for number in range(keys)]
    with GitHub() as github, AppSite(shared, github) as site:
        for name in names:
            site.deliver(name)
        _at_rest(site, names, found, "the first deliveries")
        old: list[str] = []
        with _consuming(site, names, found):
            for number in range(-(-rotations // keys)):
                old += [site.secrets(name)["vault"] for name in names]
                _round(site, names, number, old[-keys:], found)
            time.sleep(2 * STEP)
        records = [record for name in names if (record := site.record(name))]
        found.rotations = sum(record.generation - 1 for record in records)
        found.old_dead = sum(not site.sandbox.accepts(secret) for secret in old)
        if found.old_dead != len(old):
            found.wrong.append(f"{len(old) - found.old_dead} old secrets live on")
        _noise(site, names, found)
    found.seconds = time.monotonic() - begun
    return found


def _round(site: AppSite, names: list[str], number: int, old: list[str], found: Rotated) -> None:
    """Rotate all keys; if their deployments fail, repair them; wait until all are at rest."""
    failing = number % FAILS == FAILS - 1
    site.sandbox.change(deployment=DEPLOYMENT, deployment_end="ERROR" if failing else "ACTIVE")
    where = f"round {number}"
    run = site.run("rotate", *names, "--yes")
    if failing:
        time.sleep(DEPLOYMENT + OVERLAP)  # past the overlap, the old secret still lives
        run = site.apply()
        told = run.out + run.err
        if not all(f"{site.id}-{name}" in told for name in names) or "ERROR" not in told or not run.code:
            found.wrong.append(f"{where}: the failed deployments are not told, exit {run.code}: {told}")
        found.wrong += [f"{where}: an old secret died" for secret in old if not site.sandbox.accepts(secret)]
        found.failed_deployments += len(names)
        site.sandbox.change(deployment_end="ACTIVE")
        for name in names:
            site.redeploy(name)
    elif run.code:
        found.wrong.append(f"{where}: rotate ends with {run.code}: {run.out} {run.err}")
    _at_rest(site, names, found, where)
    for name in names:
        held = site.secrets(name)
        if len(set(held.values())) != 1 or not site.sandbox.accepts(held["vault"]) or held["vault"] in old:
            found.wrong.append(f"{where}: {name} is not the same new secret everywhere")


def _at_rest(site: AppSite, names: list[str], found: Rotated, where: str) -> None:
    """Apply until no old secret waits any more."""
    run: Run | None = None
    records: list[Record] = []
    for _ in range(TRIES):
        run = site.apply()
        records = [record for name in names if (record := site.record(name))]
        if run.code == 0 and len(records) == len(names) and not any(one.retire or one.intent for one in records):
            return
        time.sleep(0.5)
    assert run is not None
    found.wrong.append(f"{where}: not at rest, exit {run.code}: {run.out} {run.err}")


def _noise(site: AppSite, names: list[str], found: Rotated) -> None:
    """Apply once more: at rest not one spec and not one secret is sent."""
    before = [len(site.sandbox.state.apps[site.apps[name]].deployments) for name in names], len(_written(site))
    site.apply()
    after = [len(site.sandbox.state.apps[site.apps[name]].deployments) for name in names], len(_written(site))
    if before != after:
        found.wrong.append("an apply at rest wrote")


def _written(site: AppSite) -> list[str]:
    return [one.path for one in site.github.asked if one.verb != "GET"]


@contextmanager
def _consuming(site: AppSite, names: list[str], found: Rotated) -> Iterator[None]:
    """Run the consumers of each key; what they saw is in `found` once the block has ended."""
    platforms = [Platform(site, name) for name in names]
    workflows = [Workflows(site, name) for name in names]
    order = {
        "api": site.sandbox.url,
        "keys": {name: asdict(site.store.reading(site.path(name), site.store.deliveries)) for name in names},
    }
    args, root = [sys.executable, "-m", "tests.real.consumer"], Path(__file__).parents[2]
    with ExitStack() as stack:
        reader = stack.enter_context(start(args, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        assert reader.stdin
        assert reader.stdout
        reader.stdin.write(json.dumps(order) + "\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "ready\n"
        for one in (*platforms, *workflows):
            one.start()
        try:
            yield
        finally:
            for one in (*platforms, *workflows):
                one.finish()
        told, _ = reader.communicate(timeout=2 * PATIENCE)
    read: Counter[str] = Counter()
    for seen in json.loads(told).values():
        read += Counter(refused=seen["refused"], other=seen["other"])
        read["accepted"] += seen["calls"] - seen["refused"] - seen["other"]
    found.calls = {
        "App Platform": sum((one.calls.counts for one in platforms), Counter()),
        "GitHub": sum((one.calls.counts for one in workflows), Counter()),
        "OpenBao": read,
    }
    found.deployments = sum(one.deployments for one in platforms)
    found.workflows = sum(one.runs for one in workflows)
