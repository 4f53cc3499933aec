"""A stack of the real engine between a sandbox and a real OpenBao, its `file://` backend to be searched for leaks."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING, Any

import httpx
import pulumi
from pulumi import automation as auto

from pulumi_keyturn import ModelAccessKey
from tests.support.process import PASSED_ON, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping

    from keyturn.sandbox import Sandbox, Seen
    from tests.support.openbao import OpenBao

Program = Callable[[], None]
MODEL = "llama3.3-70b-instruct"
PROGRAM = """\
import json, pathlib
from pulumi_keyturn import ModelAccessKey

ModelAccessKey("bot", json.loads(pathlib.Path("bot.json").read_text()))
"""
TIMING = {"request": "2s", "settle": "2s", "lease": "10s", "propagation": "1s", "delivery": "2s"}
"""Short enough for tests; the request time is also how long a killed run is waited for."""


@dataclass
class Site:
    """One stack with its servers: what a test works on, and asks what happened.

    `folder` holds the project, the backend and Pulumi's home; `prefix` is this test's own part of the OpenBao.
    """

    folder: Path
    engine: Path
    sandbox: Sandbox
    openbao: OpenBao
    prefix: str
    variables: dict[str, str]
    said: list[str] = field(default_factory=list)
    vault: str = ""
    """The address of what stands before the OpenBao, if something does."""
    stack_name: str = "dev"
    project: str = "shop"

    @property
    def backend(self) -> Path:
        """The folder of the file:// backend."""
        return self.folder / "backend"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of every engine and provider that this site starts."""
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        return {
            **kept,
            "PATH": f"{self.engine}{os.pathsep}{os.environ['PATH']}",
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
        """The one target: this test's own mount path is in each delivery."""
        return {"vault": {"type": "vault", "address": self.vault or self.openbao.address, "mount": "secret"}}

    def inputs(self, path: str = "bot", /, **changes: object) -> Any:  # noqa: ANN401 - typed dictionaries and others
        """Return the inputs of a key that is delivered to `path`; `changes` of None take one out."""
        plain: dict[str, Any] = {
            "deliver": [{"target": "vault", "path": f"{self.prefix}/{path}", "field": "MODEL_ACCESS_KEY"}],
            "targets": self.targets,
            "records": {"target": "vault", "prefix": f"{self.prefix}/keyturn"},
            "smoke": {"model": MODEL},
            "timing": TIMING,
            "name": path,
        }
        return {name: value for name, value in {**plain, **changes}.items() if value is not None}

    def key(
        self, resource: str = "bot", opts: pulumi.ResourceOptions | None = None, path: str = "", **changes: object
    ) -> Program:
        """Return a program that declares one key and exports what consumers need, the secret too if it is exposed."""

        def program() -> None:
            key = ModelAccessKey(resource, self.inputs(path or resource, **changes), opts)
            for name in ("uuid", "digest", "deliveries", "secret")[: 4 if changes.get("expose_secret") else 3]:
                pulumi.export(name, getattr(key, name))

        return program

    # What the engine does.
    def up(self, program: Program, **options: object) -> dict[str, Any]:
        """Run `pulumi up` without a preview; return the stack's outputs. Raises CommandError."""
        result = self._stack(program).up(on_output=self.said.append, color="never", **options)  # type: ignore[arg-type]
        return {name: output.value for name, output in result.outputs.items()}

    def preview(self, program: Program, **options: object) -> Mapping[str, int]:
        """Run `pulumi preview`; return how many resources it would change, by kind of change."""
        stack = self._stack(program)
        found = stack.preview(on_output=self.said.append, color="never", **options).change_summary  # type: ignore[arg-type]
        return {str(getattr(kind, "value", kind)): count for kind, count in found.items()}

    def refresh(self) -> None:
        """Run `pulumi refresh`. Raises CommandError."""
        self._stack(_nothing).refresh(on_output=self.said.append, color="never")

    def destroy(self) -> None:
        """Run `pulumi destroy`. Raises CommandError."""
        self._stack(_nothing).destroy(on_output=self.said.append, color="never")

    def refused(self, program: Program, **options: object) -> str:
        """Run an up that has to fail; return what the engine said."""
        before = len(self.said)
        try:
            self.up(program, **options)
        except auto.CommandError:
            return "\n".join(self.said[before:])
        raise AssertionError("this up did not fail")

    def refused_preview(self, program: Program) -> str:
        """Run a preview that has to fail; return what the engine said."""
        before = len(self.said)
        try:
            self.preview(program)
        except auto.CommandError:
            return "\n".join(self.said[before:])
        raise AssertionError("this preview did not fail")

    def configure(self, name: str, value: str, *, secret: bool = True) -> None:
        """Set a value of the stack's configuration."""
        self._stack(_nothing).set_config(name, auto.ConfigValue(value, secret=secret))

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the state of every resource of ours by name, as the backend keeps it: secrets encrypted."""
        file = self.backend / ".pulumi" / "stacks" / self.project / f"{self.stack_name}.json"
        latest = json.loads(file.read_text())["checkpoint"]["latest"] or {}
        own = [item for item in latest.get("resources", []) if "dynamic/keyturn" in item["type"]]
        return {item["urn"].rpartition("::")[2]: item for item in own}

    def outputs(self, name: str = "bot") -> dict[str, Any]:
        """Return the outputs of one resource in the state."""
        outputs: dict[str, Any] = self.resources()[name]["outputs"]
        return outputs

    @contextmanager
    def command(self, *arguments: str, inputs: object = None) -> Iterator[subprocess.Popen[str]]:
        """Start a command of the real CLI on a program with one key `bot` of these inputs, run by the language host."""
        (self.folder / "__main__.py").write_text(PROGRAM)
        (self.folder / "bot.json").write_text(json.dumps(self.inputs() if inputs is None else inputs))
        self._stack(_nothing)
        call: list[str | Path] = [self.engine / "pulumi", *arguments, "--stack", self.stack_name, "--non-interactive"]
        with start(call, env=self.environment, cwd=self.folder, stdout=PIPE, stderr=STDOUT) as child:
            yield child

    def cancel(self) -> None:
        """Run `pulumi cancel`, which lets go of the stack that a killed command had locked."""
        self._stack(_nothing).cancel()

    # What the world looks like.
    def delivered(self, path: str = "bot") -> str | None:
        """Return what a consumer reads."""
        found: Any = self.openbao.call("GET", f"secret/data/{self.prefix}/{path}")
        value = found["data"]["data"].get("MODEL_ACCESS_KEY")
        return None if value is None else str(value)

    def delivered_nothing(self, path: str = "bot") -> bool:
        """Tell whether nothing was ever written to where a consumer reads."""
        try:
            return self.delivered(path) is None
        except httpx.HTTPStatusError as missing:
            return missing.response.status_code == httpx.codes.NOT_FOUND

    def put(self, value: str, path: str = "bot") -> None:
        """Write a value to where consumers read, as a person would."""
        self.openbao.call("POST", f"secret/data/{self.prefix}/{path}", {"data": {"MODEL_ACCESS_KEY": value}})

    def record(self, key: str) -> dict[str, Any]:
        """Return a key's record."""
        found: Any = self.openbao.call("GET", f"secret/data/{self.prefix}/keyturn/keys/{key}")
        document = found["data"]["data"]
        record: dict[str, Any] = json.loads(document["document"]) if "document" in document else document
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
        """Return the ops of the mutating calls that the sandbox saw since the last call."""
        return [item.op for item in self.requests() if item.mutating]

    def minted(self, op: str = "regenerate") -> bool:
        """Tell whether the sandbox answered a mint since the last call of `requests`."""
        return any(item.op == op and item.effect_at is not None for item in self.sandbox.requests)

    def leaks(self) -> list[str]:
        """Return every file of the backend, the export and the screen that shows a secret or a token in plain."""
        words = [*self.sandbox.state.secrets, self.sandbox.token, self.openbao.root_token]
        texts = {"screen": "\n".join(self.said).encode()}
        texts |= {str(path): path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}
        return [f"{name}" for name, text in texts.items() if any(word.encode() in text for word in words)]

    def _stack(self, program: Program) -> auto.Stack:
        workspace = auto.LocalWorkspace(
            work_dir=str(self.folder),
            pulumi_home=str(self.folder / "home"),
            env_vars=self.environment,
            program=program,
            project_settings=auto.ProjectSettings(self.project, "python"),
            pulumi_command=auto.PulumiCommand(root=str(self.folder / "engine")),
        )
        return auto.Stack.create_or_select(self.stack_name, workspace)


def _nothing() -> None:
    """Declare nothing."""
