"""Login to GitHub: a token of the environment, or the private key of a GitHub App, which gets tokens that end."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from keyturn.core.errors import CredentialError, TargetForbidden
from keyturn.targets.files import read_small
from keyturn.targets.github_places import REQUESTED, Place
from keyturn.targets.rest import Request, Rest
from keyturn.targets.servers import Action

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

TOKENS = ("GH_TOKEN", "GITHUB_TOKEN")
"""Variables with a token. The first one that is set is used, as the program `gh` does."""
APP, KEY_FILE = "GITHUB_APP_ID", "GITHUB_APP_KEY_FILE"
"""Variables of a GitHub App: its id, and the file with its private key (PEM)."""
RENEW = 300.0
"""Seconds before the end of a token at which a new one is requested."""
BEFORE, AFTER = 60, 540
"""Seconds around now for which a request of an app is signed; GitHub allows ten minutes."""


class AuthSettings(BaseModel):
    """How to log in. Credentials are not part of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["token", "app"] = Field(
        default="token", description="token: GH_TOKEN or GITHUB_TOKEN. app: GITHUB_APP_ID and GITHUB_APP_KEY_FILE."
    )


class Login(Protocol):
    """A way to log in. Thread-safe."""

    @property
    def source(self) -> str:
        """Where its credential comes from, for messages."""

    def token(self, place: Place, *, refused: str = "") -> str:
        """Return a token for a place, another one than `refused`. Raises CredentialError, and what a request raises."""


class TokenLogin:
    """A fine-grained token, or any other one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Keep the environment."""
        self._environment = environment

    @property
    def source(self) -> str:
        """The variable."""
        return next((name for name in TOKENS if self._environment.get(name, "").strip()), TOKENS[0])

    def token(self, place: Place, *, refused: str = "") -> str:
        """Return the token."""
        del place
        token = self._environment.get(self.source, "").strip()
        if not token:
            raise CredentialError("no GitHub token found", remedy=f"Set {' or '.join(TOKENS)}.")
        if token == refused:
            raise CredentialError(
                "GitHub refuses this token",
                evidence=f"it answered 401 to {self.source}",
                remedy="It has expired or was revoked: set a new one.",
            )
        return token


class AppLogin:
    """A GitHub App. Each token is for one repository or organization, and for one permission."""

    def __init__(self, rest: Rest, environment: Mapping[str, str], where: str) -> None:
        """Keep these. Nothing is read or sent yet."""
        self._rest = rest
        self._environment = environment
        self._where = where
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, str, str], tuple[str, float]] = {}

    @property
    def source(self) -> str:
        """The variables."""
        return f"{APP} and {KEY_FILE}"

    def token(self, place: Place, *, refused: str = "") -> str:
        """Return a token of the installation that reaches the place."""
        known = (place.owner, place.repository, place.permission)
        with self._lock:
            token, until = self._tokens.get(known, ("", 0.0))
            if not token or token == refused or time.time() > until - RENEW:
                token, until = self._tokens[known] = self._requested(place)
            return token

    def _requested(self, place: Place) -> tuple[str, float]:
        signed = self._signed()
        action = Action(self._where, f"log in as a GitHub App to the {place}")
        found = self._ask(action, Request("GET", place.installation), signed, place).get("id")
        body: dict[str, object] = {}  # a token for everything that the app may there, where no permission can be named
        if place.permission in REQUESTED:
            body["permissions"] = {place.permission: "write"}
        if place.repository:
            body["repositories"] = [place.repository]
        path = f"/app/installations/{found}/access_tokens"
        made = self._ask(action, Request("POST", path, body=json.dumps(body)), signed, place)
        token, ends = made.get("token"), made.get("expires_at")
        try:
            until = datetime.fromisoformat(str(ends)).timestamp()
        except ValueError:
            until = 0.0
        if not isinstance(token, str) or not token or not until:
            raise CredentialError(f"could not {action.doing}: the answer has no token", where=self._where)
        return token, until

    def _ask(self, action: Action, request: Request, signed: str, place: Place) -> Mapping[str, object]:
        answer = self._rest.send(action, request, signed)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise CredentialError(
                "GitHub refuses this app",
                where=self._where,
                evidence=f"it answered 401 to {self.source}",
                remedy="Check the app's id, its private key, and the clock of this machine.",
            )
        if not answer.good:
            raise TargetForbidden(
                f"could not {action.doing}",
                where=self._where,
                evidence=f"status {answer.status}",
                remedy=f"Install the app there, with the permission {place.permission}: write.",
            )
        return answer.object()

    def _signed(self) -> str:
        """Return a JSON Web Token (RS256) that says which app this is."""
        app = self._environment.get(APP, "").strip()
        file = self._environment.get(KEY_FILE, "").strip()
        if not app or not file:
            remedy = "They name the GitHub App, and the file with its private key."
            raise CredentialError(f"{KEY_FILE if app else APP} is not set", where=self._where, remedy=remedy)
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        now = int(time.time())
        claims = {"iat": now - BEFORE, "exp": now + AFTER, "iss": app}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        return f"{text}.{_encoded(self._key(file).sign(text.encode(), PKCS1v15(), SHA256()))}"

    def _key(self, file: str) -> RSAPrivateKey:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(read_small(Path(file)).encode(), password=None)
        except (OSError, ValueError, TypeError) as error:
            why = type(error).__name__
        else:
            if isinstance(key, RSAPrivateKey):
                return key
            why = "it is not RSA"
        # Raised outside the handler: the library's error might hold the key.
        raise CredentialError("this file does not hold a private key", where=KEY_FILE, evidence=f"{file}, {why}")


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()
