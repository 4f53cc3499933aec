"""In what forms a secret slips out, for every test that looks for one."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LONG_ENOUGH = 20


def disguises(secret: str) -> Iterator[bytes]:
    """Yield a secret as it is and in the forms in which one slips out; its middle too, where it was cut or prefixed."""
    for text in (secret, quote(secret, safe=""), secret[8:-8]):
        yield text.encode()
    for skipped in range(3):  # base64 of a longer text: the three ways in which its groups may fall
        yield base64.b64encode(secret[skipped:].encode())[: -4 or None]


def found(secrets: Iterable[str], texts: Mapping[str, bytes]) -> list[str]:
    """Return the names of the texts in which one of the secrets is, in whatever form."""
    wanted = list(secrets)
    assert all(len(secret) > LONG_ENOUGH for secret in wanted), "too short to be looked for"
    forms = [form for secret in wanted for form in disguises(secret)]
    return [name for name, text in texts.items() if any(form in text for form in forms)]
