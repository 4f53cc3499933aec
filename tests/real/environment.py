"""One manifest with its servers, its folder and its command line; and what is true of it, seen from outside."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from keyturn.core.record import Record, parse_record
from keyturn.core.results import Options, RunReport
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.live.live_world import open_world
from keyturn.manifest import load_all
from keyturn.sandbox import Sandbox
from keyturn.sandbox.state import Key
from tests.cluster.control_plane import Cluster, program
from tests.real.relay import Gate, Hold, Relay
from tests.real.run import SECONDS, ForkServer, Run
from tests.real.stores import RECORDS, KubernetesStore, Store, VaultStore, Version
from tests.support.openbao import OpenBao
from tests.support.process import bare_environment

Case = TypeVar("Case")
Json = dict[str, Any]
MODEL = "llama3.3-70b-instruct"
FIELD = "MODEL_ACCESS_KEY"
TIMING = {"settle": "3s", "request": "3s", "lease": "8s", "propagation": "1s", "delivery": "6s"}
SETTLE, LEASE = 3.0, 8.0
PATIENT = {"propagation": "1s"}
"""The real bounds, where nothing is lost that would have to be waited out, or a request is held for longer."""
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Servers:
    """What all sites share. With a cluster sites deliver to it; with `apart` their records stay in the OpenBao."""

    sandbox: Sandbox
    bao: OpenBao
    fork_server: ForkServer
    folder: Path
    cluster: Cluster | None = None
    apart: bool = False


@contextmanager
def servers(*, kubernetes: bool = False) -> Iterator[Servers]:
    """Start a sandbox, an OpenBao on disk, a fork server and, if it is wanted, a Kubernetes API server.

    Raises NoGo or RuntimeError if that cannot be built.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-real-")))
        sandbox = stack.enter_context(Sandbox(create="allowed", seed=1, hour_limit=10**9, minute_limit=10**9))
        for name in ("bao", "cluster"):
            (folder / name).mkdir()
        bao = stack.enter_context(OpenBao(folder / "bao", dev=False))
        bao.call("POST", "secret/config", {"max_versions": 10_000})  # the whole history is looked at
        cluster = stack.enter_context(Cluster(program(), folder / "cluster")) if kubernetes else None
        yield Servers(sandbox, bao, stack.enter_context(ForkServer(folder)), folder, cluster)


@dataclass(frozen=True, slots=True)
class Route:
    """The URLs at which runs reach the API, the store of deliveries and that of records."""

    api: str
    store: str
    notes: str


