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
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from keyturn.core.record import Record, parse_record
from keyturn.core.results import Options, RunReport
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.live.live_world import open_world
from keyturn.manifest import load_all
from keyturn.sandbox import Sandbox
from keyturn.sandbox.state import Key
from tests.real.relay import RECORDS, Gate, Hold, Relay
from tests.real.run import SECONDS, ForkServer, Run
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
    """What all sites share."""

    sandbox: Sandbox
    bao: OpenBao
    fork_server: ForkServer
    folder: Path


@contextmanager
def servers(bao: OpenBao | None = None) -> Iterator[Servers]:
    """Start a sandbox, an OpenBao on disk (unless one is given) and a fork server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyturn-real-")))
        sandbox = stack.enter_context(Sandbox(create="allowed", seed=1, hour_limit=10**9, minute_limit=10**9))
        if bao is None:
            (folder / "bao").mkdir()
            bao = stack.enter_context(OpenBao(folder / "bao", dev=False))
        bao.call("POST", "secret/config", {"max_versions": 10_000})  # the whole history is looked at
        yield Servers(sandbox, bao, stack.enter_context(ForkServer(folder)), folder)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a delivered field: when it was written, when the next one was (None: it is the present one)."""

    value: str | None
    since: float
    until: float | None


class Site:
    """A manifest of its own, with names that nobody else uses: sites share servers and never meet.

    What the command line sends passes `gate`. `local` True: every run of it is on one machine; False: each run believes
    to be alone on its machine.
    """

    def __init__(self, shared: Servers, *, relayed: bool = True) -> None:
        """Make a site without keys."""
        self.shared, self.sandbox, self.bao = shared, shared.sandbox, shared.bao
        self.id = f"s{next(_numbers)}"
        self.folder = shared.folder / self.id
        self.folder.mkdir()
        self.gate = Gate()
        self.prefix = f"{RECORDS}{self.id}"
        self.token = self.bao.root_token
        self.keys: dict[str, Json] = {}
        self.timing: Mapping[str, str] = TIMING
        self._stack = ExitStack()
        self._relayed = relayed
        self._runs: list[Run] = []
        self._count = itertools.count(1)
        self._api = self._vault = ""

    def __enter__(self) -> Self:
        self._api, self._vault = self.relay(self.gate) if self._relayed else (self.sandbox.url, self.bao.address)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.open()
        for run in self._runs:
            run.signal(signal.SIGCONT)
            run.kill()
        self._stack.close()

    def relay(self, gate: Gate) -> tuple[str, str]:
        """Start relays before both servers that pass through `gate`; return their URLs."""
        both = (Relay(self.sandbox.url, gate), Relay(self.bao.address, gate))
        api, vault = (self._stack.enter_context(relay).url for relay in both)
        return api, vault

    # The manifest.
    def name(self, key: str) -> str:
        """Return the plain name of a key in the account."""
        return f"{self.id}-{key}"

    def path(self, key: str) -> str:
        """Return where a key is delivered."""
        return f"apps-{self.id}/{key}"

    def add(self, key: str, strategy: str = "in-place", *, overlap: str = "1h", **entry: object) -> None:
        """Put a key into the manifest; `entry` are further fields of it."""
        self.keys[key] = {
            "name": self.name(key),
            "adopt": {"secret": "regenerate"},
            "deliver": [{"target": "vault", "path": self.path(key), "field": FIELD}],
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

    def write(self, vault: str = "") -> Path:
        """Write the manifest and return its file."""
        document = {
            "apiVersion": "keyturn/v1",
            "name": self.id,
            "targets": {"vault": {"type": "vault", "address": vault or self._vault, "auth": {"method": "token"}}},
            "records": {"target": "vault", "prefix": self.prefix},
            "timing": dict(self.timing),
            "keys": self.keys,
        }
        file = self.folder / ("keyturn.yaml" if not vault else f"keyturn-{vault.rpartition(':')[2]}.yaml")
        file.write_text(json.dumps(document))
        return file

    # The command line.
    def environment(self, api: str = "", vault: str = "", machine: str = "here") -> dict[str, str]:
        """Return what a run sees of the world; runs of one `machine` see each other's locks."""
        runtime = self.folder / machine
        runtime.mkdir(mode=0o700, exist_ok=True)
        api, vault = api or self._api, vault or self._vault
        urls = {"KEYTURN_API_URL": api, "KEYTURN_INFERENCE_URL": api, "VAULT_ADDR": vault}
        secrets = {"DIGITALOCEAN_TOKEN": self.sandbox.token, "VAULT_TOKEN": self.token}
        return bare_environment(**urls, **secrets, XDG_RUNTIME_DIR=str(runtime))

    def start(self, *args: str, env: Mapping[str, str] | None = None, fresh: bool = False) -> Run:
        """Start `keyturn ARGS`; `fresh`: by a new interpreter, not by the fork server."""
        env = env or self.environment()
        file = self.write(env["VAULT_ADDR"] if env["VAULT_ADDR"] != self._vault else "")
        line = (*args, "-f", str(file))
        folder = self.folder / f"run-{next(self._count)}"
        folder.mkdir()
        if fresh:
            with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
                program = [sys.executable, "-m", "keyturn.cli", *line]
                child = subprocess.Popen(program, env=env, cwd=self.folder, stdout=out, stderr=err, stdin=-3)
            run = Run(child.pid, folder, child)
        else:
            run = self.shared.fork_server.run(line, env, self.folder, folder)
        self._runs.append(run)
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
        env = self.environment(self.sandbox.url, self.bao.address)
        [desired] = load_all(self.write(self.bao.address), env)
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
        """Return what the vault holds for a key now."""
        return self.history(key)[-1].value

    def held_at(self, path: str, field: str = FIELD) -> str | None:
        """Return what a field of the vault holds now."""
        try:
            data = self.bao.call("GET", f"secret/data/{path}")["data"]
        except httpx.HTTPStatusError:
            return None
        assert isinstance(data, dict)
        value: str | None = data["data"].get(field)
        return value

    def account(self, key: str) -> dict[str, str]:
        """Return the API keys that were ever made for a key and still are: uuid to name, however it was renamed."""
        begins = self.name(key)
        return {uuid: found.name for uuid, found in self.sandbox.state.keys.items() if _is(found, begins)}

    def mark(self, key: str) -> tuple[object, ...]:
        """Return what differs after any change to a key: its record, its delivery's version, its names, its mints."""
        return self.document(f"keys/{key}"), len(self.history(key)), tuple(self.account(key).items()), self.mints(key)

    def history(self, key: str) -> tuple[Version, ...]:
        """Return every version of a key's delivery, oldest first."""
        path = self.path(key)
        try:
            metadata = self.bao.call("GET", f"secret/metadata/{path}")["data"]
        except httpx.HTTPStatusError:
            return (Version(None, 0.0, None),)
        assert isinstance(metadata, dict)
        numbers = sorted(map(int, metadata["versions"]))
        times = [_moment(metadata["versions"][str(number)]["created_time"]) for number in numbers]
        found = []
        for number, since, until in zip(numbers, times, [*times[1:], None], strict=True):
            data = self.bao.call("GET", f"secret/data/{path}?version={number}")["data"]
            assert isinstance(data, dict)
            found.append(Version(data["data"].get(FIELD), since, until))
        return tuple(found)

    def record(self, key: str) -> Record | None:
        """Return a key's record, None where there is none; no secret may be in it (I5)."""
        text = self.document(f"keys/{key}")
        if text is None:
            return None
        assert "sk-do-" not in text, "a secret in a record"
        return parse_record(text, where=key)

    def document(self, name: str) -> str | None:
        """Return the text of a record or a claim."""
        try:
            data = self.bao.call("GET", f"secret/data/{self.prefix}/{name}")["data"]
        except httpx.HTTPStatusError:
            return None
        assert isinstance(data, dict)
        text: str = data["data"]["document"]
        return text

    def outage(self, key: str) -> float:
        """Return for how many seconds, all in all, the vault has held a secret that the API did not accept.

        From the account's and the vault's own history, so no moment is missed between two looks.
        """
        minted, now, dead = self.sandbox.state.secrets, time.time(), 0.0
        for version in self.history(key):
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


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
