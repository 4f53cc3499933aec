"""Redaction: every text of a server passes through here before it reaches an error, a report or a log."""

from __future__ import annotations

import re

from keyturn.core.sanitize import plain
from keyturn.core.secret import Secret

_READ = 2000
_SEGMENT = 20
_HIDDEN = "[redacted]"
_CREDENTIAL = re.compile(r"(?:\b(?:dop|doo|dor)_v1_|\bsk-|\bbearer\s+)[^\s\"',;<>]*", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9_+/=~-]{20,}")
_SEPARATOR = re.compile(r"[^A-Za-z0-9]")


def redact(text: str, *known: Secret) -> str:
    """Return `text` in a form that may be shown: printable, at most 200 characters, without apparent credentials.

    Hides the `known` secrets, account tokens, `sk-` keys, bearer values, and each run of 20 or more letters and digits
    that has both. No uuid and hardly any model id has such a run.
    """
    for secret in known:
        text = text.replace(secret.reveal(), _HIDDEN)
    return plain(_RUN.sub(_opaque, _CREDENTIAL.sub(_HIDDEN, text[:_READ])))


def shows_credential(text: str, *known: Secret) -> bool:
    """Tell whether `redact` would hide a part of `text`."""
    return _HIDDEN in redact(text, *known)


def _opaque(run: re.Match[str]) -> str:
    long = [part for part in _SEPARATOR.split(run[0]) if len(part) >= _SEGMENT]
    return _HIDDEN if any(not part.isalpha() and not part.isdigit() for part in long) else run[0]
