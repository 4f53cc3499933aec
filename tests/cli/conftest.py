"""A stage for the command line: a sandbox, a path of its own in the shared OpenBao, and a manifest between them."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from keyturn.cli import main
from keyturn.sandbox import Sandbox
from tests.real.run import ForkServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.openbao import OpenBao

ROOT = Path(__file__).parent.parent.parent
QUICKSTART = ROOT / "examples/quickstart/keyturn.yaml"


@dataclass
class Stage:
    """A folder with the quickstart's manifest, its servers, and all that the commands have printed so far."""

    folder: Path
    sandbox: Sandbox
    openbao: OpenBao
    prefix: str
    variables: dict[str, str]
    printed: list[str] = field(default_factory=list)

    @property
    def manifest(self) -> Path:
        """The manifest's file."""
        return self.folder / "keyturn.yaml"

    def make_keys(self, *names: str) -> None:
        """Make keys in the control panel, by default those of the quickstart."""
        for name in names or ("checkout-bot-a", "checkout-bot-b", "report-bot"):
            self.sandbox.panel_create(name)

    def edit(self, before: str, after: str) -> None:
        """Change the manifest."""
        text = self.manifest.read_text()
        assert before in text
        self.manifest.write_text(text.replace(before, after))

    def run(self, *args: str, code: int | None = 0, stdin: str = "") -> Result:
        """Run a command in this process; `code` is the exit code that it has to have, None for any."""
        result = CliRunner().invoke(main, args, input=stdin, prog_name="keyturn")
        self.printed += [result.stdout, result.stderr]
        if code is not None:
            assert result.exit_code == code, (args, result.exit_code, result.stdout, result.stderr)
        return result

    def json(self, *args: str, code: int | None = 0, stdin: str = "") -> Any:  # noqa: ANN401 - a JSON value
        """Run a command with `--format json` and return its document."""
        return json.loads(self.run(*args, "--format", "json", code=code, stdin=stdin).stdout)

    def alive(self, secret: str) -> bool:
        """Tell whether a secret has neither been replaced nor deleted."""
        return self.sandbox.state.secrets[secret].died_at is None

    def delivered(self, bot: str = "checkout") -> str | None:
        """Return what a consumer reads."""
        found: dict[str, Any] = self.openbao.call("GET", f"secret/data/{self.prefix}/{bot}")["data"]  # type: ignore[assignment]
        value = found["data"].get("MODEL_ACCESS_KEY")
        return value if value is None else str(value)


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """What starts commands as processes in no time."""
    with ForkServer(tmp_path_factory.mktemp("nursery")) as found:
        yield found


@pytest.fixture
def stage(tmp_path: Path, openbao: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """The quickstart with its servers running and nothing done yet; the working directory is its folder."""
    prefix = f"cli-{uuid.uuid4().hex[:12]}"
    text = QUICKSTART.read_text()
    text = re.sub(r"path: apps/(\w+)/inference", rf"path: {prefix}/\1", text)
    text = text.replace("\nkeys:\n", f"\nrecords: {{target: vault, prefix: {prefix}/records}}\n\nkeys:\n")
    (tmp_path / "keyturn.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with Sandbox() as sandbox:
        variables = {
            **sandbox.exports,
            "VAULT_ADDR": openbao.address,
            "VAULT_TOKEN": openbao.root_token,
            "KEYTURN_VAULT": openbao.address,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield Stage(tmp_path, sandbox, openbao, prefix, variables)