class Site:
    """A manifest of its own, with names that nobody else uses: sites share servers and never meet.

    What the command line sends passes `gate`.
    """

    def __init__(self, shared: Servers, *, relayed: bool = True, store: Store | None = None) -> None:
        """Make a site without keys. `store` is one that is there already."""
        self.shared, self.sandbox, self.bao = shared, shared.sandbox, shared.bao
        self.id = f"s{next(_numbers)}"
        self.folder = shared.folder / self.id
        self.folder.mkdir()
        self.gate = Gate()
        self.prefix = f"{RECORDS}{self.id}"
        vault = VaultStore(self.bao, self.id)
        self.store: Store = store or (KubernetesStore(shared.cluster) if shared.cluster else vault)
        self.notes: Store = vault if shared.apart else self.store
        self.keys: dict[str, Json] = {}
        self.timing: Mapping[str, str] = TIMING
        self._stack = ExitStack()
        self._relayed = relayed
        self.runs: list[Run] = []
        self._count = itertools.count(1)
        self._past: dict[str, str] = {}
        self.direct = Route(self.sandbox.url, self.store.address, self.notes.address)
        self.route = self.direct

    def __enter__(self) -> Self:
        if self._relayed:
            self.route = self.relay(self.gate)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.open()
        for run in self.runs:
            run.signal(signal.SIGCONT)
            run.kill()
        self._stack.close()

    def relay(self, gate: Gate) -> Route:
        """Start relays before all servers that pass through `gate`; return the way through them."""
        stores = (self.store,) if self.notes is self.store else (self.store, self.notes)
        made = (Relay(self.sandbox.url, gate), *(store.relay(gate) for store in stores))
        urls = [self.enter(relay).url for relay in made]
        return Route(urls[0], urls[1], urls[-1])

    def enter(self, relay: Relay) -> Relay:
        """Start a relay, for as long as the site lasts."""
        return self._stack.enter_context(relay)

    # The manifest.
    def name(self, key: str) -> str:
        """Return the plain name of a key in the account."""
        return f"{self.id}-{key}"

    def path(self, key: str) -> str:
        """Return where a key is delivered."""
        return self.store.path(key)

    def delivery(self, path: str, target: str = "") -> Json:
        """Return a delivery to a path of a target; without a name, of the target for deliveries."""
        return {"target": target or self.store.deliveries, "path": path, "field": FIELD}

    def add(self, key: str, strategy: str = "in-place", *, overlap: str = "1h", **entry: object) -> None:
        """Put a key into the manifest; `entry` are further fields of it."""
        self.keys[key] = {
            "name": self.name(key),
            "adopt": {"secret": "regenerate"},
            "deliver": [self.delivery(self.path(key))],
            "rotation": {"strategy": strategy, "overlap": overlap},
            "smoke": {"model": MODEL},
            **entry,
        }

    def existing(self, key: str, strategy: str = "in-place", **entry: object) -> None:
        """Put a key into the manifest whose API keys an operator has made already."""
        ends = ("-a", "-b") if strategy == "alternating" else ("",)
        for end in ends:
            self.sandbox.panel_create(self.name(key) + end)
        self.add(key, strategy, **entry)  # type: ignore[arg-type]

    def write(self, route: Route | None = None) -> Path:
        """Write the manifest for a route (None: through the gate) and return its file."""
        route = route or self.route
        used = {place["target"] for entry in self.keys.values() for place in entry["deliver"]}
        targets = {name: target for name, target in self.store.targets(route.store).items() if name in used}
        notes = self.notes.records
        document = {
            "apiVersion": "keyturn/v1",
            "name": self.id,
            "targets": targets | {notes: self.notes.targets(route.notes)[notes]},
            "records": {"target": notes, "prefix": self.prefix},
            "timing": dict(self.timing),
            "keys": self.keys,
        }
        file = self.folder / (
            "keyturn.yaml" if route is self.route else f"keyturn-{route.store.rpartition(':')[2]}.yaml"
        )
        with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as new:
            new.write(json.dumps(document))
        Path(new.name).replace(file)  # another command may be reading it
        return file

    # The command line.
    def environment(self, route: Route | None = None, machine: str = "here") -> dict[str, str]:
        """Return what a run sees of the world; runs of one `machine` see each other's locks."""
        route = route or self.route
        runtime = self.folder / machine
        runtime.mkdir(mode=0o700, exist_ok=True)
        api = {"KEYTURN_API_URL": route.api, "KEYTURN_INFERENCE_URL": route.api, "XDG_RUNTIME_DIR": str(runtime)}
        logins = self.store.environment(route.store, self.folder) | self.notes.environment(route.notes, self.folder)
        return bare_environment(**api, **logins, DIGITALOCEAN_TOKEN=self.sandbox.token)

    def logins(self, gate: Gate) -> dict[str, str]:
        """Return the variables with logins of one's own: what is sent with them passes `gate`, not the site's."""
        api, store, notes = self.sandbox.add_token().value, self.store.another(), self.notes.another()
        self.gate.others |= dict.fromkeys((api, store, notes), gate)
        of_store = self.store.environment(self.route.store, self.folder, store)
        of_notes = self.notes.environment(self.route.notes, self.folder, notes)
        return {"DIGITALOCEAN_TOKEN": api, **of_store, **of_notes}

    def start(
        self,
        *args: str,
        route: Route | None = None,
        machine: str = "here",
        logins: Mapping[str, str] = {},
        fresh: bool = False,
    ) -> Run:
        """Start `keyturn ARGS`; `fresh`: by a new interpreter, not by the fork server."""
        line = (*args, "-f", str(self.write(route)))
        return self.launch(line, self.environment(route, machine) | dict(logins), fresh=fresh)

    def launch(self, line: tuple[str, ...], env: Mapping[str, str], *, fresh: bool = False) -> Run:
        """Start `keyturn LINE` with an environment."""
        folder = self.folder / f"run-{next(self._count)}"
        folder.mkdir()
        if fresh:
            with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
                program = [sys.executable, "-m", "keyturn.cli", *line]
                child = subprocess.Popen(program, env=env, cwd=self.folder, stdout=out, stderr=err, stdin=-3)
            run = Run(child.pid, folder, child)
        else:
            run = self.shared.fork_server.run(line, env, self.folder, folder)
        self.runs.append(run)
        return run

    def run(self, *args: str, fresh: bool = False) -> Run:
        """Run `keyturn ARGS` to its end."""
        run = self.start(*args, fresh=fresh)
        run.wait()
        return run

    def apply(self, *args: str, fresh: bool = False) -> Run:
        """Run `keyturn apply` to its end."""
        return self.run("apply", "--yes", *args, fresh=fresh)

    def settle_in(self, options: Options | None = None) -> RunReport:
        """Apply in this process, past the gate: quick, to come to where a test begins. Raises where it cannot."""
        self._past = self._past or self.logins(Gate())
        env = self.environment() | self._past
        [desired] = load_all(self.write(), env)
        with open_world(desired, env, self.folder) as world:
            runner = Runner(world, desired, lambda _: None, runs=Runs([self.folder / "here"]))
            report = runner.apply((), options or Options(), allow_delete=9)
        assert report.exit_code == 0, report
        return report

    def come_to_rest(self, overlap: str = "1h") -> None:
        """Apply, in this process, until no old secret waits any more; from then on an overlap lasts `overlap`."""
        for entry in self.keys.values():
            entry["rotation"]["overlap"] = "1s"
        for _ in range(4):
            self.settle_in()
            if not any(record and record.retire for record in map(self.record, self.keys)):
                break
            time.sleep(1)
        for entry in self.keys.values():
            entry["rotation"]["overlap"] = overlap
        self.gate.clear()

    def wait_for_overlap(self, key: str) -> None:
        """Wait until a key's old secret may be killed."""
        record = self.record(key)
        assert record is not None
        if record.retire:
            time.sleep(max(0.0, record.retire.at.timestamp() - time.time()))

    def until_reached(self, hold: Hold, run: Run, seconds: float = SECONDS) -> bool:
        """Wait until a request is held; False where the run ended without it. Raises TimeoutError after `seconds`."""
        deadline = time.monotonic() + seconds
        while not hold.reached.wait(0.02):
            if time.monotonic() > deadline:
                raise TimeoutError(f"neither held nor ended:\n{run.err}")
            if not run.alive:
                return hold.reached.is_set()
        return True

    # What is true, seen from outside.
    def held(self, key: str) -> str | None:
        """Return what the store holds for a key now."""
        return self.history(key)[-1].value

    def held_at(self, path: str, field: str = FIELD, target: str = "") -> str | None:
        """Return what a field of the store holds now."""
        return (self.store.reading(path, target).fields() or {}).get(field)

    def account(self, key: str) -> dict[str, str]:
        """Return the API keys that were ever made for a key and still are: uuid to name, however it was renamed."""
        begins = self.name(key)
        return {uuid: found.name for uuid, found in self.sandbox.state.keys.items() if _is(found, begins)}

    def mark(self, key: str) -> tuple[object, ...]:
        """Return what differs after any change to a key: its record, its delivery's version, its names, its mints."""
        return self.document(f"keys/{key}"), len(self.history(key)), tuple(self.account(key).items()), self.mints(key)

    def history(self, key: str) -> tuple[Version, ...]:
        """Return every version of a key's delivery, oldest first."""
        return self.store.history(self.path(key), FIELD)

    def record(self, key: str) -> Record | None:
        """Return a key's record, None where there is none; no secret may be in it (I5)."""
        text = self.document(f"keys/{key}")
        if text is None:
            return None
        assert "sk-do-" not in text, "a secret in a record"
        return parse_record(text, where=key)

    def document(self, name: str) -> str | None:
        """Return the text of a record or a claim."""
        return self.notes.document(f"{self.prefix}/{name}")

    def outage(self, key: str) -> float:
        """Return for how many seconds, all in all, its deliveries have held a secret that the API did not accept.

        From the account's and the store's own history, so no moment is missed between two looks.
        """
        minted, now, dead = self.sandbox.state.secrets, time.time(), 0.0
        places = self.keys[key]["deliver"]
        for version in [one for at in places for one in self.store.history(at["path"], at["field"], at["target"])]:
            if version.value is None:
                continue
            end = version.until or now
            secret = minted[version.value]
            usable = max(0.0, min(secret.usable_at, end) - version.since)
            gone = max(0.0, end - max(secret.died_at, version.since)) if secret.died_at is not None else 0.0
            dead += usable + gone
        return dead

    def mints(self, key: str) -> int:
        """Return how many secrets keyturn made the API mint for a key."""
        state, begins = self.sandbox.state, self.name(key)
        own = {uuid for uuid, found in state.keys.items() if f"{found.name}-".startswith(f"{begins}-")}
        return sum(minted.by in {"create", "regenerate"} and minted.uuid in own for minted in state.secrets.values())


def together(work: Callable[[Case], None], cases: Iterable[Case], lanes: int = 8) -> None:
    """Do the work for all cases side by side, since most of it is waiting; raise every failure, each with its case."""
    with ThreadPoolExecutor(lanes) as pool:
        running = [(case, pool.submit(work, case)) for case in cases]
    failures: list[Exception] = []
    for case, done in running:
        error = done.exception()
        if isinstance(error, Exception):
            error.add_note(f"case: {case}")
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(running)} cases", failures)


def _is(found: Key, begins: str) -> bool:
    return found.deleted_at is None and (found.name == begins or found.name.startswith(f"{begins}-"))
