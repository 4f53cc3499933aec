"""What editors and `docs/manifest.md` say about each field: the descriptions that are not beside it, and an example.

The name of a note is `MODEL.FIELD`, as in the schema's `$defs`; `Manifest` is the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """An example of a field, and its description unless the model has one. `beside`: what the example needs there."""

    example: object
    description: str = ""
    beside: Mapping[str, object] = field(default_factory=dict)


_ROTATION = {"strategy": "alternating", "every": "30d", "overlap": "24h"}
_MODEL = "llama3.3-70b-instruct"
_SMOKE = {"model": _MODEL}
_POOL = {"prefix": "spare-", "low": 2}
_UUID_A, _UUID_B = "0f0c3a6e-5b0e-4c0e-9d6b-3f6f1f9c2a10", "7d1a52c4-1c5f-4f57-8a0e-6a1d0a3b9e11"
_WINDOW = {"cron": "0 2 * * SUN", "duration": "2h", "timezone": "Europe/Berlin"}
_DELIVER = [{"target": "vault", "path": "apps/checkout", "field": "API_KEY"}]
_KEY = {"adopt": {"secret": "existing"}, "rotation": _ROTATION, "smoke": _SMOKE, "deliver": _DELIVER}
_VAULT = {"type": "vault", "address": "https://vault.example.com:8200"}
_FREEZE = {"from": "2026-12-18T18:00:00+01:00", "until": "2027-01-04T08:00:00+01:00", "reason": "year end"}
_COMMAND = ["/usr/local/bin/restart-bot", "checkout"]
_RECEIVERS = {"Webhook": "webhook", "Slack": "slack", "Command": "command", "DeadMan": "dead-man"}

NOTES: Final[Mapping[str, Note]] = {
    "Manifest.apiVersion": Note("keyturn/v1", "Version of the format."),
    "Manifest.name": Note("platform-keys"),
    "Manifest.targets": Note({"vault": _VAULT}, "Stores of secrets, by a name that deliveries use."),
    "Manifest.records": Note({"target": "vault", "prefix": "keyturn"}),
    "Manifest.defaults": Note(
        {"rotation": _ROTATION, "smoke": _SMOKE},
        "Values for every key that does not have its own. They are merged field by field; lists replace.",
    ),
    "Manifest.pool": Note(_POOL),
    "Manifest.keys": Note({"checkout-bot": _KEY}, "The keys, by a stable id. Never change an id: it names the record."),
    "Manifest.limits": Note({"rotations_per_run": 20}, "Limits of one run."),
    "Manifest.timing": Note({"delivery": "10m"}, "Limits on waiting times."),
    "Manifest.freeze": Note([_FREEZE]),
    "Manifest.notify": Note([{"type": "slack", "name": "ops"}]),
    "FreezeEntry.from": Note(_FREEZE["from"]),
    "FreezeEntry.until": Note(_FREEZE["until"]),
    "FreezeEntry.reason": Note(_FREEZE["reason"]),
    "RecordsEntry.target": Note("vault"),
    "RecordsEntry.prefix": Note("keyturn", "Path below which the records are."),
    "Defaults.rotation": Note(_ROTATION, "How and when keys rotate."),
    "Defaults.smoke": Note(_SMOKE, "How secrets are tested."),
    "Defaults.clean_targets": Note(example=True, description="Default of `clean_targets` of each key."),
    "Defaults.pool": Note(_POOL),
    "KeyEntry.name": Note("checkout-bot-prod"),
    "KeyEntry.state": Note(
        "absent", "`absent` deletes the API keys and empties the deliveries; each delete needs the operator's consent."
    ),
    "KeyEntry.adopt": Note({"secret": "existing"}, "Consent to take over API keys that exist under this name or uuid."),
    "KeyEntry.deliver": Note(_DELIVER),
    "KeyEntry.rotation": Note(_ROTATION, "How and when the key rotates. Without it: in-place, on demand only."),
    "KeyEntry.smoke": Note(_SMOKE, "How a secret is tested before and after it is delivered."),
    "KeyEntry.clean_targets": Note(example=False),
    "KeyEntry.pool": Note(_POOL),
    "Defaults.after_delivery": Note({"command": _COMMAND}),
    "KeyEntry.after_delivery": Note({"command": _COMMAND}),
    "KeyEntry.moved": Note({"from": "shop-bot"}, "The key had another id before: its record and history go on."),
    "MovedEntry.from": Note("shop-bot"),
    "HookEntry.command": Note(_COMMAND),
    "HookEntry.timeout": Note("1m"),
    **{f"{kind}Entry.type": Note(word, "The kind of receiver.") for kind, word in _RECEIVERS.items()},
    **{f"{kind}Entry.name": Note("ops") for kind in _RECEIVERS},
    **{f"{kind}Entry.on": Note(["failed", "parked"]) for kind in _RECEIVERS},
    **{f"{kind}Entry.url": Note("https://hooks.example.com/keyturn") for kind in _RECEIVERS},
    "CommandEntry.command": Note(["/usr/local/bin/tell-ops"]),
    "AdoptEntry.secret": Note(
        "existing",
        "`existing`: keep the present secret, which a delivery has to hold. `regenerate`: make a new one at the first "
        "apply; the present one dies.",
    ),
    "AdoptEntry.a": Note(_UUID_A),
    "AdoptEntry.b": Note(_UUID_B),
    "AdoptEntry.live": Note("a", beside={"a": _UUID_A, "b": _UUID_B}),
    "DeliverEntry.target": Note("vault"),
    "DeliverEntry.path": Note(
        "apps/checkout", "Path in the target: segments of letters, digits and _ . @ = + - with / between them."
    ),
    "DeliverEntry.field": Note("API_KEY"),
    "RotationEntry.strategy": Note(
        "alternating",
        "`in-place`: one API key; consumers are refused until they read the new secret. `alternating`: two API keys in "
        "turn, without an outage. Required with `every`.",
    ),
    "RotationEntry.every": Note("30d", beside={"strategy": "alternating"}),
    "RotationEntry.overlap": Note("24h", beside={"strategy": "alternating"}),
    "RotationEntry.window": Note(_WINDOW, "When a scheduled rotation may start. Without it: at any time."),
    "WindowEntry.cron": Note("0 2 * * SUN"),
    "WindowEntry.duration": Note("2h", "How long the window stays open."),
    "WindowEntry.timezone": Note("Europe/Berlin"),
    "SmokeEntry.model": Note(_MODEL),
    "SmokeEntry.api": Note("responses", "Which call the test completion uses."),
    "SmokeEntry.expect_models": Note([_MODEL]),
    "SmokeEntry.from": Note("skip"),
    "PoolEntry.prefix": Note("spare-"),
    "PoolEntry.low": Note(2),
    "LimitsEntry.rotations_per_run": Note(
        5, "Scheduled rotations, adoptions and heals of one run. More are deferred to the next one, or need consent."
    ),
    "TimingEntry.delivery": Note("10m", "How long a run tries to deliver a new secret before it gives up."),
    "TimingEntry.settle": Note(
        "30s", "How long a request without an answer may still take effect. At least `request`."
    ),
    "TimingEntry.lease": Note("2m", "How long a run owns a key without renewing. At least `request` plus `settle`."),
    "TimingEntry.propagation": Note("1m", "How long a new secret may be refused before that counts."),
    "TimingEntry.request": Note("20s", "Deadline of one request."),
    "TargetEntry.type": Note("vault"),
    "vault.type": Note("vault", "HashiCorp Vault or OpenBao, a KV engine of version 2."),
    "vault.address": Note("https://vault.example.com:8200"),
    "vault.mount": Note("secret"),
    "vault.namespace": Note("team-a"),
    "vault.ca_cert": Note("ca.pem"),
    "vault.auth": Note({"method": "kubernetes", "role": "keyturn"}),
    "vault.AuthSettings.method": Note("approle"),
    "vault.AuthSettings.role": Note("keyturn", beside={"method": "jwt"}),
    "vault.AuthSettings.mount": Note("github", beside={"method": "jwt"}),
    "vault.AuthSettings.env_prefix": Note("SECOND_"),
    "aws-secrets-manager.type": Note("aws-secrets-manager", "AWS Secrets Manager."),
    "aws-secrets-manager.region": Note("eu-central-1"),
    "aws-secrets-manager.profile": Note("platform"),
    "aws-secrets-manager.role": Note("arn:aws:iam::123456789012:role/keyturn"),
    "aws-secrets-manager.endpoint": Note("https://secretsmanager-fips.us-east-1.amazonaws.com"),
    "aws-secrets-manager.create": Note(example=True),
    "aws-secrets-manager.kms_key": Note("alias/keyturn"),
    "do-secrets.type": Note("do-secrets", "DigitalOcean Secrets Manager, which is not generally available."),
    "do-secrets.region": Note("nyc3"),
    "do-secrets.preview": Note(example=True),
    "onepassword.type": Note("onepassword", "A vault that a 1Password service account may use."),
    "onepassword.vault": Note("abcdefghijklmnopqrstuvwxyz"),
    "onepassword.auth": Note({"env_prefix": "SECOND_"}),
    "onepassword.AuthSettings.env_prefix": Note("SECOND_"),
    "onepassword-connect.type": Note("onepassword-connect", "A vault behind a 1Password Connect server."),
    "onepassword-connect.host": Note("https://connect.example.com:8080"),
    "onepassword-connect.vault": Note("Platform"),
    "onepassword-connect.create": Note(example=True),
    "onepassword-connect.ca_cert": Note("ca.pem"),
    "onepassword-connect.auth": Note({"env_prefix": "SECOND_"}),
    "onepassword-connect.AuthSettings.env_prefix": Note("SECOND_"),
    "kubernetes.type": Note("kubernetes", "The Secrets of a Kubernetes cluster."),
    "kubernetes.address": Note("https://kubernetes.example.com:6443"),
    "kubernetes.namespace": Note("apps"),
    "kubernetes.writers": Note({"checkout#API_KEY": "checkout-bot"}),
    "app-platform.type": Note("app-platform", "Variables of apps in App Platform."),
    "github-secrets.type": Note("github-secrets", "Secrets of GitHub."),
    "github-secrets.address": Note("https://api.github.com"),
    "github-secrets.family": Note("dependabot"),
    "github-secrets.visibility": Note("selected"),
    "github-secrets.auth": Note({"method": "app"}),
    "github-secrets.AuthSettings.method": Note("app"),
    "dotenv.type": Note("dotenv", "A directory of files."),
    "dotenv.root": Note("./secrets"),
    "dotenv.format": Note("json"),
}


def annotate(schema: Json) -> Json:
    """Return the schema with a description and an example for each field, and without what says nothing.

    Generated titles are taken out, and defaults that mean "not given".
    """
    result: Json = _without_titles(schema)
    for name, properties in models(result):
        for title, one in properties.items():
            note = NOTES.get(f"{name}.{title}")
            if note:
                one["description"] = note.description or one.get("description", "")
                one["examples"] = [note.example]
            if one.get("default", 0) in (None, "", {}):
                del one["default"]
    return result


def models(schema: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the name of each object of the schema, and its fields: first the top, then the `$defs`."""
    yield "Manifest", schema.get("properties", {})
    for name, one in schema["$defs"].items():
        choices = [choice for choice in one.get("anyOf", ()) if "properties" in choice]
        yield name, (choices[-1] if choices else one).get("properties", {})


def _without_titles(node: Any) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {name: value for name, value in node.items() if name != "title" or not isinstance(value, str)}
    return {name: _without_titles(value) for name, value in kept.items()}
