"""A stack with house rules: `policy.install()` before the first resource, in every program of the organisation."""

import policy
import pulumi

from pulumi_keyturn import ModelAccessKey

policy.install()
config = pulumi.Config()

key = ModelAccessKey(
    "report-bot",
    targets={"vault": {"type": "vault", "address": config.require("vaultAddress"), "mount": "secret"}},
    deliver=[{"target": "vault", "path": "apps/report/inference", "field": "MODEL_ACCESS_KEY"}],
    adopt={"secret": "regenerate"},
    name="report-bot",
    rotation={"strategy": "in-place", "every": config.get("every") or "30d"},
    smoke={"model": config.get("model") or "llama3.3-70b-instruct"},
    expose_secret=config.get_bool("expose") or False,
)

pulumi.export("deliveries", key.deliveries)
