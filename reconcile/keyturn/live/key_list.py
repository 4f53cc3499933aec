"""One complete list of the API keys for a whole run. All threads share it, and our own changes update it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from keyturn.core.errors import ApiForbidden, KeyturnError
from keyturn.core.listing import Listing
from keyturn.core.model import ApiKey

Keys = tuple[ApiKey, ...]


@dataclass(frozen=True, slots=True)
class _Listed:
    """The result of the last listing: the keys, or the error."""

    keys: Keys = ()
    error: KeyturnError | None = None

    @property
    def lasting(self) -> bool:
        return self.error is None or isinstance(self.error, ApiForbidden)

    def get(self) -> Keys:
        if self.error is not None:
            raise self.error
        return self.keys


class KeyList:
    """Lists the keys on the first request, and on each request for a new list.

    A failure is shared by all threads that waited for it, so only one of many keys tries in vain. Only the failure of a
    refused token is kept.
    """

    def __init__(self, read: Callable[[], Keys]) -> None:
        """Take a function that reads a complete list and may raise KeyturnError."""
        self._read = read
        self._listed: _Listed | None = None
        self._begun = self._ended = 0
        self._changes: list[Callable[[Keys], Keys]] = []  # since the last reading began
        self._reading = threading.Lock()
        # Separate from `_reading`: a thread that holds a new secret must not wait for a list.
        self._changing = threading.Lock()

    def get(self, *, fresh: bool = False) -> Keys:
        """Return the list. With `fresh`, return one whose reading began after this call, possibly for another thread.

        Raises the error of the listing.
        """
        begun, ended = self._begun, self._ended
        with self._reading:
            shared = self._begun > begun if fresh else self._ended > ended
            if self._listed and (shared or (self._listed.lasting and not fresh)):
                return self._listed.get()
            self._begun += 1
            return self._read_now().get()

    def amend(self, change: Callable[[Keys], Keys]) -> None:
        """Apply a change of ours to the current list, and to a list that is being read."""
        with self._changing:
            self._changes.append(change)
            if self._listed is not None:
                self._listed = _Listed(Listing(change(self._listed.keys)), self._listed.error)

    def _read_now(self) -> _Listed:
        with self._changing:
            self._changes.clear()
        try:
            listed = _Listed(Listing(self._read()))
        except KeyturnError as error:
            listed = _Listed(error=error)
        with self._changing:
            for change in self._changes:
                listed = _Listed(Listing(change(listed.keys)), listed.error)
            self._listed = listed
        self._ended += 1
        return listed
