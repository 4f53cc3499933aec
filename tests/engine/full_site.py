"""A stack on the full provider. One program as data runs in YAML and in TypeScript, so tests can run in both."""

from __future__ import annotations

import json
import os
import shutil
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from keyturn_provider.plugin import words
from tests.engine.harness import Program, Site
from tests.engine.languages import NODE, go_files
from tests.support.go_program import FLAGS, find

if TYPE_CHECKING:
    from collections.abc import Mapping

BOTH = pytest.mark.parametrize("full", ["yaml", "nodejs"], indirect=True)
"""Runs a test in two languages: what it proves may depend on the language's host and SDK."""
PROVIDER = "pulumi:providers:keyturn"


@dataclass
class FullSite(Site):
    """As `Site`, with the full provider.

    The data of a program is a dictionary with the `resources`, `outputs` and `variables` of a program in YAML.
    `configuration` is that of the provider, which is then declared and used by each resource. `host` is the language's.
    """

    LANGUAGE: ClassVar[str]
    host: Path = Path()
    configuration: dict[str, object] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """As of a `Site`; the host is on PATH under its name."""
        named = self.programs / f"pulumi-language-{self.LANGUAGE}"
        if not named.exists():
            named.symlink_to(self.host)
        found = super().environment
        return {**found, "PATH": f"{self.programs}{os.pathsep}{found['PATH']}"}

    @property
    def programs(self) -> Path:
        """The folder of this site that is first on PATH."""
        folder = self.folder / "programs"
        folder.mkdir(exist_ok=True)
        return folder

    def key(
        self, resource: str = "bot", options: str | Mapping[str, object] = "", path: str = "", **changes: object
    ) -> Program:
        """Return a program that declares one key; `options` are the resource's."""
        declared = self.declared(path or resource, options=options or {}, **changes)
        return Program(data={"resources": {resource: declared}})

    def declared(self, path: str = "bot", /, *, options: object = None, **changes: object) -> dict[str, Any]:
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

    def resources(self) -> dict[str, dict[str, Any]]:
        """Return the state of every resource of ours by name."""
        own = [item for item in self.state() if item["type"] in words.DYNAMIC]
        return {item["urn"].rpartition("::")[2]: item for item in own}

    def _prepare(self, program: Program) -> None:
        if program.folder:
            super()._prepare(program)
            return
        whole = dict(program.data or {})
        if self.configuration:
            used = {
                name: {**one, "options": {"provider": "${settings}", **one.get("options", {})}}
                for name, one in whole.get("resources", {}).items()
            }
            whole["resources"] = {"settings": {"type": PROVIDER, "properties": self.configuration}, **used}
        self._write(self._files(whole), program)

    @abstractmethod
    def _files(self, whole: dict[str, Any]) -> dict[str, str]:
        """Return the files of a project by their names."""


class YamlSite(FullSite):
    """Programs in YAML: no SDK, only the schema."""

    LANGUAGE = "yaml"

    def _files(self, whole: dict[str, Any]) -> dict[str, str]:
        return {"Pulumi.yaml": json.dumps({"name": self.project, "runtime": "yaml", **whole})}


@dataclass
class NodeSite(FullSite):
    """Programs in TypeScript: one program declares what its data says, by the generated SDK.

    `modules` are the libraries. The types of the program are checked when they are built, and not at each start.
    """

    LANGUAGE = "nodejs"
    modules: Path = Path()

    def __post_init__(self) -> None:
        """Link the libraries."""
        (self.folder / "node_modules").symlink_to(self.modules)

    @property
    def environment(self) -> dict[str, str]:
        """As of a `FullSite`; types are not checked again."""
        return {**super().environment, "PULUMI_NODEJS_TRANSPILE_ONLY": "true"}

    def _files(self, whole: dict[str, Any]) -> dict[str, str]:
        for name in ("index.ts", "package.json", "tsconfig.json"):
            shutil.copy(NODE / name, self.folder)
        config = whole.pop("config", {})
        project = {"name": self.project, "runtime": "nodejs", "config": config}
        data = {**whole, "secrets": [name for name in config if config[name].get("secret")]}
        return {"Pulumi.yaml": json.dumps(project), "data.json": json.dumps(data)}


class GoSite(FullSite):
    """Programs in Go: one program declares the key `bot` with the inputs of its data, by the generated SDK.

    The host builds it. Its libraries are in Go's cache, where `languages.go_program` has put them.
    """

    LANGUAGE = "go"

    @property
    def environment(self) -> dict[str, str]:
        """As of a `FullSite`, with the compiler and the flags of what is in the cache."""
        found = super().environment
        compiler = Path(find("a program in Go")).parent
        flags = {"GOFLAGS": " ".join(FLAGS), "GOWORK": "off", "CGO_ENABLED": "0"}
        return {**found, **flags, "PATH": f"{found['PATH']}{os.pathsep}{compiler}"}

    def _files(self, whole: dict[str, Any]) -> dict[str, str]:
        bot = whole.get("resources", {}).get("bot", {})
        data = json.dumps(bot.get("properties", {}))
        return {**go_files(), "Pulumi.yaml": json.dumps({"name": self.project, "runtime": "go"}), "data.json": data}
