"""`keyturn sandbox` as a process: its options reach the account."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

import keyturn

OPTIONS = (
    *("--port", "0", "--token", "mine", "--seed", "1", "--secret-prefix", "mixed", "--openai-errors"),
    *("--tier-denied", "openai-gpt-5-pro", "--tier-denied", "openai-gpt-oss-20b"),
    *("--deployment", "30s"),
    *("--retired-model", "anthropic-claude-haiku-4.5"),
    *("--quota", "exceeded", "--balance", "blocked", "--balance-status", "403"),
)


def test_every_option_is_a_setting() -> None:
    """What the command line says is what the running sandbox tells of itself."""
    with subprocess.Popen(
        [Path(sys.executable).with_name("keyturn"), "sandbox", *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(keyturn.__file__).parents[1])},
    ) as child:
        try:
            assert child.stdout is not None
            exports = dict(child.stdout.readline().removeprefix("export ").strip().split("=", 1) for _ in range(3))
            url = exports["KEYTURN_API_URL"]
            settings = httpx.get(f"{url}/_sandbox/settings", trust_env=False).json()
            made = [
                httpx.post(f"{url}/_sandbox/keys", json={"name": "bot"}, trust_env=False).json()["secret"]
                for _ in range(2)
            ]
            child.terminate()
            child.communicate(timeout=10)
        finally:
            child.kill()
    assert exports["DIGITALOCEAN_TOKEN"] == "mine"
    assert settings["tier_denied"] == ["openai-gpt-5-pro", "openai-gpt-oss-20b"]
    assert settings["deployment"] == 30
    assert settings["retired"] == ["anthropic-claude-haiku-4.5"]
    assert [settings[name] for name in ("quota", "balance", "balance_status")] == ["exceeded", "blocked", 403]
    assert settings["openai_errors"] is True
    assert [secret.startswith("doo_v1_") for secret in made] == [False, True]
