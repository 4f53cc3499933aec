"""The AWS target with a server: what botocore logs, and what a profile may change."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from keyturn.core.secret import Secret
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TargetContext
from tests.support.moto import Moto


def test_botocore_logs_no_secret_even_when_it_was_told_to(moto: Moto, caplog: pytest.LogCaptureFixture) -> None:
    """`boto3.set_stream_logger` asks for all that is sent and received."""
    secret = Secret("sk-do-example-" + "x" * 40)
    settings: dict[str, object] = {"create": True}
    used = AwsTarget(TargetContext("aws", settings, moto.environment, request=10))
    caplog.set_level(logging.DEBUG)
    level = logging.getLogger("botocore").level
    boto3.set_stream_logger("botocore")
    try:
        used.write("unit/logged", "KEY", secret, None, lambda: None)
        assert used.read("unit/logged", "KEY").secret == secret
    finally:
        logger = logging.getLogger("botocore")
        logger.setLevel(level)
        logger.removeHandler(logger.handlers[-1])
        used.close()
    assert secret.reveal() not in caplog.text


def test_a_profile_cannot_send_credentials_elsewhere(moto: Moto, tmp_path: Path) -> None:
    """An endpoint in the configuration file is ignored; its region and keys are used."""
    config = tmp_path / "config"
    config.write_text(
        "[profile p]\nregion = eu-central-1\naws_access_key_id = a\naws_secret_access_key = b\n"
        "endpoint_url = http://127.0.0.1:1\n"
    )
    environment = {
        name: value for name, value in moto.environment.items() if "KEY" not in name and "REGION" not in name
    }
    used = AwsTarget(TargetContext("aws", {"profile": "p"}, environment | {"AWS_CONFIG_FILE": str(config)}, request=10))
    assert used.list_documents("nothing") == ()
    used.close()


def test_without_boto3_settings_are_known_and_the_extra_is_named() -> None:
    """`validate` works offline without the vendor's library; using the target says what to type."""
    script = """
import sys
from pathlib import Path
sys.modules["boto3"] = None
from keyturn.core.errors import InputError
from keyturn.targets import registry
from keyturn.targets.base import TargetContext
assert "region" in registry.find("aws-secrets-manager").settings_model.model_json_schema()["properties"]
assert "botocore" not in sys.modules
try:
    registry.make("aws-secrets-manager", TargetContext("aws", {}, {}))
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Install keyturn[aws]," in done.stdout
