"""A stack of programs in YAML, which has the full provider: no SDK, only its schema."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keyturn_provider.plugin import words
from tests.engine.harness import Program, Site
from tests.support.go_program import built, find, go

if TYPE_CHECKING:
    from collections.abc import Mapping

MODULE = Path(__file__).parent / "yaml"
HOST = "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
VERSION = "github.com/pulumi/pulumi-yaml/pkg/version.Version"


def language_host() -> Path:
    """Return the language host of YAML programs, building it if needed. Raises NoGo and RuntimeError."""
    version = go(find(MODULE.name), MODULE, "list", "-m", "-f", "{{.Version}}", HOST.rpartition("/cmd/")[0])
    return built(MODULE, HOST, linked=f"-s -w -X {VERSION}={version}")


@dataclass
class YamlSite(Site):
    """As `Site`, with the full provider. `configuration` is that of the provider, which is declared if it is there."""

    host: Path = Path()
    configuration: dict[str, object] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """As of a `Site`; the host is on PATH under its name."""
        hosts = self.folder / "hosts"
        hosts.mkdir(exist_ok=True)
        named = hosts / "pulumi-language-yaml"
        if not named.exists():
            named.symlink_to(self.host)
        found = super().environment
        return {**found, "PATH": f"{hosts}{os.pathsep}{found['PATH']}"}

    def key(
        self, resource: str = "bot", options: str | Mapping[str, object] = "", path: str = "", **changes: object
    ) -> Program:
        """Return a program that declares one key; `options` are the resource's."""
        declared = self.declared(path or resource, options=options or {}, **changes)
        return Program(data={"resources": {resource: declared}})

    def declared(self, path: str = "bot", /, *, options: object = None, **changes: object) -> dict[str, object]:
        """Return a key as a resource of a program."""
        whole = {"type": words.KEY, "properties": words.outward(self.inputs(path, **changes)), "options": options}
        return {name: value for name, value in whole.items() if value}

    def forget(self, urn: str) -> None:
        """Run `pulumi state delete`."""
        self._done("state", "delete", urn, "--yes")

    def adopt(self, kind: str, resource: str, name: str) -> None:
        """Run `pulumi import`."""
        options = ("--yes", "--skip-preview", "--generate-code=false", "--protect=false")
        self._done("import", kind, resource, name, *options)

    def _prepare(self, program: Program) -> None:
        whole = {"name": self.project, "runtime": "yaml", **(program.data or {})}
        if self.configuration:
            provider = {"type": "pulumi:providers:keyturn", "defaultProvider": True, "properties": self.configuration}
            whole["resources"] = {"settings": provider, **whole.get("resources", {})}
        self._write({"Pulumi.yaml": json.dumps(whole)}, program)

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the state of every resource of ours by name."""
        own = [item for item in self.state() if item["type"] in words.DYNAMIC]
        return {item["urn"].rpartition("::")[2]: item for item in own}
