"""Where AWS credentials may go, what is logged of them, and settings that do not fit."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from keyturn.core.errors import InputError
from keyturn.core.secret import Secret
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TargetContext
from tests.support.moto import Moto


def target(settings: dict[str, object], environment: dict[str, str] | None = None) -> AwsTarget:
    """Make a target; nothing is asked."""
    return AwsTarget(TargetContext("aws", settings, environment or {}))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://secretsmanager.eu-central-1.amazonaws.com",
        "https://secretsmanager-fips.us-east-1.amazonaws.com/",
        "https://secretsmanager.cn-north-1.amazonaws.com.cn",
        "https://secretsmanager.eu-west-1.api.aws",
        "https://vpce-0a1b-2c3d.secretsmanager.eu-central-1.vpce.amazonaws.com",
    ],
)
def test_the_service_s_own_endpoints_need_no_leave(endpoint: str) -> None:
    """Regional, FIPS, dual-stack, private and Chinese ones."""
    target({"endpoint": endpoint})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://secretsmanager.eu-central-1.amazonaws.com.example.com",
        "https://secretsmanager.eu-central-1.amazonaws.com:8443.example.com",
        "https://bucket.s3.amazonaws.com",
        "https://ec2-1-2-3-4.eu-central-1.compute.amazonaws.com",
        "https://vpce-0a1b.vpce-svc-9f8e.eu-central-1.vpce.amazonaws.com",
        "https://x.secretsmanager.eu-central-1.amazonaws.com",
        "http://secretsmanager.eu-central-1.amazonaws.com",
        "http://127.0.0.1:5000",
        "https://user@secretsmanager.eu-central-1.amazonaws.com",
    ],
)
def test_no_other_endpoint_of_a_manifest_gets_a_credential(endpoint: str) -> None:
    """Others below amazonaws.com are anybody's; this machine has to be allowed, too."""
    with pytest.raises(InputError):
        target({"endpoint": endpoint})


def test_an_endpoint_is_allowed_by_the_person_who_runs_keyturn() -> None:
    """By the list, or by AWS's own variables."""
    target({"endpoint": "http://127.0.0.1:5000"}, {"KEYTURN_ALLOWED_ORIGINS": "http://127.0.0.1:5000"})
    target({"endpoint": "http://127.0.0.1:5000"}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"})
    target({"endpoint": "http://127.0.0.1:5000"}, {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:5000"})
    target({}, {"AWS_ENDPOINT_URL": "https://aws.example.com"})
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL"):
        target({}, {"AWS_ENDPOINT_URL": "http://aws.example.com"})
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL_STS"):
        target({}, {"AWS_ENDPOINT_URL_STS": "http://sts.example.com"})


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"region": "evil.example.com/"}, "region"),
        ({"role": "keyturn"}, "role"),
        ({"access_key": "AKIAEXAMPLE"}, "access_key: Extra inputs"),
    ],
)
def test_settings_that_do_not_fit_are_named_without_their_values(settings: dict[str, object], match: str) -> None:
    """Each mistake with its field; a literal credential is not repeated."""
    with pytest.raises(InputError, match=match) as caught:
        target(settings)
    assert "AKIAEXAMPLE" not in str(caught.value)


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
    assert "pip install 'keyturn[aws]'" in done.stdout
