"""Login to Vault: the settings, and the source of each credential."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from keyturn.core.errors import CredentialError, InputError
from keyturn.core.secret import Secret
from keyturn.targets.base import check_path

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
"""The file with the token of a pod's service account (Kubernetes documentation, "Accessing the API from a Pod")."""


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


@dataclass(frozen=True, slots=True)
class Login:
    """A way to log in. Its credentials are read from the environment again for each login."""

    settings: AuthSettings
    environment: Mapping[str, str]

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

    def request(self) -> Callable[[Any], Any]:
        """Return a function that requests a token through a client. Raises CredentialError."""
        if self.method == "approle":
            role, secret = self._variable("VAULT_ROLE_ID"), self._variable("VAULT_SECRET_ID")
            return lambda client: client.auth.approle.login(
                role_id=role.reveal(), secret_id=secret.reveal(), use_token=False, mount_point=self.mount
            )
        jwt = self._jwt()
        if self.method == "kubernetes":
            return lambda client: client.auth.kubernetes.login(
                role=self.settings.role, jwt=jwt.reveal(), use_token=False, mount_point=self.mount
            )
        return lambda client: client.auth.jwt.jwt_login(
            role=self.settings.role, jwt=jwt.reveal(), use_token=False, path=self.mount
        )

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
        raise CredentialError(f"{source} is not set or is empty", remedy="The login to Vault needs it.")
    if not stripped.isascii() or not stripped.isprintable() or " " in stripped:
        raise CredentialError(
            f"{source} does not hold a credential", evidence="it contains spaces or unprintable characters"
        )
    return Secret(stripped)
