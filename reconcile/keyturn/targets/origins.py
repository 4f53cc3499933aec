"""Where a target's credential may go, and through which proxy; a manifest is not trusted with it."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from keyturn.core.errors import InputError
from keyturn.core.origins import ALLOWED_ORIGINS, check_transport, origin_of, parse_origin
from keyturn.targets.base import TargetContext


def check_origin(address: str, variable: str, context: TargetContext) -> str:
    """Return the origin of `address`, to which the credential that belongs to `variable`'s origin may go.

    Raises:
        InputError: not a bare origin; another one than `variable`'s and not allowed; plain http to another machine.
    """
    where = f"target {context.name}"
    own = context.environment.get(variable, "")
    try:
        origin = parse_origin(address)
        check_transport(origin)
        mine = origin_of(own) if own else ""
    except InputError as error:
        raise InputError(error.what, where=where, evidence=f"the address, or {variable}", remedy=error.remedy) from None
    parts = urlsplit(address)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InputError("the address has to end with its host or port", where=where, remedy="Leave the path out.")
    if str(origin) not in {mine, *context.allowed_origins}:
        raise InputError(
            f"no credential may go to {origin}",
            where=where,
            evidence=f"{variable} is {mine}" if mine else f"{variable} is not set",
            remedy=f"Where this address is right, set {variable} to it, or add it to {ALLOWED_ORIGINS}.",
        )
    return str(origin)


def proxy_for(origin: str, context: TargetContext) -> str:
    """Return the proxy of the environment for an https origin; what is sent through it stays encrypted."""
    host = origin.partition("://")[2]
    excluded = context.environment.get("NO_PROXY") or context.environment.get("no_proxy") or ""
    if not origin.startswith("https:") or proxy_bypass_environment(host, {"no": excluded}):
        return ""
    return context.environment.get("HTTPS_PROXY") or context.environment.get("https_proxy") or ""
