"""The manifest: reads YAML into the desired state, or reports all mistakes at once."""

from __future__ import annotations

from pathlib import Path

from keyturn.core.errors import Mistake
from keyturn.core.model import Desired
from keyturn.manifest import violations
from keyturn.manifest.digests import fingerprint
from keyturn.manifest.draft import draft
from keyturn.manifest.parse import INSTALLED, Checked, check_all, load, load_all, load_data, load_text
from keyturn.manifest.policy import Policy, PolicyFile
from keyturn.manifest.policy import read_policy as read_policy_of
from keyturn.manifest.schema import AsWritten, Kinds
from keyturn.manifest.schema import manifest_schema as schema_of
from keyturn.manifest.sources import Source, Text, base_of, expand

__all__ = [
    "Checked",
    "Kinds",
    "Policy",
    "Source",
    "Text",
    "base_of",
    "check_all",
    "check_policy",
    "draft",
    "expand",
    "fingerprint",
    "load",
    "load_all",
    "load_data",
    "load_text",
    "manifest_schema",
    "permitted",
    "policy_schema",
    "read_policy",
]

permitted = violations.permitted


def manifest_schema(kinds: Kinds = INSTALLED) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a manifest, including the settings of all installed kinds of target."""
    return schema_of(kinds)


def read_policy(path: Path, kinds: Kinds = INSTALLED) -> Policy:
    """Return the operator's policy in file `path`. Raises ManifestError with all its mistakes."""
    return read_policy_of(path, kinds)


def check_policy(policy: Policy, desired: Desired, *, base: Path, kinds: Kinds = INSTALLED) -> tuple[Mistake, ...]:
    """Return everything in a desired state that the policy does not allow; `base` is where its relative paths begin."""
    return violations.check(policy, desired, violations.Surroundings(kinds, base))


def policy_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of an operator's policy."""
    schema = PolicyFile.model_json_schema(schema_generator=AsWritten)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "policy.v1.json", **schema}
