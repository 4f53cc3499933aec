"""Encrypts a secret for one receiver: a sealed box of libsodium, as GitHub asks for. Needs PyNaCl."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from contextlib import suppress

from keyturn.core.secret import Secret


def sealed(secret: Secret, key: str) -> str:
    """Return a secret sealed for a public key, both in base64. Only the holder of the private key can open it.

    Raises:
        ValueError: this is no public key.
        ModuleNotFoundError: PyNaCl is missing.
    """
    from nacl.exceptions import CryptoError
    from nacl.public import PublicKey, SealedBox

    # The errors of the library are raised again below, so that ours has no such context.
    with suppress(binascii.Error, ValueError, TypeError, CryptoError):
        box = SealedBox(PublicKey(b64decode(key, validate=True)))
        return b64encode(box.encrypt(secret.reveal().encode())).decode()
    raise ValueError("this is no public key")
