"""What was written to the Secrets of the API server, and when: from its own audit log, so that no moment is missed."""

from __future__ import annotations

import base64
import json
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "omitManagedFields": True,
    "rules": [
        {
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch"],
            "resources": [{"group": "", "resources": ["secrets"]}],
        },
        {"level": "None"},
    ],
}
"""The parts of the audit policy (`audit.k8s.io/v1`, "Auditing" in the documentation of Kubernetes)."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a Secret: its version, its fields, and between which moments it took effect (UNIX seconds)."""

    version: int
    data: Mapping[str, str]
    began: float
    ended: float


class Audit:
    """Reads the log as it grows. Thread-safe."""

    def __init__(self, file: Path) -> None:
        """Keep the file, which the server makes with its first line."""
        self._file = file
        self._lock = threading.Lock()
        self._read = 0
        self._writes: dict[tuple[str, str], dict[int, Write]] = defaultdict(dict)

    def writes(self, namespace: str, name: str) -> tuple[Write, ...]:
        """Return every write of a Secret that is in the log so far, oldest first. Dry runs and refusals are none."""
        with self._lock:
            self._go_on()
            found = self._writes.get((namespace, name), {})
            return tuple(found[version] for version in sorted(found))

    def _go_on(self) -> None:
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the rest of it is on its way
                self._read += len(line)
                self._note(json.loads(line))

    def _note(self, event: Mapping[str, Any]) -> None:
        if event["responseStatus"]["code"] >= HTTPStatus.MULTIPLE_CHOICES or "dryRun=" in event["requestURI"]:
            return
        secret = event["responseObject"]
        metadata = secret["metadata"]
        version = int(metadata["resourceVersion"])
        self._writes[metadata["namespace"], metadata["name"]].setdefault(
            version,  # a write that changes nothing keeps its version
            Write(
                version,
                {
                    field: base64.b64decode(value).decode(errors="replace")  # others write what is no text
                    for field, value in (secret.get("data") or {}).items()
                },
                datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
                datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
            ),
        )
