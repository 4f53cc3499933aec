"""The targets of a manifest, each opened when it is first used."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from keyturn.core.errors import InputError
from keyturn.core.model import Desired, RecordsConfig
from keyturn.targets import registry
from keyturn.targets.base import Target, TargetContext
from keyturn.targets.local import LocalTarget

LOCAL = "local"
"""The record store that needs no entry in `targets`: a directory beside the manifest."""


class Targets:
    """Opens targets lazily, so that a broken one affects only the keys that need it. Thread-safe."""

    def __init__(self, desired: Desired, environment: Mapping[str, str], base: Path) -> None:
        """Prepare. Nothing is opened yet."""
        self.records: RecordsConfig = desired.records
        self._used = {delivery.target for key in desired.keys for delivery in key.deliveries} | {desired.records.target}
        self._configs = {config.name: config for config in desired.targets}
        self._environment = environment
        self._request = desired.timing.request
        self._base = str(base)
        self._open: dict[str, Target] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Target:
        """Return a target. Raises InputError for invalid settings, a forbidden origin or a missing library."""
        with self._lock:
            if name not in self._open:
                self._open[name] = self._make(name)
            return self._open[name]

    def check_libraries(self) -> None:
        """Open all targets that the keys or the records need: only that detects a missing library.

        Other errors of a target are left to the keys that need it. Nothing is sent.

        Raises:
            MissingLibrary: the library of a kind of target is not installed.
        """
        for name in sorted(self._used - {LOCAL}):
            try:
                self.get(name)
            except registry.MissingLibrary:
                raise
            except Exception:  # noqa: BLE001, S112 - the keys that need it report the error
                continue

    def close(self) -> None:
        """Close the opened targets."""
        for target in self._open.values():
            target.close()

    def _make(self, name: str) -> Target:
        config = self._configs.get(name)
        if config is None and name != LOCAL:
            raise InputError(f"the manifest has no target {name!r}", evidence=f"it has {', '.join(self._configs)}")
        context = TargetContext(
            name=name,
            settings=config.settings if config else {},
            environment=self._environment,
            request=self._request,
            base=self._base,
            shown=dict(config.place) if config else {},
        )
        return registry.make(config.type, context) if config else LocalTarget(context)
