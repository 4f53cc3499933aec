"""The manifest: reads YAML into the desired state, or reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.core.errors import Mistake
from keyturn.core.model import Desired
from keyturn.manifest.digests import fingerprint
from keyturn.manifest.parse import INSTALLED, Checked, check_all, load, load_all, load_data, load_text
from keyturn.manifest.schema import AsWritten, Kinds
from keyturn.manifest.schema import manifest_schema as schema_of
from keyturn.manifest.sources import Source, Text, base_of, expand

if TYPE_CHECKING:
    from keyturn.manifest.policy import Policy

__all__ = [
    "Checked",
    "Kinds",
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


def manifest_schema(kinds: Kinds = INSTALLED) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a manifest, including the settings of all installed kinds of target."""
    return schema_of(kinds)


def draft(manifests: Iterable[Desired]) -> str:
    """Return the text of a policy that allows these manifests and nothing else."""
    from keyturn.manifest import policy_draft

    return policy_draft.draft(manifests)


def read_policy(path: Path, kinds: Kinds = INSTALLED) -> Policy:
    """Return the operator's policy in file `path`. Raises ManifestError with all its mistakes."""
    from keyturn.manifest import policy

    return policy.read_policy(path, kinds)


def check_policy(policy: Policy, desired: Desired, *, base: Path, kinds: Kinds = INSTALLED) -> tuple[Mistake, ...]:
    """Return everything in a desired state that the policy does not allow; `base` is where its relative paths begin."""
    from keyturn.manifest import violations

    return violations.check(policy, desired, violations.Surroundings(kinds, base))


def permitted(policy: Policy, desired: Desired) -> Desired:
    """Return the desired state with what the policy allows its runs. The policy names its owner."""
    from keyturn.manifest import violations

    return violations.permitted(policy, desired)


def policy_schema() -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of an operator's policy."""
    from keyturn.manifest.policy import PolicyFile

    schema = PolicyFile.model_json_schema(schema_generator=AsWritten)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "policy.v1.json", **schema}
