"""A secret that cannot be shown by accident."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import NoReturn, final

DIGEST_DIGITS = 16
KEY_PREFIXES = ("sk-do-", "doo_v1_")
"""How model access keys of DigitalOcean begin."""
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a bearer token may consist of (RFC 6750, `b64token`)."""


@final
class Secret:
    """An opaque credential; `repr`, `str` and `format` show `[secret]`.

    It refuses pickle, copy, iteration and ordering; `==` is constant-time and only with another Secret.
    `reveal()` is for the rooms that send it: `targets/`, `digitalocean/` and the Pulumi provider's output.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`; raises ValueError (without the value) where it is empty."""
        if not value:
            message = "a secret may not be empty"
            raise ValueError(message)
        self.__value = value

    def reveal(self) -> str:
        """Return the bare value."""
        return self.__value

    def digest(self, key: str) -> str:
        """Return HMAC-SHA-256 under `key` (hex) cut to 16 hex digits: tells equal from different, nothing else."""
        return hmac.new(bytes.fromhex(key), _bytes(self.__value), hashlib.sha256).hexdigest()[:DIGEST_DIGITS]

    def __repr__(self) -> str:
        """Show the placeholder."""
        return "[secret]"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Show the placeholder whatever the format."""
        return "[secret]"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__value), _bytes(other.__value))

    def __hash__(self) -> NoReturn:
        """Refuse: a hash of the value would be a weak digest."""
        message = "a Secret is not hashable; use digest()"
        raise TypeError(message)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickle and copy."""
        message = "a Secret cannot be pickled or copied"
        raise TypeError(message)


def is_account_token(secret: Secret) -> bool:
    """Tell whether a secret is a personal token of the account: never a model access key, never sent to inference.

    `dop_v1_` alone is proof.
    """
    return "dop_v1_" in secret.reveal().lower()


def looks_like_key(secret: Secret, more: Iterable[str] = ()) -> bool:
    """Tell whether a value looks like a model access key: it begins like one, and a header can hold it.

    `more` are further prefixes that the operator permits. A token of the account is never a key. A value that keyturn
    minted or recorded is a key whatever it looks like; the caller knows these.
    """
    value = secret.reveal()
    begins = any(value.startswith(prefix) and value != prefix for prefix in (*KEY_PREFIXES, *more))
    return begins and _BEARER.fullmatch(value) is not None and not is_account_token(secret)


def sendable(credential: str) -> bool:
    """Tell whether a header can hold a credential: ASCII, printable, no space. An empty one counts as sendable."""
    return credential.isascii() and credential.isprintable() and " " not in credential


def _bytes(value: str) -> bytes:
    """Encode any text: a lone surrogate must not raise an error that would hold the value."""
    return value.encode(errors="surrogatepass")
