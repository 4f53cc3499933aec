"""An incident: every key is rotated at once, by name or all of them, under the API's limit of requests per minute."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from keyturn.core.results import Options
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.live.live_world import open_world
from keyturn.manifest import load_all
from keyturn.sandbox import Sandbox
from tests.real.run import LEAKS
from tests.support.process import bare_environment, run

FIELD = "MODEL_ACCESS_KEY"
MODEL = "llama3.3-70b-instruct"
FREE = 10**9
LONGEST = 600.0
WAITS = re.compile(r"waits \d+ s for the API's rate limit|to wait for the API's limit")


@dataclass(frozen=True, slots=True)
class Came:
    """What rotating all keys came to."""

    code: int
    seconds: float
    requests: int
    """What reached the control API, refusals included."""
    refused: int
    """How many of them were answered with 429."""
    mints: int
    said: int
    """Lines that say how long the run waits."""
    behind: tuple[str, ...]
    """Keys whose file holds the secret of before, or one that the API does not accept."""
    alive: tuple[str, ...]
    """Keys whose secret of before is still accepted."""
    untold: tuple[str, ...]
    """Keys of which `history --all --since 1h` does not tell the reason, as text and as JSON."""
    err: str


def incident(keys: int, limit: int, *, alternating: int = 0, used: int = 0, ago: float = 0.0, leaked: str = "") -> Came:
    """Adopt so many keys, then rotate them all under `limit` requests per minute.

    `alternating`: how many of them have two slots. `used`: how many requests someone else made `ago` seconds before.
    `leaked`: every secret leaked, for this reason: one command names no key; otherwise each key is named.
    """
    with tempfile.TemporaryDirectory(prefix="keyturn-incident-") as made, Sandbox(seed=1) as sandbox:
        folder = Path(made)
        names = [f"key-{number:03}" for number in range(keys)]
        strategies = {name: "alternating" if n < alternating else "in-place" for n, name in enumerate(names)}
        file = _manifest(folder, sandbox, strategies)
        sandbox.change(minute_limit=FREE)
        env = bare_environment(**sandbox.exports, XDG_RUNTIME_DIR=made)
        [desired] = load_all(file, env)
        another = {**env, "DIGITALOCEAN_TOKEN": sandbox.add_token().value}  # what is used up is so of one token
        with open_world(desired, another, folder) as world:
            runner = Runner(world, desired, lambda _: None, runs=Runs([folder]))
            for _ in range(2 if alternating else 1):  # the second retires the slots that an operator has seen
                report = runner.apply((), Options(), allow_rotations=keys)
                assert report.exit_code == 0, [one.end for one in report.reports if one.exit_code]
                time.sleep(1.2 if alternating else 0)
        before = {name: _held(folder, name) for name in names}
        minted = _mints(sandbox)
        with httpx.Client(headers={"Authorization": f"Bearer {sandbox.token}"}) as client:  # quick: they end together
            for _ in range(used):
                client.get(f"{sandbox.url}/v2/account")
        sandbox.advance(ago)
        sandbox.change(minute_limit=limit)
        sandbox.clear_requests()
        started = time.monotonic()
        which = ["--all", "--compromised", "--reason", leaked] if leaked else names
        keyturn = [sys.executable, "-m", "keyturn.cli"]
        done = run([*keyturn, "rotate", *which, "--yes", "-f", str(file)], seconds=LONGEST, env=env, cwd=folder)
        seconds = time.monotonic() - started
        for text in (done.stdout, done.stderr):
            assert not any(leak in text for leak in LEAKS), text
        seen = [one.status for one in sandbox.requests if one.path.startswith("/v2")]
        asked = [*keyturn, "history", "--all", "--since", "1h", "-f", str(file)]
        told = [run([*asked, "--format", form], env=env, cwd=folder).stdout for form in ("text", "json")]
        return Came(
            code=done.returncode,
            seconds=seconds,
            requests=len(seen),
            refused=seen.count(429),
            mints=_mints(sandbox) - minted,
            said=len(WAITS.findall(done.stderr)),
            behind=tuple(n for n in names if _held(folder, n) == before[n] or not sandbox.accepts(_held(folder, n))),
            alive=tuple(name for name in names if sandbox.accepts(before[name])),
            untold=_untold(names, leaked, *told) if leaked else (),
            err=done.stderr + done.stdout,
        )


def _untold(names: Sequence[str], reason: str, text: str, document: str) -> tuple[str, ...]:
    """Return the keys whose history does not give the reason, in either form."""
    lines = [line for line in text.splitlines() if reason in line]
    histories = {one["key"]: one["events"] for one in json.loads(document)["keys"]}
    causes = {name: [event["cause"] or {} for event in histories.get(name, ())] for name in names}
    return tuple(
        name
        for name in names
        if not any(name in line for line in lines) or reason not in [cause.get("reason") for cause in causes[name]]
    )


def _manifest(folder: Path, sandbox: Sandbox, strategies: Mapping[str, str]) -> Path:
    """Make the keys as an operator does, and write the manifest that adopts them."""
    keys = {}
    for name, strategy in strategies.items():
        for end in ("-a", "-b") if strategy == "alternating" else ("",):
            sandbox.panel_create(name + end)
        keys[name] = {
            "name": name,
            "adopt": {"secret": "regenerate"},
            "deliver": [{"target": "files", "path": f"{name}.env", "field": FIELD}],
            "rotation": {"strategy": strategy, "overlap": "1s"},
            "smoke": {"model": MODEL},
        }
    document = {
        "apiVersion": "keyturn/v1",
        "name": "incident",
        "targets": {"files": {"type": "dotenv", "root": "secrets"}},
        "records": {"target": "local"},
        "timing": {"propagation": "1s"},  # the old secret is seen to be dead sooner, so that more is sent per minute
        "keys": keys,
    }
    file = folder / "keyturn.yaml"
    file.write_text(json.dumps(document))
    (folder / "secrets").mkdir()
    return file


def _held(folder: Path, name: str) -> str:
    """Return the secret in a key's file."""
    return (folder / "secrets" / f"{name}.env").read_text().strip().partition("=")[2].strip("\"'")


def _mints(sandbox: Sandbox) -> int:
    return sum(minted.by == "regenerate" for minted in sandbox.state.secrets.values())
