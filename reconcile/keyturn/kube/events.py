"""PURE: Events of Kubernetes, made at transitions only: one for each change that a status shows.

An Event is named after what it tells, so that two operators that see the same make one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from keyturn.kube.conditions import READY, rfc3339
from keyturn.kube.resources import GROUP, VERSION, Account, Condition, KeyResource, KeyState

CLUSTER_EVENTS = "default"
"""Where the API server wants the Events about objects of the cluster."""
NORMAL, WARNING = "Normal", "Warning"
Line = tuple[str, str, str]
"""Type, reason and message of an Event."""


def of_key(before: KeyState, after: KeyState) -> Line | None:
    """Return type, reason and message of what a new status of a key tells, None if there is nothing to tell."""
    if after.key_generation > before.key_generation > 0:
        return NORMAL, "Rotated", f"secret {after.key_generation} is delivered and live"
    return of_conditions(before.conditions, after.conditions)


def of_conditions(before: Sequence[Condition], after: Sequence[Condition]) -> Line | None:
    """Return the same of a change of `Ready`: its status, or what is wrong."""
    old, new = (next((one for one in found if one.type == READY), None) for found in (before, after))
    if new is None or (old and old.status == new.status and (new.status == "True" or old.reason == new.reason)):
        return None
    return WARNING if new.status == "False" else NORMAL, new.reason, new.message


def of_left(key: KeyResource, why: str) -> Line:
    """Return the same of a key whose deletion did not wait for its API keys any longer."""
    names = ", ".join(f"{one.name} ({one.uuid})" for one in key.status.api_keys) or "none that is known"
    return WARNING, "ApiKeysLeft", f"these API keys stay, delete them in the control panel: {names}; {why}"


def event(about: KeyResource | Account, kind: str, told: Line, at: datetime, by: str) -> dict[str, object]:
    """Return an Event about a resource of this `kind`, as the API takes it."""
    what, reason, message = told
    metadata = about.metadata
    parts = (metadata.uid, str(metadata.generation), *told, rfc3339(at)[:16])
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    moment = rfc3339(at)
    involved = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "name": metadata.name,
        "uid": metadata.uid,
        **({"namespace": metadata.namespace} if metadata.namespace else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata.name[:200]}.{digest}", "namespace": metadata.namespace or CLUSTER_EVENTS},
        "involvedObject": involved,
        "type": what,
        "reason": reason,
        "message": message,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": "keyturn"},
        "reportingComponent": f"{GROUP}/operator",
        "reportingInstance": by,
    }
