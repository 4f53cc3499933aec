"""Login to Vault: the settings, and the source of each credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from keyturn.core.errors import CredentialError, InputError
from keyturn.core.origins import ALLOWED_ORIGINS, Permitted, allowed_origins, origin_of, to_list
from keyturn.core.secret import Secret, sendable
from keyturn.targets.base import NoConsent, check_path

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
"""The file with the token of a pod's service account (Kubernetes documentation, "Accessing the API from a Pod")."""

NAMESPACE = ("VAULT_NAMESPACE", "BAO_NAMESPACE")
"""Variables with the namespace of the credential. The first one that is set is used."""

MOUNT = "VAULT_AUTH_MOUNT"
"""The variable with the mount of the login, below `auth/`."""


def plain_path(path: str) -> str:
    """Return a mount or namespace without its outer slashes. Raises ValueError, as pydantic requires."""
    stripped = path.strip("/")
    try:
        return check_path(stripped)
    except InputError as error:
        raise ValueError(str(error)) from None


PlainPath = Annotated[str, AfterValidator(plain_path)]


class AuthSettings(BaseModel):
    """How to log in. Credentials are not part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["token", "approle", "jwt", "kubernetes"] = Field(default="token", description="How to log in.")
    role: str = Field(default="", description="Role of the login, for jwt and kubernetes.")
    mount: PlainPath | None = Field(default=None, description="Mount of the login method. Default: its name.")
    env_prefix: str = Field(
        default="",
        pattern=r"^([A-Z][A-Z0-9_]*)?$",
        description="Prefix of VAULT_ADDR, VAULT_TOKEN and the other variables, for a second server.",
    )

    @property
    def path(self) -> str:
        """The mount of the method, below `auth/`."""
        return self.mount or self.method

    @model_validator(mode="after")
    def _role_fits(self) -> Self:
        if self.method == "kubernetes" and not self.role:
            message = "method kubernetes needs a role"
            raise ValueError(message)
        if self.role and self.method in {"token", "approle"}:
            message = f"method {self.method} has no role"
            raise ValueError(message)
        return self


def namespace_mistakes(
    address: str, namespace: str, mount: str, login: AuthSettings, environment: Mapping[str, str]
) -> Iterator[InputError]:
    """Yield a mistake if a permitted server may not be used in this namespace, or a login not at its mount.

    At the origin of VAULT_ADDR, the namespace is that of VAULT_NAMESPACE or BAO_NAMESPACE (not set: the root), and the
    mount of the login that of VAULT_AUTH_MOUNT or the default of the method. KEYTURN_ALLOWED_ORIGINS lists further
    ones. The server takes the first segments of `mount` for a namespace if there is one: they have to be permitted too.
    """
    origin, at = origin_of(address), "token" if login.method == "token" else login.path
    listed = [one for one in allowed_origins(environment) if one.kind == "vault" and one.origin == origin]
    permitted = {(one.namespace, one.mount or login.method) for one in listed}
    named = environment.get(f"{login.env_prefix}VAULT_ADDR", "")
    evidence, own, variable = "it is not listed", "", ""
    if named and origin_of(named) == origin:
        variables = [f"{login.env_prefix}{name}" for name in NAMESPACE]
        variable = next((name for name in variables if environment.get(name)), variables[0])
        own = environment.get(variable, "").strip("/")
        permitted |= {(own, login.method), (own, environment.get(f"{login.env_prefix}{MOUNT}", "").strip("/"))}
        evidence = f"{variable} is {own}" if own else f"{variable} is not set"
    namespaces = {one for one, _ in permitted}
    above = f"{namespace}/{mount}".strip("/").rpartition("/")[0]
    wanted = Permitted("vault", origin, namespace, "" if at == login.method else at)
    if namespace not in namespaces:
        where, what = "namespace", f"the namespace {namespace}" if namespace else "the root namespace"
    elif (namespace, at) not in permitted:
        where, what, evidence = "auth.mount", f"the login auth/{at}", "its mount is not listed"
    elif above not in namespaces | {namespace}:
        where, what, evidence = "mount", f"the mount {mount}", f"{above} may be a namespace, and is not listed"
        wanted = Permitted("vault", origin, above)
    else:
        return
    remedy = f"If it is right, type: {to_list(ALLOWED_ORIGINS, str(wanted), environment, ',')}"
    if where == "namespace" and own:
        remedy = f"If {variable} is right, write `namespace: {own}`. {remedy.replace('it is', 'the manifest is', 1)}"
    yield NoConsent(f"no credential may be sent to {what} of {origin}", where=where, evidence=evidence, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Login:
    """A way to log in. Its credentials are read from the environment again for each login."""

    settings: AuthSettings
    environment: Mapping[str, str]
    shown: str = ""
    """The mount as messages may show it; empty: as it is."""

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.settings.method

    @property
    def mount(self) -> str:
        """The mount of the method, below `auth/`."""
        return self.settings.path

    @property
    def source(self) -> str:
        """The source of its credential, for messages."""
        if self.method == "token":
            return self._name("VAULT_TOKEN")
        if self.method == "approle":
            return f"{self._name('VAULT_ROLE_ID')} and {self._name('VAULT_SECRET_ID')}"
        return self._jwt_file() or self._name("VAULT_JWT_FILE")

    def token(self) -> Secret | None:
        """Return the token of method `token`, or None for the other methods, which request one."""
        return self._variable("VAULT_TOKEN") if self.method == "token" else None

    def body(self) -> Mapping[str, str]:
        """Return what a request for a token holds. Raises CredentialError."""
        if self.method == "approle":
            role, secret = self._variable("VAULT_ROLE_ID"), self._variable("VAULT_SECRET_ID")
            return {"role_id": role.reveal(), "secret_id": secret.reveal()}
        return {"role": self.settings.role, "jwt": self._jwt().reveal()}

    def _name(self, variable: str) -> str:
        return f"{self.settings.env_prefix}{variable}"

    def _variable(self, variable: str) -> Secret:
        name = self._name(variable)
        return _credential(self.environment.get(name, ""), f"the variable {name}")

    def _jwt_file(self) -> str:
        usual = SERVICE_ACCOUNT if self.method == "kubernetes" else ""
        return self.environment.get(self._name("VAULT_JWT_FILE"), "") or usual

    def _jwt(self) -> Secret:
        file = self._jwt_file()
        if not file:
            return self._variable("VAULT_JWT_FILE")
        try:
            text = Path(file).read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise CredentialError(
                "the token file for the login cannot be read", where=file, evidence=type(error).__name__
            ) from None
        return _credential(text, f"the file {file}")


def _credential(text: str, source: str) -> Secret:
    """Return a credential that can be sent in a header or a body."""
    stripped = text.strip()
    if not stripped:
        raise CredentialError(f"{source} is not set or is empty", remedy="Set it: the login to Vault needs it.")
    if not sendable(stripped):
        raise CredentialError(
            f"{source} does not hold a credential", evidence="it contains spaces or unprintable characters"
        )
    return Secret(stripped)
