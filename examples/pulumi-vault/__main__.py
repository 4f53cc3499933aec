"""A key beside the service that uses it: the secret goes to the vault, the service gets only the reference."""

from collections.abc import Mapping

import pulumi

from pulumi_keyturn import ModelAccessKey, SmokeCheck

config = pulumi.Config()
targets = {"vault": {"type": "vault", "address": config.require("vaultAddress"), "mount": "secret"}}
smoke = {"model": config.get("model") or "llama3.3-70b-instruct"}

key = ModelAccessKey(
    "checkout-bot",
    name="checkout-bot-prod",
    # Takes over the key of that name if there is one, and replaces its secret.
    adopt={"secret": "regenerate"},
    targets=targets,
    deliver=[{"target": "vault", "path": "apps/checkout/inference", "field": "MODEL_ACCESS_KEY"}],
    rotation={"strategy": "in-place", "every": "90d"},
    # `pulumi config set rotate "$(date)"` and the next up rotates.
    rotation_trigger=config.get("rotate"),
    smoke=smoke,
)

# The up fails if the delivered secret is refused; checked again after each rotation, and once a day.
SmokeCheck("checkout-bot-works", targets=targets, smoke=smoke, deliveries=key.deliveries, every="1d")


def external_secret(place: Mapping[str, str]) -> dict[str, object]:
    """Return the resource for the External Secrets operator: a reference to the secret, not its value."""
    remote = {"key": place["path"], "property": place["field"]}
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {"name": "checkout-inference"},
        "spec": {
            "secretStoreRef": {"name": place["target"]},
            "refreshInterval": "1m",
            "data": [{"secretKey": "MODEL_ACCESS_KEY", "remoteRef": remote}],
        },
    }


pulumi.export("externalSecret", key.deliveries[0].apply(external_secret))
# Restarts the service when the secret changes, and reveals nothing of it.
pulumi.export("secretDigest", key.digest)
pulumi.export("nextRotation", key.next_rotation_at)
