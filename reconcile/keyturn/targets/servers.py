"""What the targets that ask a server share: what is asked, and how a refusal or a lost answer is told.

No text of an answer or of a library's error is repeated: either may hold a secret.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from keyturn.core.errors import TargetMisfit, TargetUnavailable

CONNECT = 1 / 3
"""The part of a request's deadline that connecting may take; the rest is for the answer."""

AGAIN = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.TOO_MANY_REQUESTS})
"""The server is not ready: 412 of a standby of Vault that lags behind, or throttled."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked: `doing` completes "could not …"; `remedy` says what to do if it is forbidden.

    `decides`: this call alone may change what consumers read, so that a lost answer leaves it unknown.
    """

    where: str
    doing: str
    remedy: str = ""
    decides: bool = False


def check_status(action: Action, status: int, *, writing: bool) -> None:
    """Raise what every server means by a status; 2xx and all other 4xx are the caller's to judge.

    Raises:
        TargetMisfit: a redirect, or too large.
        TargetUnavailable: throttled, lagging behind, or 5xx, which is ambiguous for a write.
    """
    failed, evidence = f"could not {action.doing}", f"status {status}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        why = "the server redirects, and a credential goes only to its own origin"
        remedy = "Name the server to which it redirects, if it is yours: the active node, or a load balancer."
        raise TargetMisfit(f"{failed}: {why}", where=action.where, evidence=evidence, remedy=remedy)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise TargetMisfit(f"{failed}: too large", where=action.where, evidence=evidence)
    if status in AGAIN:
        what = f"{failed}: the server asks to try again later"
        raise TargetUnavailable(what, where=action.where, evidence=evidence)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what, remedy = f"{failed}: the server is not well", "Run again when it is."
        raise TargetUnavailable(what, where=action.where, evidence=evidence, remedy=remedy, ambiguous=writing)


def unreachable(
    action: Action, error: Exception, origin: str, request: float, *, never: bool, writing: bool
) -> TargetUnavailable:
    """Return the error for a request without an answer.

    `request` is its deadline in seconds; `never`: no connection was made, so that nothing was written.
    """
    chain = tuple(causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        why, remedy = "its certificate is not trusted", "Name its certificate authority as `ca_cert`."
    elif any(isinstance(cause, socket.gaierror) for cause in chain):
        why, remedy = "its name is not known", "Check the address."
    elif never:
        why, remedy = "no connection could be made", "Check the address, and that the server runs."
    else:
        why, remedy = f"no answer within {request:g} s, or the connection broke", "Run again."
    return TargetUnavailable(
        f"could not {action.doing}: {why}",
        where=action.where,
        evidence=f"{origin}, {type(error).__name__}",
        remedy=remedy,
        ambiguous=writing and not never,
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that its library wrapped into it: arguments, reasons, causes and contexts."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
