"""Signatures of records and claims: HMAC-SHA-256 with a key that only the operator has (`KEYTURN_RECORD_KEY`).

A signature covers the document's text, its path and a count. If the store counts the versions of a document itself, the
count is the version: a document that is put back under a new version does not fit it any more.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyturn.core.errors import Forged, InputError, OwnershipError

VARIABLE = "KEYTURN_RECORD_KEY"
"""One key of 64 hex digits, or two with a comma between them: the first signs, both are accepted. Or `off`."""

OFF = "off"
"""What an operator writes who gives up signatures: signed documents are then read as if they were not signed."""

_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_MOST = 2
_SIGNED = re.compile(r',"signature":\{"count":(\d{1,15}),"mac":"([0-9a-f]{64})"\}\}\Z')
_CONTEXT = "keyturn document 1"


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as the store has it. `counted`: its version is a number, and each write adds one."""

    path: str
    text: str
    version: str
    counted: bool


class Signatures:
    """Signs documents and checks their signatures. Without a key it refuses signed ones. Thread-safe."""

    def __init__(self, keys: Sequence[bytes] = (), *, off: bool = False) -> None:
        """Keep the keys: the first one signs. `off`: neither sign nor check."""
        self._keys = tuple(keys)
        self._off = off
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Signatures:
        """Read the keys. Raises InputError if they are not 64 hex digits each; they are not repeated."""
        named = environment.get(VARIABLE, "").strip()
        if named in {"", OFF}:
            return cls(off=named == OFF)
        keys = [key.strip() for key in named.split(",")]
        if len(keys) > _MOST or not all(map(_KEY.fullmatch, keys)):
            raise InputError(
                "this is not a key for signatures",
                where=VARIABLE,
                evidence="a key is 64 hex digits; a second one may follow after a comma",
                remedy="Make one: openssl rand -hex 32.",
            )
        return cls([bytes.fromhex(key) for key in keys])

    @property
    def off(self) -> bool:
        """Whether an operator gave signatures up."""
        return self._off

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return bool(self._keys)

    def sign(self, text: str, path: str, version: str, *, counted: bool) -> str:
        """Return the text of a document that is to be written over `version`, signed if there is a key."""
        if not self._keys:
            return text
        with self._lock:
            count = (int(version) if counted else self._seen.get(path, 0)) + 1
        mac = _mac(self._keys[0], text, path, count)
        return f'{text[:-1]},"signature":{{"count":{count},"mac":"{mac}"}}}}'

    def check(self, stored: Stored, where: str) -> None:
        """Check the signature of a document that was read.

        Raises:
            Forged: there is a key, and the signature is missing, wrong, or of another version.
            OwnershipError: it is signed and there is no key. A run would write it again without its signature.
        """
        if not self._keys:
            if self._off or not _SIGNED.search(stored.text):
                return
            raise OwnershipError(
                "it is signed, and there is no key for signatures",
                where=where,
                evidence=f"{VARIABLE} is not set",
                remedy=f"Set it. To do without signatures from now on: export {VARIABLE}={OFF}.",
            )
        doubt = self.doubt(stored)
        if doubt:
            raise Forged("its signature does not hold", where=where, evidence=doubt, remedy="Nothing was changed.")

    def doubt(self, stored: Stored) -> str:
        """Say what is wrong with a document's signature; empty if it holds. The count is remembered."""
        found = _SIGNED.search(stored.text)
        if not found:
            return "it has no signature"
        count, plain = int(found[1]), unsigned(stored.text)
        if not any(hmac.compare_digest(_mac(key, plain, stored.path, count), found[2]) for key in self._keys):
            return "it was changed, copied from elsewhere, or signed with another key"
        with self._lock:
            before = self._seen.get(stored.path, 0)
            if stored.counted and count != int(stored.version):
                return f"it was rolled back: signed as version {count}, and now at version {stored.version}"
            if count < before:
                return f"it was rolled back: its count is {count}, and was {before} before"
            self._seen[stored.path] = count
        return ""

    def current(self, stored: Stored) -> bool:
        """Tell whether the first key signed a document whose signature holds."""
        found = _SIGNED.search(stored.text)
        if not found:
            return False
        mac = _mac(self._keys[0], unsigned(stored.text), stored.path, int(found[1]))
        return hmac.compare_digest(mac, found[2])


def signed(stored: Stored) -> bool:
    """Tell whether a document has a signature, whatever it is worth."""
    return bool(_SIGNED.search(stored.text))


def unsigned(text: str) -> str:
    """Return the text of a document without its signature."""
    return _SIGNED.sub("}", text)


def _mac(key: bytes, text: str, path: str, count: int) -> str:
    """Return the HMAC in hex digits over purpose, path, count and text; none but the text may hold a NUL."""
    message = "\0".join((_CONTEXT, path, str(count), text))
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()
