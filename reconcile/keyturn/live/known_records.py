"""Every record below the prefix, read once for a run: who has which delivery, and whose a secret is."""

from __future__ import annotations

import threading
from collections.abc import Callable

from keyturn.core.record import Record
from keyturn.core.world import StoredRecord


class KnownRecords:
    """Reads the records when they are first asked for. All threads share them; what this run writes is not in them."""

    def __init__(self, names: Callable[[], tuple[str, ...]], read: Callable[[str], StoredRecord]) -> None:
        """Take the functions that list and read records. They may raise KeyturnError: then nothing is kept."""
        self._names = names
        self._read = read
        self._found: tuple[Record, ...] | None = None
        self._reading = threading.Lock()

    def get(self) -> tuple[Record, ...]:
        """Return the records. Raises the error of the reading."""
        with self._reading:
            if self._found is None:
                self._found = tuple(found for name in self._names() if (found := self._read(name).record) is not None)
            return self._found
