"""Rotation without an outage: two API keys take turns, and every delivery holds the secret of the live one.

The API no longer creates keys. Make `chat-bot-a` and `chat-bot-b` in the control panel first; their secrets need not be
copied. An up rotates when the secret is 30 days old, in the night from Saturday to Sunday only; the first up after the
overlap kills the old secret.
"""

import pulumi

from pulumi_keyturn import ModelAccessKey

config = pulumi.Config()

key = ModelAccessKey(
    "chat-bot",
    {
        "name": "chat-bot",
        "adopt": {"secret": "regenerate"},
        "targets": {"vault": {"type": "vault", "address": config.require("vaultAddress"), "mount": "secret"}},
        "deliver": [
            {"target": "vault", "path": "apps/chat/web", "field": "MODEL_ACCESS_KEY"},
            {"target": "vault", "path": "apps/chat/worker", "field": "OPENAI_API_KEY"},
        ],
        "rotation": {
            "strategy": "alternating",
            "every": "30d",
            "overlap": "24h",
            "window": {"cron": "0 2 * * SUN", "duration": "2h", "timezone": "Europe/Berlin"},
        },
        "rotation_trigger": config.get("rotate"),
        "smoke": {"model": config.get("model") or "llama3.3-70b-instruct"},
        # The keys outlive the stack, for consumers that still use them.
        "on_delete": "retain",
    },
    # Protects the stack against an accidental destroy.
    pulumi.ResourceOptions(protect=config.get_bool("protect")),
)

pulumi.export("liveKey", key.uuid)
pulumi.export("oldSecretDies", key.retire_at)
pulumi.export("deliveries", key.deliveries)
