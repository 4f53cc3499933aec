"""The choke point: every text of a server passes here before it reaches an error, a report or a log."""

from __future__ import annotations

import re

from keyturn.secret import Secret
from keyturn.text import plain

_READ = 2000
_HIDDEN = "[redacted]"
_CREDENTIAL = re.compile(r"(?:\b(?:dop|doo|dor)_v1_|\bsk-|\bbearer\s+)[^\s\"',;<>]*", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_OPAQUE = re.compile(r"[A-Za-z0-9_+/=~-]{28,}")


def redact(text: str, *known: Secret) -> str:
    """Return `text` fit to be shown: printable, at most 200 characters, without anything that looks like a credential.

    Hidden are the `known` secrets, account tokens, `sk-` keys, bearer values, and every run of 28 or more characters
    that mixes letters and digits and is no uuid.
    """
    read = text[:_READ]
    for secret in known:
        read = read.replace(secret.reveal(), _HIDDEN)
    return plain(_OPAQUE.sub(_opaque, _CREDENTIAL.sub(_HIDDEN, read)))


def _opaque(run: re.Match[str]) -> str:
    text = run[0]
    mixed = any(char.isdigit() for char in text) and any(char.isalpha() for char in text)
    return _HIDDEN if mixed and not _UUID.fullmatch(text) else text
