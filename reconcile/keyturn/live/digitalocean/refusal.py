"""PURE: the errors for answers of the control API that are not a success."""

from __future__ import annotations

import re

from keyturn.core.errors import Ambiguous, ApiError, ApiForbidden, CreateRetired, NotAccepted, NotFound, RateLimited
from keyturn.live.digitalocean.http import Answer
from keyturn.live.digitalocean.redact import redact
from keyturn.live.digitalocean.wire import ControlError, parse

_ID = re.compile(r"[a-z][a-z_]{0,39}")
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def refusal(answer: Answer, what: str, scope: str, where: str, *, creating: bool = False) -> ApiError:
    """Return the error for an answer that is not a success.

    400, 401, 403, 404, 410, 422 and 429 are definite. Any other status is ambiguous, including redirects.
    """
    status, evidence = answer.status, _evidence(answer)
    match status:
        case 401:
            return ApiForbidden(
                f"{what}: the account token is refused",
                where=where,
                evidence=evidence,
                remedy="Create a new token in the control panel, under API, and set DIGITALOCEAN_TOKEN.",
                status=status,
            )
        case 403:
            return ApiForbidden(
                f"{what}: the account token is not permitted to do this",
                where=where,
                evidence=evidence,
                remedy=f"It needs the scope {scope}.",
                status=status,
            )
        case 404:
            return NotFound(f"{what}: not found", where=where, evidence=evidence, status=status)
        case 410 if creating:
            return CreateRetired(
                f"{what}: the API no longer creates keys",
                where=where,
                evidence=evidence,
                remedy="Create it in the control panel.",
                status=status,
            )
        case 400 | 410 | 422:
            return NotAccepted(f"{what}: the API refused it", where=where, evidence=evidence, status=status)
        case 429:
            return RateLimited(
                f"{what}: too many requests",
                where=where,
                evidence=evidence,
                remedy="Nothing was changed. Run again when the token's rate limit allows it.",
                status=status,
            )
        case _:
            why = "a redirect, which is not followed" if status in range(300, 400) else "no usable answer"
            return Ambiguous(f"{what}: {why}", where=where, evidence=evidence, status=status)


def unreadable(answer: Answer, what: str, where: str) -> Ambiguous:
    """Return the error for a success with an unexpected body."""
    return Ambiguous(
        f"{what}: the answer cannot be read", where=where, evidence=_evidence(answer), status=answer.status
    )


def _evidence(answer: Answer) -> str:
    """Return the status, and from a body of known shape the error id, the request id and the message."""
    parts = [f"HTTP {answer.status}"]
    error = parse(ControlError, answer.body)
    if error is not None:
        if _ID.fullmatch(error.id):
            parts.append(error.id)
        if _REQUEST_ID.fullmatch(error.request_id) and redact(error.request_id) == error.request_id:
            parts.append(f"request {error.request_id}")
        if error.message:
            parts.append(redact(error.message))
    return ", ".join(parts)
