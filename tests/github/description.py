"""GitHub's published API description behind a proxy that refuses what deviates from it: `prism`, a program for Node.

Both are installed from npm by the lock beside this file, once, into a folder that git ignores.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import bare_environment, free_port, start, wait_until
from tests.support.tools import tool

HERE = Path(__file__).parent
BUILD = HERE / ".build"
USED = re.compile(
    r"/repos/\{owner\}/\{repo\}/(?:\w+|environments/\{environment_name\})/secrets/.+"
    r"|/orgs/\{org\}/\w+/secrets/.+|.+/\{(?:owner\}/\{repo|org)\}/installation|/app/installations/\{installation_id\}(?:/access_tokens)?"
)
"""The calls that the target may make."""
INSTALLING, STARTING = 900.0, 120.0
Json = dict[str, Any]


def modules() -> Path:
    """Return the installed modules. The first call takes a minute; the lock decides what is installed."""
    npm = tool("npm")
    lock = (HERE / "package-lock.json").read_bytes()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        place = BUILD / hashlib.sha256(lock).hexdigest()[:16]
        if not place.is_dir():
            print("installing prism for tests/github: this takes a minute, once", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=BUILD) as unfinished:
                folder = Path(unfinished) / "done"
                folder.mkdir()
                for name in ("package.json", "package-lock.json"):
                    shutil.copy(HERE / name, folder)
                subprocess.run(
                    [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
                    cwd=folder,
                    check=True,
                    timeout=INSTALLING,
                )
                folder.rename(place)
    return place / "node_modules"


def example(name: str) -> Json:
    """Return an example of the description."""
    found: Json = _whole(modules())["components"]["examples"][name]["value"]
    return found


def _whole(place: Path) -> Json:
    whole: Json = json.loads((place / "@octokit/openapi/generated/api.github.com.json").read_text())
    return whole


def described(place: Path) -> Json:
    """Return the part of the description that the target uses, with all that it refers to: the whole is 13 MB."""
    whole = _whole(place)
    kept: Json = {name: whole[name] for name in ("openapi", "info")}
    kept["paths"] = {path: item for path, item in whole["paths"].items() if USED.fullmatch(path)}
    waiting = list(_references(kept["paths"]))
    components: dict[str, Json] = {}
    while waiting:
        kind, name = waiting.pop()
        if name not in components.setdefault(kind, {}):
            components[kind][name] = whole["components"][kind][name]
            waiting += _references(components[kind][name])
    return kept | {"components": components}


def _references(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if isinstance(found := value.get("$ref"), str):
            _, _, kind, name = found.split("/")
            yield kind, name
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


@contextmanager
def proxy(upstream: str, folder: Path) -> Iterator[str]:
    """Run the proxy before a server; give its URL. A request or an answer that deviates is answered with an error."""
    place = modules()
    file = folder / "description.json"
    file.write_text(json.dumps(described(place)))
    port = free_port()
    program = [tool("node"), str(place / "@stoplight/prism-cli/dist/index.js"), "proxy", str(file), upstream]
    with start([*program, "--errors", "--host", "127.0.0.1", "--port", str(port)], env=bare_environment()):
        wait_until(lambda: _answers(port), "the proxy listens", seconds=STARTING)
        yield f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
