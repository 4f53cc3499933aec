"""A stack of the real engine between a sandbox and a real OpenBao, its `file://` backend to be searched for leaks.

Programs run as a user's do, by the language host: an inline program of the Automation API whose up fails does not end
in this version of the SDK, and would hold the tests up for ever.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.process import PASSED_ON, run, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from keyturn.sandbox import Sandbox, Seen
    from tests.support.openbao import OpenBao

MODEL = "llama3.3-70b-instruct"
TIMING = {"request": "5s", "settle": "5s", "lease": "15s", "propagation": "1s", "delivery": "2s"}
"""Short enough for tests; the settle time is also how long a killed run is waited for."""
LONGEST = 150
"""Seconds that one command may take on a busy machine."""
UP = ("up", "--yes", "--skip-preview")
PROGRAM = """\
import json
import pathlib

import pulumi

from pulumi_keyturn.dynamic import ModelAccessKey, SmokeCheck

data = json.loads(pathlib.Path("data.json").read_text())
"""


@dataclass(frozen=True)
class Program:
    """The text of a program, after the imports and `data`, which is this JSON; or a folder with a whole project."""

    text: str = ""
    data: Any = None
    folder: Path | None = None


@dataclass
class Site:
    """One stack with its servers: what a test works on, and asks what happened.

    `folder` holds the project, the backend and Pulumi's home; `prefix` is this test's own part of the OpenBao.
    `vault` is the address of what stands before the OpenBao, if something does.
    """

    folder: Path
    engine: Path
    sandbox: Sandbox
    openbao: OpenBao
    prefix: str
    variables: dict[str, str]
    vault: str = ""
    project: str = "shop"
    stack: str = "dev"
    said: list[str] = field(default_factory=list)
    stacks: set[str] = field(default_factory=set)

    @property
    def backend(self) -> Path:
        """The folder of the file:// backend."""
        return self.folder / "backend"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every engine, program and provider that this site starts."""
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {
            **kept,
            "PATH": f"{self.engine}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{self.backend}",
            "PULUMI_CONFIG_PASSPHRASE": "correct horse",
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_PYTHON_CMD": sys.executable,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "VAULT_ADDR": self.vault or self.openbao.address,
            "XDG_RUNTIME_DIR": str(self.folder),
            **self.sandbox.exports,
            **self.variables,
        }

    # What programs declare.
    @property
    def targets(self) -> dict[str, dict[str, str]]:
        """The one target: this test's own part of it is in each path."""
        return {"vault": {"type": "vault", "address": self.vault or self.openbao.address, "mount": "secret"}}

    def inputs(self, path: str = "bot", /, **changes: object) -> dict[str, object]:
        """Return the inputs of a key that is delivered to `path`; `changes` of None take one out."""
        plain = {
            "deliver": [{"target": "vault", "path": f"{self.prefix}/{path}", "field": "MODEL_ACCESS_KEY"}],
            "targets": self.targets,
            "records": {"target": "vault", "prefix": f"{self.prefix}/keyturn"},
            "smoke": {"model": MODEL},
            "timing": TIMING,
            "name": path,
        }
        return {name: value for name, value in {**plain, **changes}.items() if value is not None}

    def key(self, resource: str = "bot", options: str = "", path: str = "", **changes: object) -> Program:
        """Return a program that declares one key; `options` are arguments of ResourceOptions, as they are written."""
        declared = f"key = ModelAccessKey({resource!r}, data, pulumi.ResourceOptions({options}))"
        return Program(declared, self.inputs(path or resource, **changes))

    # What the engine does.
    def up(self, program: Program, *arguments: str) -> None:
        """Run `pulumi up` without a preview; fails the test where the up does."""
        self._done(*UP, *arguments, program=program)

    def preview(self, program: Program) -> dict[str, int]:
        """Run `pulumi preview`; return how many resources it would change, by kind of change."""
        found: dict[str, int] = self.previewed(program)["changeSummary"]
        return found

    def previewed(self, program: Program) -> dict[str, Any]:
        """Run `pulumi preview --json`; return what it says."""
        found: dict[str, Any] = json.loads(self._done("preview", "--json", program=program).stdout)
        return found

    def show_preview(self, program: Program) -> None:
        """Run `pulumi preview` as an operator does."""
        self._done("preview", program=program)

    def refresh(self) -> None:
        """Run `pulumi refresh`."""
        self._done("refresh", "--yes", "--skip-preview")

    def destroy(self, *arguments: str, program: Program | None = None) -> None:
        """Run `pulumi destroy`."""
        self._done("destroy", "--yes", "--skip-preview", *arguments, program=program)

    def cancel(self) -> None:
        """Run `pulumi cancel`, which releases the stack that a killed command had locked."""
        self._done("cancel", "--yes")

    def configure(self, name: str, value: str, how: str = "--secret") -> None:
        """Set a value of the stack's configuration."""
        self._done("config", "set", how, name, value)

    def install(self, name: str, version: str, server: str) -> None:
        """Run `pulumi plugin install`."""
        self._done("plugin", "install", "resource", name, version, "--server", server, at_stack=False)

    def add(self, source: str, program: Program) -> None:
        """Run `pulumi package add` in the project of a program."""
        self._done("package", "add", source, program=program, at_stack=False)

    def exposed(self, name: str) -> str:
        """Return an output of the stack, decrypted, in spite of all."""
        done = run(self._call("stack", "output", name, "--show-secrets"), env=self.environment, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def refused(self, program: Program, *arguments: str) -> str:
        """Run an up that has to fail; return what it said."""
        return self._failed(*UP, *arguments, program=program)

    def refused_preview(self, program: Program) -> str:
        """Run a preview that has to fail; return what it said."""
        return self._failed("preview", program=program)

    def refused_refresh(self) -> str:
        """Run a refresh that has to fail; return what it said."""
        return self._failed("refresh", "--yes", "--skip-preview")

    def refused_destroy(self) -> str:
        """Run a destroy that has to fail; return what it said."""
        return self._failed("destroy", "--yes", "--skip-preview")

    @contextmanager
    def command(self, *arguments: str, program: Program) -> Iterator[subprocess.Popen[str]]:
        """Start a command and leave it to the test."""
        self._prepare(program)
        with start(self._call(*arguments), env=self.environment, cwd=self.folder, stdout=PIPE, stderr=STDOUT) as child:
            yield child

    def ended(self, *arguments: str, program: Program) -> tuple[int, str]:
        """Run a command; return its exit code and what it said."""
        done = self._run(*arguments, program=program)
        return done.returncode, f"{done.stdout}\n{done.stderr}"

    def _done(
        self, *arguments: str, program: Program | None = None, at_stack: bool = True
    ) -> subprocess.CompletedProcess[str]:
        done = self._run(*arguments, program=program, at_stack=at_stack)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def _failed(self, *arguments: str, program: Program | None = None) -> str:
        code, said = self.ended(*arguments, program=program or Program())
        assert code, said
        return said

    def _run(self, *arguments: str, program: Program | None, at_stack: bool = True) -> subprocess.CompletedProcess[str]:
        self._prepare(program or Program())
        done = run(self._call(*arguments, at_stack=at_stack), env=self.environment, cwd=self.folder, seconds=LONGEST)
        self.said += [done.stdout, done.stderr]
        return done

    def _prepare(self, program: Program) -> None:
        if program.folder:
            for file in program.folder.iterdir():
                if file.is_file():
                    shutil.copy(file, self.folder)
            files = {}
        else:
            files = {
                "Pulumi.yaml": f"name: {self.project}\nruntime: python\n",
                "__main__.py": f"{PROGRAM}\n{program.text}\n",
                "data.json": json.dumps(program.data),
            }
        self._write(files, program)

    def _write(self, files: Mapping[str, str], program: Program) -> None:
        """Write the files of a project, and make its stack if it is not there yet."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        if self.stack not in self.stacks:
            self.stacks.add(self.stack)
            self.backend.mkdir(exist_ok=True)
            self._done("stack", "init", program=program)

    def _call(self, *arguments: str, at_stack: bool = True) -> list[str | Path]:
        stack = ("--stack", self.stack) if at_stack else ()
        return [self.engine / "pulumi", *arguments, *stack, "--non-interactive", "--color", "never"]

    # What the state shows.
    def state(self) -> list[dict[str, Any]]:
        """Return every resource of the state as the backend keeps it: secrets encrypted."""
        file = self.backend / ".pulumi" / "stacks" / self.project / f"{self.stack}.json"
        latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
        return list(latest.get("resources", []))

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the state of every resource of ours by name."""
        own = [item for item in self.state() if "dynamic/keyturn" in item["type"]]
        return {item["urn"].rpartition("::")[2]: item for item in own}

    def outputs(self, name: str = "bot") -> dict[str, Any]:
        """Return the outputs of one resource in the state."""
        outputs: dict[str, Any] = self.resources()[name]["outputs"]
        return outputs

    def exports(self) -> dict[str, Any]:
        """Return the outputs of the stack."""
        return next((item.get("outputs", {}) for item in self.state() if item["type"] == "pulumi:pulumi:Stack"), {})

    def screen(self) -> str:
        """Return all that the commands have shown."""
        return "\n".join(self.said)

    # What the world looks like.
    def delivered(self, path: str = "bot", field: str = "MODEL_ACCESS_KEY") -> str | None:
        """Return what a consumer reads, None where there is nothing."""
        try:
            found: Any = self.openbao.call("GET", f"secret/data/{self.prefix}/{path}")
        except httpx.HTTPStatusError as missing:
            if missing.response.status_code != httpx.codes.NOT_FOUND:
                raise
            return None
        value = found["data"]["data"].get(field)
        return None if value is None else str(value)

    def put(self, value: str, path: str = "bot") -> None:
        """Write a value to where consumers read, as an operator would."""
        self.openbao.call("POST", f"secret/data/{self.prefix}/{path}", {"data": {"MODEL_ACCESS_KEY": value}})

    def forbid_writing(self) -> None:
        """From now on the login may write records, and only read what is delivered to `bot`."""
        records = {
            f"secret/data/{self.prefix}/keyturn/*": ["create", "read", "update"],
            f"secret/metadata/{self.prefix}/keyturn/*": ["list", "read"],
            f"secret/metadata/{self.prefix}/keyturn": ["list", "read"],
            "secret/config": ["read"],
        }
        self.openbao.policy(self.prefix, {**records, f"secret/data/{self.prefix}/bot": ["read"]})
        self.variables["VAULT_TOKEN"] = self.openbao.token(self.prefix)

    def record(self, key: str) -> dict[str, Any]:
        """Return a key's record."""
        found: Any = self.openbao.call("GET", f"secret/data/{self.prefix}/keyturn/keys/{key}")
        record: dict[str, Any] = json.loads(found["data"]["data"]["document"])
        return record

    def accepted(self, path: str = "bot") -> bool:
        """Tell whether the API accepts what a consumer reads."""
        secret = self.delivered(path)
        return secret is not None and self.sandbox.accepts(secret)

    def requests(self, *ops: str) -> list[Seen]:
        """Return what the sandbox was asked since the last call, those of these ops only where any are named."""
        seen = [item for item in self.sandbox.requests if not ops or item.op in ops]
        self.sandbox.clear_requests()
        return seen

    def mutations(self) -> list[str]:
        """Return the ops of the mutating calls that the sandbox saw since the last call of `requests`."""
        return [item.op for item in self.requests() if item.mutating]

    def minted(self) -> bool:
        """Tell whether a key was created or regenerated since the last call of `requests`."""
        mints = {"create", "regenerate"}
        return any(item.op in mints and item.effect_at is not None for item in self.sandbox.requests)

    def leaks(self) -> list[str]:
        """Return what shows a secret or a token in plain: files of the backend and the project, or the screen."""
        words = [*self.sandbox.state.secrets, *self.sandbox.state.tokens, self.openbao.root_token]
        texts = {"the screen": self.screen().encode()}
        texts |= {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        return [name for name, text in texts.items() if any(word.encode() in text for word in words)]
