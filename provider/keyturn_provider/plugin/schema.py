"""The schema of the package: what SDKs, YAML programs and `pulumi package` know of the provider."""

from __future__ import annotations

import json
from collections.abc import Mapping

from keyturn_provider.plugin import functions, words

Properties = dict[str, dict[str, object]]

STRING: Mapping[str, object] = {"type": "string"}
ANYTHING: Mapping[str, object] = {"$ref": "pulumi.json#/Any"}
TARGETS: Mapping[str, object] = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": ANYTHING},
}


def _text(description: str, **more: object) -> dict[str, object]:
    return {**STRING, "description": description, **more}


def _flag(description: str) -> dict[str, object]:
    return {"type": "boolean", "description": description}


def _of(kind: str, description: str = "") -> dict[str, object]:
    return {"$ref": f"#/types/keyturn:index:{kind}", **({"description": description} if description else {})}


def _list(kind: str, description: str) -> dict[str, object]:
    return {"type": "array", "items": _of(kind), "description": description}


def _object(properties: Properties, required: tuple[str, ...] = (), description: str = "") -> dict[str, object]:
    whole = {"type": "object", "properties": properties, "required": list(required), "description": description}
    return {name: value for name, value in whole.items() if value not in ([], "")}


TYPES = {
    "Adopt": _object(
        {
            "secret": _text("What to do with the present secret: `existing` keeps it, `regenerate` replaces it."),
            "a": _text("UUID of the API key, or of slot a. Default: found by name."),
            "b": _text("UUID of slot b."),
            "live": _text("The slot whose secret is in use: `a` or `b`."),
        },
        ("secret",),
        "Consent to take over existing API keys.",
    ),
    "Deliver": _object(
        {
            "target": _text("A name from `targets`."),
            "path": _text("The path in the target."),
            "field": _text("Field at that path. Default: the whole value."),
        },
        ("target", "path"),
        "A place that receives the secret.",
    ),
    "Delivery": _object(
        {
            "target": _text("A name from `targets`."),
            "path": _text("The path in the target."),
            "field": _text("Field at that path."),
            "version": _text("The target's version of the path. It changes with each rotation."),
        },
        ("target", "path"),
        "A place that holds the secret.",
    ),
    "Freeze": _object(
        {
            "from": _text("A moment with its offset from UTC."),
            "until": _text("A moment with its offset from UTC."),
            "reason": _text("Why."),
        },
        ("from", "until", "reason"),
        "A time in which no scheduled rotation and no retire starts.",
    ),
    "Records": _object(
        {
            "target": _text("A name from `targets`, or `local` for the directory .keyturn of the project."),
            "prefix": _text("Path before the records. Default: `keyturn`."),
        },
        ("target",),
        "The record store.",
    ),
    "Rotation": _object(
        {
            "strategy": _text("`in-place` or `alternating`. Required with `every`."),
            "every": _text("Age at which an up replaces the secret, such as `90d`. Default: only on demand."),
            "overlap": _text("How long the old secret stays valid with `alternating`. Default: `24h`."),
            "window": _of("Window", "When a scheduled rotation may start."),
        },
        (),
        "How and when the key rotates.",
    ),
    "Slot": _object(
        {"uuid": _text("UUID of the API key."), "name": _text("Its name.")}, ("uuid", "name"), "An API key."
    ),
    "Smoke": _object(
        {
            "model": _text("The model that is asked. Required unless `from` is `skip`."),
            "api": _text("`chat` or `responses`."),
            "expectModels": {
                "type": "array",
                "items": STRING,
                "description": "Models that the key must be allowed to use.",
            },
            "from": _text("`here`, or `skip` for a key that is bound to a VPC."),
        },
        (),
        "How a secret is tested.",
    ),
    "Timing": _object(
        {
            "delivery": _text("For all deliveries of one secret. Default: `5m`."),
            "settle": _text("After an answer that may have been lost. Default: `30s`."),
            "lease": _text("How long a run owns a key. Default: `90s`."),
            "propagation": _text("Until the inference API knows a new secret. Default: `60s`."),
            "request": _text("For one request. Default: `30s`."),
        },
        (),
        "Limits on waiting times, as durations.",
    ),
    "Window": _object(
        {
            "cron": _text("Cron expression of five fields. The window opens each time it matches."),
            "duration": _text("How long it stays open."),
            "timezone": _text("IANA name of the time zone. Default: UTC."),
        },
        ("cron", "duration"),
        "When a scheduled rotation may start.",
    ),
}
"""The types of nested inputs and outputs."""

PLACES: Properties = {
    "targets": {
        **TARGETS,
        "description": "Targets by name: `type` and its settings, without credentials (`keyturn targets` lists them).",
    },
    "smoke": _of("Smoke", "How the secret is tested."),
    "timing": _of("Timing", "Limits on waiting times."),
}
"""The inputs of both resources and of the provider."""

SHARED: Properties = {
    **PLACES,
    "records": _of(
        "Records", "The record store. Default: the first target with compare-and-set, and the prefix `keyturn`."
    ),
    "rotation": _of("Rotation", "How and when the key rotates."),
}

