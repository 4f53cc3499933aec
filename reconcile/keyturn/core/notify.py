"""PURE: the variables of receivers of notices: their URLs and the secrets that sign webhooks."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from keyturn.core.errors import InputError
from keyturn.core.origins import ALLOWED_ORIGINS, allowed_origins, check_transport, parse_origin, to_list

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
        remedy = f"Type: export {where}=URL; or take the receiver out of the manifest."
        raise InputError(f"the URL of the receiver {name} is not set", where=where, remedy=remedy)
    try:
        check_transport(parse_origin(url))
    except InputError as error:
        raise InputError(f"the receiver {name}: {error.what}", where=where, remedy=error.remedy) from None
    return url


def secrets_of(name: str, environment: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the secrets that sign the notices of a webhook: one, or two while receivers change to a new one.

    Raises InputError, which does not repeat them: none is set, or it is not `whsec_` with 24 to 64 bytes in base64.
    """
    where = variable(name, "SECRET")
    parts = [part.strip() for part in environment.get(where, "").split(",") if part.strip()]
    remedy = f'Make one, and give it to the receiver too: export {where}="whsec_$(openssl rand -base64 32)"'
    if not parts:
        what = f"the secret that signs the notices of the receiver {name} is not set"
        raise InputError(what, where=where, remedy=remedy)
    found = tuple(_decoded(part) for part in parts)
    if not all(LEAST <= len(secret) <= MOST for secret in found):
        evidence = f"it is {PREFIX} with {LEAST} to {MOST} bytes in base64; a second one may follow after a comma"
        raise InputError(
            f"the secret of the receiver {name} is not one for webhooks", where=where, evidence=evidence, remedy=remedy
        )
    return found


def check_origin(name: str, url: str, environment: Mapping[str, str]) -> None:
    """Raise InputError unless the operator permits notices to the origin of `url`, which the receiver `name` has."""
    origin = str(parse_origin(url))
    if any(one.kind == KIND and one.origin == origin for one in allowed_origins(environment)):
        return
    permit = to_list(ALLOWED_ORIGINS, f"{KIND}={origin}", environment, ",")
    raise InputError(
        f"no notice of the receiver {name} may be sent to {origin}",
        evidence=f"{KIND}={origin} is not in {ALLOWED_ORIGINS}",
        remedy=f"If it is right, type: {permit}; or omit its `url` and set {variable(name, 'URL')}",
    )


def _decoded(text: str) -> bytes:
    """Return the bytes of a secret; none if it has another form."""
    if not text.startswith(PREFIX):
        return b""
    try:
        return base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""
