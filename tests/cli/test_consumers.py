"""What was delivered is what clients need: each program of `examples/consumers` reads it and gets an answer."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyturn.sandbox import Sandbox
from tests.contract.place_vault import login_with
from tests.support.connect import Connect
from tests.support.moto import Moto
from tests.support.openbao import OpenBao
from tests.support.process import bare_environment, run

EXAMPLES = Path(__file__).parents[2] / "examples/consumers"
ARGUMENTS = {"stdlib_from_dotenv.py": "secrets/report.env", "fal_from_do_secrets.py": "report-inference"}
"""Of the programs that do not take the path."""
PICTURE = "1 image/png"
"""What the program with a fal model prints; the others print `pong`."""


@dataclass
class Office:
    """The manifest with its five targets; what keyturn may, and what each consumer may: to read, and nothing else."""

    folder: Path
    sandbox: Sandbox
    path: str
    keyturn_may: Mapping[str, str]
    consumers: Mapping[str, Mapping[str, str]]

    def keyturn(self, *args: str) -> None:
        """Run keyturn to its good end."""
        environment = bare_environment(**self.keyturn_may, **self.sandbox.exports)
        done = run([sys.executable, "-m", "keyturn.cli", *args], env=environment, cwd=self.folder, seconds=120)
        assert done.returncode == 0, done.stderr

    def answers(self) -> dict[str, str]:
        """Return what each program prints, the error where it fails."""
        printed = {}
        for program, variables in self.consumers.items():
            argument = ARGUMENTS.get(program, self.path)
            environment = bare_environment(INFERENCE_URL=self.sandbox.url, **variables)
            done = run([sys.executable, EXAMPLES / program, argument], env=environment, cwd=self.folder)
            printed[program] = done.stdout.strip() or done.stderr
        return printed


@pytest.fixture
def office(tmp_path: Path, openbao: OpenBao, moto: Moto) -> Iterator[Office]:
    """All servers running, and nothing delivered yet."""
    path = f"consumers-{uuid.uuid4().hex[:12]}/report/inference"
    text = (EXAMPLES / "keyturn.yaml").read_text().replace("path: apps/report/inference", f"path: {path}")
    prefix = f"{path.partition('/')[0]}/records"
    (tmp_path / "keyturn.yaml").write_text(f"{text}\nrecords: {{target: vault, prefix: {prefix}}}\n")
    (tmp_path / "secrets").mkdir()
    with Sandbox() as sandbox, Connect() as connect:
        vault = connect.vault("Platform")
        policy = f'path "secret/data/{path}" {{ capabilities = ["read"] }}'
        yield Office(
            tmp_path,
            sandbox,
            path,
            {
                "KEYTURN_VAULT": openbao.address,
                "VAULT_ADDR": openbao.address,
                "VAULT_TOKEN": openbao.root_token,
                "KEYTURN_OP": connect.address,
                "OP_CONNECT_HOST": connect.address,
                "OP_CONNECT_TOKEN": connect.token({vault: "rw"}),
                **moto.environment,
                "KEYTURN_ALLOWED_PLACES": "do-secrets=nyc3/*",
            },
            {
                "openai_from_vault.py": {"VAULT_ADDR": openbao.address, "VAULT_TOKEN": login_with(openbao, policy)},
                "http_from_aws.py": {**moto.environment, "AWS_DEFAULT_REGION": moto.environment["AWS_REGION"]},
                "gradient_from_1password.py": {
                    "OP_CONNECT_HOST": connect.address,
                    "OP_CONNECT_TOKEN": connect.token({vault: "r"}),
                },
                "stdlib_from_dotenv.py": {},
                "fal_from_do_secrets.py": {
                    "API_URL": sandbox.url,
                    "DIGITALOCEAN_TOKEN": sandbox.add_token(scopes=["security:read"]).value,
                },
            },
        )


def test_every_program_is_run() -> None:
    """None of the folder is left out, and the list in the README is complete."""
    programs = {file.name for file in EXAMPLES.glob("*.py")}
    assert len(programs) == 5
    assert all(f"`{program} " in (EXAMPLES / "README.md").read_text() for program in programs)


def test_every_consumer_gets_a_completion_before_and_after_a_rotation(office: Office) -> None:
    """From all five targets, with the right to read alone; the new secret as well as the first."""
    office.sandbox.panel_create("report-bot")
    office.keyturn("apply", "--yes")
    assert {file.name for file in EXAMPLES.glob("*.py")} == office.consumers.keys()
    expected = {**dict.fromkeys(office.consumers, "pong"), "fal_from_do_secrets.py": PICTURE}
    assert office.answers() == expected
    office.keyturn("rotate", "report-bot", "--yes", "--format", "json")
    assert office.answers() == expected
    died = [secret.died_at for secret in office.sandbox.state.secrets.values()]
    assert [died_at is None for died_at in died] == [False, False, True]


def test_a_consumer_that_holds_an_old_secret_is_refused(office: Office) -> None:
    """So a completion does prove that the secret was the right one."""
    stale = json.dumps(office.sandbox.panel_create("report-bot").secret)
    office.keyturn("apply", "--yes")
    (office.folder / "secrets/report.env").write_text(f"MODEL_ACCESS_KEY={stale}\n")
    assert "401" in office.answers()["stdlib_from_dotenv.py"]
