"""The origins to which a target's credential may be sent, and the proxy. A manifest alone cannot permit an origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from keyturn.core.errors import InputError
from keyturn.core.origins import ALLOWED_ORIGINS, Origin, allowed_origins, check_transport, parse_origin, to_list

ALLOWED_PREFIXES = "KEYTURN_ALLOWED_PREFIXES"


CORRECT = "correct the address"
"""What to do if the credential's own origin is right."""


class NoConsent(InputError):
    """The environment does not permit this origin for a credential. Only a change of the environment can fix it."""

    own = ""
    """The variable that names the credential's own origin, if it is another one."""


def origin_mistakes(
    setting: str, address: str, variables: tuple[str, ...], environment: Mapping[str, str], kind: str = ""
) -> Iterator[InputError]:
    """Yield each reason not to send a credential to `address`; none if it is permitted.

    `setting` is the name of the setting with the address, and the `where` of each mistake. The first of `variables`
    that is set names the credential's origin; KEYTURN_ALLOWED_ORIGINS lists further ones for each `kind` of credential,
    none for an empty `kind`. An `address` that is not a bare origin, or is plain http to another machine, is wrong in
    every environment. Any other mistake is `NoConsent`.
    """
    try:
        origin = str(bare_origin(address))
    except InputError as error:
        error.where = setting
        yield error
        return
    variable = next((name for name in variables if environment.get(name)), variables[-1])
    try:
        mine = str(parse_origin(environment[variable])) if environment.get(variable) else ""
        listed = [one for one in allowed_origins(environment) if one.origin == origin]
    except InputError as error:
        source = error.where or variable
        yield NoConsent(error.what, where=setting, evidence=f"the variable {source}", remedy=error.remedy)
        return
    if origin == mine or any(kind and one.kind == kind for one in listed):
        return
    evidence = f"{variable} is {mine}" if mine else f"{variable} is not set"
    remedy = f"If it is right, type: export {variable}={origin}"
    if kind and any(not one.kind for one in listed):
        evidence = f"{ALLOWED_ORIGINS} lists it without a kind of credential"
    if kind and (mine or listed):  # another server beside that of the variable, or an entry that permits nothing
        remedy = f"If it is right, type: {to_list(ALLOWED_ORIGINS, f'{kind}={origin}', environment, ',')}"
    if mine:
        remedy = f"If {variable} is right, {CORRECT}. {remedy.replace('it is', 'the address is', 1)}"
    mistake = NoConsent(f"no credential may be sent to {origin}", where=setting, evidence=evidence, remedy=remedy)
    mistake.own = variable if mine else ""
    yield mistake


def prefix_mistakes(setting: str, prefix: str, environment: Mapping[str, str]) -> Iterator[InputError]:
    """Yield a mistake if a manifest may not use the credentials in variables with this prefix.

    KEYTURN_ALLOWED_PREFIXES lists the prefixes that it may use, separated by commas.
    """
    if prefix and prefix not in listed_in(ALLOWED_PREFIXES, environment, ","):
        yield NoConsent(
            f"the credentials in variables with the prefix {prefix} may not be used",
            where=setting,
            evidence=f"it is not listed in {ALLOWED_PREFIXES}",
            remedy=f"If it is right, type: {to_list(ALLOWED_PREFIXES, prefix, environment, ',')}",
        )


def listed_in(variable: str, environment: Mapping[str, str], separator: str) -> tuple[str, ...]:
    """Return the entries of a variable with a list."""
    return tuple(part.strip() for part in environment.get(variable, "").split(separator) if part.strip())


def bare_origin(address: str) -> Origin:
    """Return the origin of an address that has no path, query or fragment.

    Raises:
        InputError: not an http or https URL, further parts after the port, or plain http to another machine.
    """
    origin = parse_origin(address)
    check_transport(origin)
    parts = urlsplit(address)
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InputError("an address has to end with its host or port", remedy="Omit the path.")
    return origin


def proxy_for(origin: str, environment: Mapping[str, str]) -> str:
    """Return the environment's proxy for an https origin. Requests through it stay encrypted."""
    proxy = environment.get("HTTPS_PROXY") or environment.get("https_proxy") or ""
    if not proxy or not origin.startswith("https:"):
        return ""
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

    excluded = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    return "" if proxy_bypass_environment(origin.partition("://")[2], {"no": excluded}) else proxy
