"""Where a target's credential may go."""

from __future__ import annotations

import pytest

from keyturn.core.errors import InputError, ManifestError
from keyturn.manifest import load_text
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import NoConsent, TargetContext, check_origins, origin_mistakes


def check(address: str, own: str = "", *allowed: str) -> None:
    """Check an address against VAULT_ADDR and the allowed origins."""
    environment = {"VAULT_ADDR": own, "KEYTURN_ALLOWED_ORIGINS": ",".join(allowed)}
    context = TargetContext(name="v", settings={}, environment=environment)
    check_origins(origin_mistakes("address", address, ("VAULT_ADDR",), environment, "vault"), context)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://vault.example.com", "https://vault.example.com:443/"),
        ("https://VAULT.example.com:8200/", "https://vault.example.com:8200"),
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200/v1"),
        ("http://localhost:8200", "http://localhost:8200"),
        ("http://[::1]:8200", "http://[::1]:8200"),
    ],
)
def test_the_variable_s_own_origin_may_have_it(address: str, own: str) -> None:
    """However the two are spelled."""
    check(address, own)


def test_an_allowed_origin_may_have_it() -> None:
    """With or without the vendor's variable."""
    check("https://eu.example.com", "", "vault=https://eu.example.com:443")
    check("https://eu.example.com", "https://us.example.com", "vault=https://EU.example.com/")


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://evil.example.com", "https://vault.example.com"),
        ("https://vault.example.com:8201", "https://vault.example.com:8200"),
        ("https://vault.example.com.evil.example.com", "https://vault.example.com"),
        ("https://vault.example.com", "http://localhost"),
        ("https://vault.example.com", ""),
    ],
)
def test_any_other_origin_is_refused(address: str, own: str) -> None:
    """Exit code 3; the words say what to set."""
    line = r"KEYTURN_ALLOWED_ORIGINS='vault=https://[a-z.]+:\d+'" if own else r"VAULT_ADDR=https://[a-z.]+:\d+"
    said = f"^target v, address: no credential may be sent to.*type: export {line}$"
    with pytest.raises(NoConsent, match=said) as caught:
        check(address, own)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.com",
        "http://127.0.0.1.example.com",
        "https://user:pass-word@vault.example.com",
        "https://vault.example.com/v1",
        "https://vault.example.com?x=pass-word",
        "https://vault.example.com#x",
        "https://vault.example.com\\@evil.example.com",
        "ftp://vault.example.com",
        "vault.example.com:8200",
        "https://",
        "",
        "https://[::1",
        "https://vault.example.com:99999",
    ],
)
def test_an_address_that_is_no_bare_origin_is_refused(address: str) -> None:
    """Even where VAULT_ADDR says the same; what may be a password in it is not repeated."""
    with pytest.raises(InputError) as caught:
        check(address, address, "vault=https://vault.example.com")
    assert "pass-word" not in str(caught.value)
    assert not isinstance(caught.value, NoConsent)


@pytest.mark.parametrize("environment", [{"VAULT_ADDR": "nonsense"}, {"KEYTURN_ALLOWED_ORIGINS": "nonsense"}])
def test_an_environment_that_cannot_be_read_allows_nothing(environment: dict[str, str]) -> None:
    """The variable is named; only the environment can fix that."""
    [mistake] = origin_mistakes("address", "https://vault.example.com", ("VAULT_ADDR",), environment)
    assert isinstance(mistake, NoConsent)
    assert f"the variable {next(iter(environment))}" in str(mistake)


OWN = "https://vpce-0a1b-2c3d.secretsmanager.eu-central-1.vpce.amazonaws.com"


@pytest.mark.parametrize(
    ("endpoint", "environment", "allowed"),
    [
        ("", {}, True),
        (OWN, {}, True),
        (OWN, {"AWS_ENDPOINT_URL": "https://aws.example.com"}, True),
        (f"{OWN}/path", {}, False),
        (OWN.replace("https", "http"), {}, False),
        ("https://secretsmanager.eu-central-1.amazonaws.com.example.com", {}, False),
        ("https://bucket.s3.amazonaws.com", {}, False),
        ("https://aws.example.com", {}, False),
        ("https://aws.example.com", {"AWS_ENDPOINT_URL": "https://aws.example.com"}, True),
        ("https://aws.example.com", {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://aws.example.com"}, True),
        ("https://aws.example.com", {"AWS_ENDPOINT_URL_STS": "https://aws.example.com"}, False),
        ("https://aws.example.com", {"KEYTURN_ALLOWED_ORIGINS": "aws=https://aws.example.com"}, True),
        ("https://aws.example.com", {"KEYTURN_ALLOWED_ORIGINS": "vault=https://aws.example.com"}, False),
        ("", {"AWS_ENDPOINT_URL": "http://aws.example.com"}, False),
        ("", {"AWS_ENDPOINT_URL_STS": "http://aws.example.com"}, False),
        ("", {"AWS_ENDPOINT_URL": "nonsense"}, False),
    ],
)
def test_the_manifest_and_the_target_agree_about_aws(endpoint: str, environment: dict[str, str], allowed: bool) -> None:
    """Its own endpoints need no permission; the environment allows others. Both ask one rule."""
    setting = f', endpoint: "{endpoint}"' if endpoint else ""
    text = f"""
apiVersion: keyturn/v1
name: x
targets: {{aws: {{type: aws-secrets-manager, region: eu-central-1{setting}}}}}
keys: {{}}
"""
    settings = {"region": "eu-central-1", **({"endpoint": endpoint} if endpoint else {})}
    context = TargetContext(name="aws", settings=settings, environment=environment)
    if allowed:
        assert load_text(text, "k.yaml", environment).targets[0].settings == settings
        AwsTarget(context).close()
        return
    with pytest.raises(ManifestError) as read:
        load_text(text, "k.yaml", environment)
    with pytest.raises(InputError) as opened:
        AwsTarget(context)
    first = read.value.mistakes[0]
    assert first.path == "targets.aws.endpoint"
    assert str(opened.value) == f"target aws, endpoint: {first.text}"
