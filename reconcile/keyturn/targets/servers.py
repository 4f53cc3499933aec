"""Shared by the targets that use a server: actions, and the errors for refusals and lost answers.

No text of an answer or of a library's error is repeated: it may contain a secret.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from keyturn.core.errors import TargetMisfit, TargetUnavailable
from keyturn.targets.bounded_http import NEVER_SENT, Unreadable

AGAIN = frozenset({HTTPStatus.PRECONDITION_FAILED, HTTPStatus.TOO_MANY_REQUESTS})
"""The server is throttling, or it is a Vault standby that is behind (412)."""
NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
"""How OpenSSL calls an answer that is not TLS."""
NO_TLS_TEXT = "the server does not speak TLS on this port: its address may begin with http"


@dataclass(frozen=True, slots=True)
class Action:
    """A request in words. `doing` completes "could not …"; `remedy` says what to do if it is forbidden.

    `decides`: this call may change what consumers read, so a lost answer is ambiguous.
    """

    where: str
    doing: str
    remedy: str = ""
    decides: bool = False


def check_status(action: Action, status: int, *, writing: bool) -> None:
    """Raise the errors for statuses with the same meaning on every server. The caller judges 2xx and other 4xx.

    Raises:
        TargetMisfit: a redirect, or a body that is too large.
        TargetUnavailable: throttled, behind, or 5xx, which is ambiguous for a write.
    """
    failed, evidence = f"could not {action.doing}", f"status {status}"
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        why = "the server redirects, and a credential is sent only to its own origin"
        remedy = "If it redirects to a server of yours, use that address: the active node, or a load balancer."
        raise TargetMisfit(f"{failed}: {why}", where=action.where, evidence=evidence, remedy=remedy)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise TargetMisfit(f"{failed}: the value is too large", where=action.where, evidence=evidence)
    if status in AGAIN:
        what = f"{failed}: the server asks to try again later"
        raise TargetUnavailable(what, where=action.where, evidence=evidence)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        what, remedy = f"{failed}: the server is failing", "Run again when the server has recovered."
        raise TargetUnavailable(what, where=action.where, evidence=evidence, remedy=remedy, ambiguous=writing)


def decoded(content: bytes) -> object:
    """Return the JSON of an answer. Raises ValueError, which does not refer to the text."""
    with suppress(ValueError, RecursionError):
        found: object = json.loads(content)
        return found
    raise ValueError("not JSON")


def json_object(content: bytes) -> Mapping[str, object] | None:
    """Return the JSON object that an answer is; None if it is anything else."""
    with suppress(ValueError):
        found = decoded(content)
        if isinstance(found, dict):
            return found
    return None


class UnreadableAnswer(TargetUnavailable):
    """The answer is larger than keyturn reads, or compressed."""


def unreachable(action: Action, error: Exception, origin: str, request: float, *, writing: bool) -> TargetUnavailable:
    """Return the error for a request without a usable answer. `request` is its deadline in seconds."""
    never = isinstance(error, NEVER_SENT)
    chain = tuple(causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in chain):
        why, remedy = (
            "its certificate is not trusted",
            "Set `ca_cert`, or VAULT_CACERT or OP_CONNECT_CACERT, to the file of its certificate authority.",
        )
    elif any(isinstance(cause, socket.gaierror) for cause in chain):
        why, remedy = "its name cannot be resolved", "Check the address."
    elif speaks_no_tls(error):
        why, remedy = NO_TLS_TEXT, "Check the address."
    elif never:
        why, remedy = "could not connect", "Check the address, and that the server is running."
    elif isinstance(error, Unreadable):
        why, remedy = str(error), "Check that the address is the server, not a proxy."
    else:
        why = f"no answer within {request:g} s, or the connection was lost"
        remedy = f"Run again. {perhaps_tls(error, origin)}".rstrip()
    kind = UnreadableAnswer if isinstance(error, Unreadable) else TargetUnavailable
    return kind(
        f"could not {action.doing}: {why}",
        where=action.where,
        evidence=f"{origin}, {type(error).__name__}",
        remedy=remedy,
        ambiguous=writing and not never,
    )


def speaks_no_tls(error: Exception) -> bool:
    """Tell whether a server answered a TLS handshake with something else, as an http server does."""
    return any(isinstance(one, ssl.SSLError) and one.reason in NO_TLS for one in causes(error))


def perhaps_tls(error: Exception, origin: str) -> str:
    """Say what to do about a server that closed a plain http connection, as one does that expects TLS; else empty."""
    lost = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) and origin.startswith("http:")
    return "If the server expects TLS, the address has to begin with https." if lost else ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors inside it: arguments, reasons, causes and contexts."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
