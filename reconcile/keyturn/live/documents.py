"""The signed documents of a manifest in their store: records, claims and what was noted of notices."""

from __future__ import annotations

from keyturn.core.errors import InputError
from keyturn.live.open_targets import Targets
from keyturn.live.signatures import Signatures, Stored, unsigned
from keyturn.targets.base import Document, Target, unguarded


class Documents:
    """Reads and writes documents below the prefix of `records:`. Thread-safe."""

    def __init__(self, targets: Targets, signatures: Signatures) -> None:
        """Keep the parts. Nothing is opened yet."""
        self._targets = targets
        self.signatures = signatures
        self._checked = False

    def path(self, folder: str, name: str) -> str:
        """Return the path of a document. The name comes from a record or the API, so it is checked."""
        if "/" in name:
            raise InputError(f"{name!r} cannot be the name of a document in {folder}")
        return f"{self._targets.records.prefix}/{folder}/{name}"

    def where(self, path: str) -> str:
        """Return a path as messages name it."""
        return f"{self._targets.records.target}:{path}"

    def names(self, folder: str) -> tuple[str, ...]:
        """Return the names of all documents in a folder."""
        return self._store().list_documents(f"{self._targets.records.prefix}/{folder}")

    def read(self, path: str) -> Document:
        """Read a document. Raises Forged if there is a key for signatures, and its signature does not hold."""
        store = self._store()
        found = store.read_document(path)
        if found.text is not None:
            stored = Stored(path, found.text, found.version, store.capabilities.counts)
            self.signatures.check(stored, self.where(path))
        return found

    def write(self, path: str, text: str, version: str) -> str:
        """Sign a document and write it over exactly `version`. Return the new version. Raises Conflict."""
        store = self._store()
        if not self._checked:
            store.check_documents(self._targets.records.prefix)
            self._checked = True
        # The compare-and-set is the guard: a run that has lost its lease finds another version.
        signed = self.signatures.sign(text, path, version, counted=store.capabilities.counts)
        written = store.write_document(path, signed, version, unguarded)
        self.signatures.doubt(Stored(path, signed, written, store.capabilities.counts))  # remembers the count
        return written

    def stored(self, folder: str, name: str) -> Stored | None:
        """Return a document as the store has it, whatever its signature; None if it was never written.

        `folder` is `keys`, `slots` or `notices`.
        """
        path = self.path(folder, name)
        found = self._store().read_document(path)
        counted = self._store().capabilities.counts
        return Stored(path, found.text, found.version, counted) if found.text is not None else None

    def sign(self, document: Stored) -> None:
        """Write a document with a new signature over exactly its version. Raises Conflict."""
        self.signatures.doubt(document)
        self.write(document.path, unsigned(document.text), document.version)

    def _store(self) -> Target:
        return self._targets.get(self._targets.records.target)
