"""Where AWS credentials may go, what is logged of them, and settings that do not fit."""

from __future__ import annotations

import pytest

from keyturn.core.errors import InputError
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TargetContext


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
    target({"endpoint": "http://127.0.0.1:5000"}, {"KEYTURN_ALLOWED_ORIGINS": "aws=http://127.0.0.1:5000"})
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
