"""Where credentials may go, through the command line: `validate` needs no environment, `plan` sends nothing unasked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from keyturn.sandbox import Sandbox
from tests.support.process import bare_environment, run
from tests.support.raw_http import RawServer, reply

KEYTURN = (sys.executable, "-m", "keyturn.cli")


def test_what_init_writes_is_valid_in_a_bare_environment(tmp_path: Path) -> None:
    """The first two commands of a newcomer; the second says what `plan` will need, and `-q` leaves that out."""
    assert run([*KEYTURN, "init"], env=bare_environment(), cwd=tmp_path).returncode == 0
    done = run([*KEYTURN, "validate"], env=bare_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "platform-keys: 1 key, 1 target. OK.\n"
    assert (
        "keyturn.yaml:10:14: targets.vault.address: no credential may be sent to http://127.0.0.1:8200" in done.stderr
    )
    assert "export VAULT_ADDR=http://127.0.0.1:8200\n" in done.stderr
    assert run([*KEYTURN, "validate", "-q"], env=bare_environment(), cwd=tmp_path).stderr == ""
    consent = bare_environment(VAULT_ADDR="http://127.0.0.1:8200")
    assert run([*KEYTURN, "validate"], env=consent, cwd=tmp_path).stderr == ""


MANIFEST = """
apiVersion: keyturn/v1
name: elsewhere
targets: {{there: {target}}}
records: {{target: local}}
keys:
  bot:
    adopt: {{secret: regenerate}}
    rotation: {{strategy: in-place, every: 90d}}
    smoke: {{model: llama3.3-70b-instruct}}
    deliver: [{{target: there, path: apps/bot, field: KEY}}]
"""
KINDS = {
    "VAULT_ADDR": '{{type: vault, address: "{url}"}}',
    "OP_CONNECT_HOST": '{{type: onepassword-connect, host: "{url}", vault: Platform}}',
    "AWS_ENDPOINT_URL": '{{type: aws-secrets-manager, region: eu-central-1, endpoint: "{url}"}}',
}
CREDENTIALS = {
    "VAULT_TOKEN": "hvs.example",
    "OP_CONNECT_TOKEN": "eyJexample",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
}


@pytest.mark.parametrize("variable", KINDS)
@pytest.mark.parametrize("command", [["plan"], ["apply", "--yes"]])
def test_without_consent_nothing_is_sent(variable: str, command: list[str], tmp_path: Path) -> None:
    """Neither to the address nor to the API: exit code 3 and what to type. With consent the same address is asked."""
    server = RawServer(reply(500, "{}"))
    with server, Sandbox() as sandbox:
        sandbox.panel_create("bot")
        target = KINDS[variable].format(url=server.url)
        (tmp_path / "keyturn.yaml").write_text(MANIFEST.format(target=target))
        environment = bare_environment(**sandbox.exports, **CREDENTIALS)
        assert run([*KEYTURN, "validate"], env=environment, cwd=tmp_path).returncode == 0
        refused = run([*KEYTURN, *command], env=environment, cwd=tmp_path)
        assert refused.returncode == 3, refused.stderr
        assert f"export {variable}={server.url}" in refused.stderr
        assert (len(sandbox.requests), len(server.requests)) == (0, 0)
        assert not (tmp_path / ".keyturn").exists()
        if command == ["plan"]:
            run([*KEYTURN, *command], env={**environment, variable: server.url}, cwd=tmp_path)
            assert len(server.requests) > 0
