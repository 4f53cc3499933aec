"""A desk for end-to-end tests that need many keys: a sandbox, files for secrets, records beside the manifest.

Each command is a process of its own, so that desks can be worked at side by side.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from keyturn.cli.schema import schema_text
from keyturn.sandbox import Sandbox
from tests.real.run import ForkServer, Run
from tests.support import canary
from tests.support.process import bare_environment

MODEL = "llama3.3-70b-instruct"
FIELD = "MODEL_ACCESS_KEY"
SHORT = {"settle": "1s", "request": "1s", "lease": "2s", "propagation": "1s", "delivery": "10s"}
"""Nothing here takes longer; and what was cut may be gone on with at once."""
Json = dict[str, Any]
Case = TypeVar("Case")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Desk:
    """A manifest that is written from `keys`, its servers, and all that the commands have printed so far."""

    folder: Path
    sandbox: Sandbox
    nursery: ForkServer
    keys: dict[str, Json] = field(default_factory=dict)
    more: Json = field(default_factory=dict)
    """Further fields of the manifest."""
    token: str = ""
    api: str = ""
    """Where the API is; the sandbox's own URL unless a relay stands before it."""
    variables: dict[str, str] = field(default_factory=dict)
    """Further variables of the environment."""
    runtime: str = "runtime"
    """Where runs lock their files, below the folder: another one is another machine."""
    printed: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def add(self, key: str, strategy: str = "in-place", *, overlap: str = "1s", **entry: object) -> None:
        """Put a key into the manifest; `entry` are further fields of it."""
        self.keys[key] = {
            "name": key,
            "adopt": {"secret": "regenerate"},
            "deliver": [{"target": "env", "path": f"{key}.env", "field": FIELD}],
            "rotation": {"strategy": strategy, "overlap": overlap},
            "smoke": {"model": MODEL},
            **entry,
        }

    def existing(self, key: str, strategy: str = "in-place", **entry: object) -> None:
        """Put a key into the manifest whose API keys an operator has made already."""
        for end in ("-a", "-b") if strategy == "alternating" else ("",):
            self.sandbox.panel_create(key + end)
        self.add(key, strategy, **entry)  # type: ignore[arg-type] # the overlap is among them

    def put(self, key: str, secret: str) -> None:
        """Write a secret to where a key is delivered, as an operator does."""
        (self.folder / f"secrets/{key}.env").write_text(f"{FIELD}={secret}\n")

    def held(self, key: str) -> str:
        """Return what a key's consumer reads; empty if there is nothing."""
        file = self.folder / f"secrets/{key}.env"
        return file.read_text().strip().partition("=")[2] if file.exists() else ""

    def write(self) -> Path:
        """Write the manifest and return its file."""
        document: Json = {
            "apiVersion": "keyturn/v1",
            "name": "desk",
            "targets": {"env": {"type": "dotenv", "root": "./secrets"}},
            "records": {"target": "local"},
            "timing": SHORT,
            "keys": self.keys,
        }
        file = self.folder / "keyturn.yaml"
        text = json.dumps(document | self.more)
        if not file.exists() or file.read_text() != text:  # a run may be reading it
            file.write_text(text)
        return file

    def start(self, *args: str, stdin: str = "") -> Run:
        """Start a command as a process of its own."""
        streams = self.folder / f"run-{next(self.numbers)}"
        streams.mkdir()
        (streams / "in").write_text(stdin)
        api = self.api or self.sandbox.url
        urls = {
            "KEYTURN_API_URL": api,
            "KEYTURN_INFERENCE_URL": api,
            "XDG_RUNTIME_DIR": str(self.folder / self.runtime),
        }
        env = bare_environment(**urls, **self.variables, DIGITALOCEAN_TOKEN=self.token or self.sandbox.token)
        return self.nursery.run((*args, "-f", str(self.write())), env, self.folder, streams)

    def end(self, run: Run, *, code: int | None = 0) -> Answer:
        """Wait for a command; `code` is the exit code that it has to have, None for any."""
        answer = Answer(run.wait(), run.out, run.err)
        self.printed += [answer.stdout, answer.stderr]
        assert code in {None, answer.code}, (answer.code, answer.stdout, answer.stderr)
        return answer

    def run(self, *args: str, code: int | None = 0, stdin: str = "") -> Answer:
        """Run a command to its end."""
        return self.end(self.start(*args, stdin=stdin), code=code)

    def json(self, *args: str, code: int | None = 0) -> Any:  # noqa: ANN401 - a JSON value
        """Run a command with `--format json` and return its document."""
        return json.loads(self.run(*args, "--format", "json", code=code).stdout)

    def mints(self) -> int:
        """Count the secrets that keyturn has made the API mint."""
        return sum(minted.by in {"create", "regenerate"} for minted in self.sandbox.state.secrets.values())

    def mark(self) -> object:
        """Return what differs after any change to the account, the records or the deliveries."""
        state, files = self.sandbox.state, {**self.files(".keyturn"), **self.files("secrets")}
        return dict(state.keys), dict(state.secrets), files

    def files(self, folder: str) -> Mapping[str, bytes]:
        """Return the files below a folder of the desk."""
        root = self.folder / folder
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def record(self, key: str) -> Json:
        """Return a key's record, empty where there is none."""
        return self.document(f"keys/{key}")

    def document(self, name: str) -> Json:
        """Return a record or a claim, empty where there is none."""
        file = self.folder / f".keyturn/keyturn/{name}.json"
        found: Json = json.loads(json.loads(file.read_text())["document"]) if file.exists() else {}
        return found

    def leaks(self) -> list[str]:
        """Return where a secret or a token of the sandbox's whole history is, among outputs and records."""
        texts = {f"printed {number}: {text[:300]}": text.encode() for number, text in enumerate(self.printed)}
        state = self.sandbox.state
        return canary.found([*state.secrets, *state.tokens], texts | dict(self.files(".keyturn")))


def schema(kind: str) -> Json:
    """Return the published schema of a kind of document."""
    found: Json = json.loads(schema_text(kind))
    return found


@contextmanager
def desk(nursery: ForkServer, **settings: object) -> Iterator[Desk]:
    """A desk with nothing on it yet; `settings` are those of the sandbox."""
    with tempfile.TemporaryDirectory(prefix="keyturn-desk-") as name, Sandbox(**settings) as sandbox:  # type: ignore[arg-type]
        folder = Path(name)
        (folder / "secrets").mkdir()
        (folder / "runtime").mkdir(mode=0o700)
        yield Desk(folder, sandbox, nursery)


def side_by_side(work: Callable[[Case], None], cases: Iterable[Case], lanes: int) -> None:
    """Do the work for all cases, most of which is waiting; raise every failure, each with its case."""
    with ThreadPoolExecutor(lanes) as pool:
        running = [(case, pool.submit(work, case)) for case in cases]
    failures = [(case, error) for case, done in running if isinstance(error := done.exception(), Exception)]
    for case, error in failures:
        error.add_note(f"case: {case}")
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(running)} cases", [error for _, error in failures])
