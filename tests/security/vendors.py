"""The targets behind a server, on a server that answers whatever a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyturn.core.secret import Secret
from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import Target, TargetContext, unguarded
from keyturn.targets.do_secrets import DoSecretsTarget
from keyturn.targets.onepassword import OnePasswordTarget
from keyturn.targets.vault import VaultTarget

NEW = Secret("sk-do-" + "new" * 20)
"""What is written. No message may repeat it."""


def _context(request: float, environment: Mapping[str, str], **settings: object) -> TargetContext:
    return TargetContext(name="t", settings=settings, environment=environment, request=request)


def vault(address: str, request: float) -> Target:
    """A Vault at this address. `request` is the deadline in seconds."""
    environment = {"VAULT_ADDR": address, "VAULT_TOKEN": "hvs.of-the-tests"}
    return VaultTarget(_context(request, environment, address=address))


def connect(address: str, request: float) -> Target:
    """A 1Password Connect server at this address. `request` is the deadline in seconds."""
    environment = {"OP_CONNECT_HOST": address, "OP_CONNECT_TOKEN": "eyJ.of.the-tests"}
    return OnePasswordTarget(_context(request, environment, host=address, vault="v", create=True))


def aws(address: str, request: float) -> Target:
    """AWS Secrets Manager at this address. `request` is the deadline in seconds."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": address,
    }
    return AwsTarget(_context(request, environment, create=True))


def digitalocean(address: str, request: float) -> Target:
    """DigitalOcean Secrets Manager at this address. `request` is the deadline in seconds."""
    environment = {"KEYTURN_API_URL": address, "DIGITALOCEAN_TOKEN": "dop_v1_of-the-tests"}
    return DoSecretsTarget(_context(request, environment, region="nyc3", preview=True))


VENDORS: Mapping[str, Callable[[str, float], Target]] = {
    "vault": vault,
    "connect": connect,
    "aws": aws,
    "digitalocean": digitalocean,
}


def uses(target: Target) -> Mapping[str, Callable[[], object]]:
    """Return every use of a target that sends requests."""
    found: dict[str, Callable[[], object]] = {
        "read": lambda: target.read("app", "KEY"),
        "write": lambda: target.write("app", "KEY", NEW, None, unguarded),
        "remove": lambda: target.remove("app", "KEY", NEW, unguarded),
        "preflight": lambda: target.preflight("app", "KEY"),
    }
    if target.capabilities.documents:
        found |= {
            "read a document": lambda: target.read_document("keyturn/x"),
            "write a document": lambda: target.write_document("keyturn/x", "{}", "0", unguarded),
            "list documents": lambda: target.list_documents("keyturn"),
            "check documents": lambda: target.check_documents("keyturn"),
        }
    return found