KEY_INPUTS: Properties = {
    **SHARED,
    "deliver": _list("Deliver", "The places that receive the secret."),
    "key": _text("Id of the record. Default: `PROJECT.STACK.RESOURCE`. It must not change."),
    "name": _text("Name in DigitalOcean. Default: the key's id. `alternating` adds -a and -b."),
    "adopt": _of("Adopt", "Consent to take over existing API keys."),
    "rotationTrigger": {**ANYTHING, "description": "Any value. A change of it rotates the key, and unparks it."},
    "freeze": _list("Freeze", "When an up starts no scheduled rotation, and retires no old secret."),
    "onDelete": _text("`delete`, or `retain`: release the API keys and leave the deliveries. Default: `delete`."),
    "cleanTargets": _flag("Remove the secret from deliveries that are no longer declared. Default: true."),
    "takeOver": _flag("Consent to take over the record of another owner, and to replace values of another origin."),
    "verify": _flag("Let refresh and update test the delivered secret. Default: false."),
    "exposeSecret": _flag("Make the secret an output, encrypted in the state. Default: false."),
}

FACTS: Properties = {
    "uuid": _text("The API key in use."),
    "slots": {
        "type": "object",
        "additionalProperties": _of("Slot"),
        "description": "The API keys by slot: `a`, and `b` with alternating.",
    },
    "generation": {"type": "integer", "description": "The number of delivered secrets."},
    "rotatedAt": _text("When the secret in use was made, in UTC."),
    "nextRotationAt": _text("From when on an up rotates the key, in UTC. Empty if it rotates on demand only."),
    "retireAt": _text("After which an up may retire the old secret of `alternating`, in UTC. Empty if there is none."),
    "digest": _text("16 hex digits that change with the secret and reveal nothing of it."),
    "deliveries": _list("Delivery", "Where the secret is. Give these to consumers instead of the secret."),
    "health": _text("`healthy`, or what the last refresh found."),
    "owner": _text("The owner of the record."),
}
"""What a key shows; `getModelAccessKey` returns the same."""

CHECK_INPUTS: Properties = {
    **PLACES,
    "deliveries": _list("Delivery", "The deliveries to check, such as the `deliveries` of a ModelAccessKey."),
    "every": _text("Age at which an up checks again without a change."),
}

CHECK_FACTS: Properties = {
    "verdict": _text("`accepted` or `skipped`."),
    "checkedAt": _text("When it was checked, in UTC."),
    "nextCheckAt": _text("From when on an up checks again, in UTC. Empty without `every`."),
}

CREDENTIALS: Properties = {
    name: _text(f"{what}, if the environment has none.", secret=True)
    for name, what in {
        "digitaloceanToken": "The account token",
        "vaultToken": "The token of Vault or OpenBao",
        "vaultRoleId": "The role of an AppRole login",
        "vaultSecretId": "The secret of an AppRole login",
        "opConnectToken": "The token of 1Password Connect",
        "opServiceAccountToken": "The token of a 1Password service account",
    }.items()
}

CONFIGURATION: Properties = {
    **CREDENTIALS,
    **SHARED,
    "policy": _text("The file of the operator's policy, if the environment names none."),
    "refreshBeforeUpdate": _flag(
        "Read what the key's places hold before each preview and up, so that they show and heal drift. Default: true."
    ),
}


def package(version: str) -> str:
    """Return the schema as JSON."""
    key = {
        "description": "A DigitalOcean model access key. Its secret is kept in targets, and not in Pulumi's state.",
        "inputProperties": KEY_INPUTS,
        "requiredInputs": ["deliver"],
        "properties": {
            **KEY_INPUTS,
            **FACTS,
            "secret": _text("The secret itself, only with `exposeSecret`.", secret=True),
        },
        "required": ["deliver", "key", *FACTS],
        "aliases": [{"type": words.DYNAMIC[words.KEY]}],
    }
    check = {
        "description": "A check that the inference API accepts the secrets of deliveries. Otherwise the up fails.",
        "inputProperties": CHECK_INPUTS,
        "requiredInputs": ["deliveries"],
        "properties": {**CHECK_INPUTS, **CHECK_FACTS},
        "required": ["deliveries", *CHECK_FACTS],
        "aliases": [{"type": words.DYNAMIC[words.SMOKE_CHECK]}],
    }
    whole = {
        "name": "keyturn",
        "version": version,
        "displayName": "keyturn",
        "description": "Model access keys as code for DigitalOcean serverless inference.",
        "license": "Apache-2.0",
        "meta": {"supportPack": True},
        "config": {"variables": CONFIGURATION},
        "provider": {"inputProperties": CONFIGURATION},
        "types": {f"keyturn:index:{name}": definition for name, definition in TYPES.items()},
        "resources": {words.KEY: key, words.SMOKE_CHECK: check},
        "functions": {
            functions.GET: {
                "description": "Look up a key by the id of its record.",
                "inputs": _object({"id": _text("The id of the record, such as PROJECT.STACK.NAME.")}, ("id",)),
                "outputs": _object({"id": _text("The id of the record."), **FACTS}, ("id", *FACTS)),
            },
            functions.LIST: {
                "description": "List the API keys of the account.",
                "outputs": _object({"keys": _list("Slot", "The API keys, in the order of their names.")}, ("keys",)),
            },
        },
        "language": {
            "python": {"packageName": "pulumi_keyturn", "pyproject": {"enabled": True}},
            "nodejs": {"packageName": "pulumi-keyturn"},
        },
    }
    return json.dumps(whole, indent=2)
