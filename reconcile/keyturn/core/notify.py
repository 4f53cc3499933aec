"""PURE: the variables of receivers of notices: their URLs and the secrets that sign webhooks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from keyturn.core.errors import InputError
from keyturn.core.origins import ALLOWED_ORIGINS, allowed_origins, check_transport, parse_origin

KIND = "notify"
"""The kind of the entries of KEYTURN_ALLOWED_ORIGINS that permit receivers."""
COMMANDS = "KEYTURN_ALLOWED_COMMANDS"
"""The variable with the programs that may be run, separated as in PATH."""
NAME = r"^[a-z][a-z0-9-]{0,31}$"
"""What a receiver may be called."""
PREFIX = "whsec_"
LEAST, MOST = 24, 64
"""How many bytes a secret has, as Standard Webhooks says."""


def variable(name: str, part: str) -> str:
    """Return the variable of a receiver: its `URL` or its `SECRET`."""
    return f"KEYTURN_NOTIFY_{name.upper().replace('-', '_')}_{part}"


def url_of(name: str, environment: Mapping[str, str]) -> str:
    """Return the URL that the operator gave a receiver. Raises InputError, which does not repeat it."""
    where = variable(name, "URL")
    url = environment.get(where, "").strip()
    if not url:
        remedy = "Set it, or take the receiver out of the manifest."
        raise InputError("the URL of this receiver is not set", where=where, remedy=remedy)
    try:
        check_transport(parse_origin(url))
    except InputError as error:
        raise InputError(error.what, where=where, remedy=error.remedy) from None
    return url


def secrets_of(name: str, environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the secrets that sign the notices of a webhook: one, or two while receivers change to a new one.

    Raises InputError, which does not repeat them: none is set, or it is not `whsec_` with 24 to 64 bytes in base64.
    """
    where = variable(name, "SECRET")
    parts = [part.strip() for part in environment.get(where, "").split(",") if part.strip()]
    remedy = 'Make one: echo "whsec_$(openssl rand -base64 32)".'
    if not parts:
        raise InputError("the secret that signs the notices of this receiver is not set", where=where, remedy=remedy)
    found = tuple(_decoded(part) for part in parts)
    if not all(LEAST <= len(secret) <= MOST for secret in found):
        evidence = f"it is {PREFIX} with {LEAST} to {MOST} bytes in base64; a second one may follow after a comma"
        raise InputError("this is not a secret for webhooks", where=where, evidence=evidence, remedy=remedy)
    return found


def check_origin(url: str, environment: Mapping[str, str]) -> None:
    """Raise InputError unless the operator permits notices to the origin of `url`."""
    origin = str(parse_origin(url))
    if any(one.kind == KIND and one.origin == origin for one in allowed_origins(environment)):
        return
    raise InputError(
        f"no notice may be sent to {origin}",
        evidence=f"{KIND}={origin} is not in {ALLOWED_ORIGINS}",
        remedy="If it is right, add it there, or omit `url` and set the receiver's KEYTURN_NOTIFY_…_URL.",
    )


def _decoded(text: str) -> bytes:
    """Return the bytes of a secret; none if it has another form."""
    if not text.startswith(PREFIX):
        return b""
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
