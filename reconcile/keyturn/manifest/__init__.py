"""The manifest: reads YAML into the desired state, or reports all mistakes at once."""

from __future__ import annotations

from keyturn.manifest.digests import fingerprint
from keyturn.manifest.parse import INSTALLED, Checked, check_all, load, load_all, load_data, load_text
from keyturn.manifest.schema import Kinds
from keyturn.manifest.schema import manifest_schema as schema_of

__all__ = [
    "Checked",
    "Kinds",
    "check_all",
    "fingerprint",
    "load",
    "load_all",
    "load_data",
    "load_text",
    "manifest_schema",
]


def manifest_schema(kinds: Kinds = INSTALLED) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a manifest, including the settings of all installed kinds of target."""
    return schema_of(kinds)
