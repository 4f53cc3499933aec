"""PURE: which origin a URL has, and to which origins credentials may go."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

from keyturn.core.errors import InputError

ALLOWED_ORIGINS = "KEYTURN_ALLOWED_ORIGINS"

_FORM = "Write kind=https://host:port; for Vault vault=https://host:port#namespace/auth/mount."

_PORTS = {"http": 80, "https": 443}
_STRANGE = re.compile(r"[\x00-\x20\x7f\\]")
_KIND = re.compile(r"[a-z][a-z0-9-]*(?==)")
_PATH = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[A-Za-z0-9_.@=+-]+(?:/(?!\Z)|\Z))+")
"""Plain segments, none of them `.` or `..`, with a slash between them."""
_NUMERIC = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, normalised: two URLs go to the same place only if these are equal.

    `host` is lower case, ASCII (IDNA), an address in its shortest form, IPv6 without brackets.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Show as `https://host:port`, the port always written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine: localhost, 127.0.0.0/8 or ::1, and nothing that only looks like it."""
        if self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return address == ipaddress.IPv6Address(1) or (address.version == 4 and address.is_loopback)  # noqa: PLR2004


def parse_origin(url: str) -> Origin:
    """Return the origin of `url`, whatever its path.

    Raises:
        InputError: not an http(s) URL with a plain host: user information, a trailing dot, an address in an unusual
            notation, blanks or backslashes. The URL is not repeated.
    """
    if _STRANGE.search(url):
        raise InputError("a URL may not hold blanks, control characters or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("this is not a URL", remedy="Write https://host or https://host:port.") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise InputError("this is not an http or https URL", remedy="Write https://host or https://host:port.")
    if "@" in parts.netloc:
        raise InputError("a URL may not hold a user name or a password")
    if port == 0:
        raise InputError("port 0 is not a port")
    return Origin(parts.scheme, _host(parts.hostname), port or _PORTS[parts.scheme])


def origin_of(url: str) -> str:
    """Return the normalised origin of `url` as text; raises InputError like `parse_origin`."""
    return str(parse_origin(url))


def check_transport(origin: Origin) -> None:
    """Raise InputError where a credential would go over plain http to another machine."""
    if origin.scheme == "http" and not origin.loopback:
        raise InputError("plain http goes only to this machine", remedy="Use https.")


@dataclass(frozen=True, slots=True)
class Permitted:
    """One entry of KEYTURN_ALLOWED_ORIGINS: where a credential may go.

    `kind` is the kind of credential: `vault`, `aws`, `connect`, the type of another package's target, or `notify` for
    receivers of notices. It is empty in an entry of the form of earlier versions, which permits nothing. `namespace`
    and `mount` belong to `vault`: the namespace (empty: the root), and the mount of the login below `auth/` (empty: the
    default of its method).
    """

    kind: str
    origin: str
    namespace: str = ""
    mount: str = ""

    def __str__(self) -> str:
        """Show in the form of the variable."""
        kind = f"{self.kind}=" if self.kind else ""
        namespace = f"#{self.namespace}" if self.namespace else ""
        return f"{kind}{self.origin}{namespace}{f'/auth/{self.mount}' if self.mount else ''}"


def allowed_origins(environment: Mapping[str, str]) -> tuple[Permitted, ...]:
    """Return the entries of KEYTURN_ALLOWED_ORIGINS, which are separated by commas.

    An entry is `kind=origin`. For Vault it is `vault=origin[#namespace][/auth/mount]`.

    Raises:
        InputError: an entry has another form. It is not repeated.
    """
    listed = (part.strip() for part in environment.get(ALLOWED_ORIGINS, "").split(","))
    try:
        return tuple(_permitted(part) for part in listed if part)
    except InputError as error:
        raise InputError(error.what, where=ALLOWED_ORIGINS, remedy=error.remedy) from None


def to_list(variable: str, entry: str, environment: Mapping[str, str], separator: str) -> str:
    """Return the shell command that adds an entry to a variable with a list."""
    kept = f"${variable}{separator}" if environment.get(variable) else ""
    return f"export {variable}='{entry}'" if not kept else f'export {variable}="{kept}{entry}"'


def _permitted(text: str) -> Permitted:
    found = _KIND.match(text)
    kind = found.group() if found else ""
    rest = text.removeprefix(f"{kind}=") if kind else text
    place, login, mount = rest.partition("/auth/")
    address, hash_sign, namespace = place.partition("#")
    origin, parts = parse_origin(address), urlsplit(address)
    wrong = (
        parts.path not in {"", "/"}
        or bool(parts.query)
        or (bool(hash_sign) and not _PATH.fullmatch(namespace))
        or "auth" in namespace.split("/")
        or (bool(login) and not _PATH.fullmatch(mount))
    )
    if wrong:
        raise InputError("an entry has another form than kind=origin", remedy=_FORM)
    if (namespace or mount) and kind != "vault":
        raise InputError("an entry with a namespace or a mount has another kind than vault", remedy=_FORM)
    return Permitted(kind, str(origin), namespace, mount)


def _host(host: str) -> str:
    refused = InputError("the host of this URL is not a plain name or address")
    if host.endswith(".") or "%" in host:
        raise refused
    if ":" in host or _NUMERIC.match(host.rpartition(".")[2]):
        try:
            return ipaddress.ip_address(host).compressed
        except ValueError:
            raise refused from None
    if host.isascii():
        if not re.fullmatch(r"[a-z0-9_.-]+", host) or ".." in host or host.startswith("."):
            raise refused
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise refused from None
