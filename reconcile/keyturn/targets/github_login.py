"""Login to GitHub: a token of the environment, or the private key of a GitHub App, which gets tokens that end."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from keyturn.core.errors import CredentialError, TargetForbidden
from keyturn.core.sanitize import plain
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
INSTALLATION = "GITHUB_APP_INSTALLATION_ID"
"""Variable with the id of the one installation to use. A name of an owner can become another owner's, an id cannot."""
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


@dataclass(slots=True)
class _Granted:
    """A token of an installation, and its end in Unix seconds. Only the holder of the lock requests another one."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    until: float = 0.0


class AppLogin:
    """A GitHub App. Each token is for one repository or organization, and for its secrets alone."""

    def __init__(self, rest: Rest, environment: Mapping[str, str], where: str) -> None:
        """Keep these. Nothing is read or sent yet."""
        self._rest = rest
        self._environment = environment
        self._where = where
        self._tokens: dict[tuple[str, str, str], _Granted] = {}

    @property
    def source(self) -> str:
        """The variables."""
        return f"{APP} and {KEY_FILE}"

    def token(self, place: Place, *, refused: str = "") -> str:
        """Return a token of the installation that reaches the place."""
        known = self._tokens.setdefault((place.owner, place.repository, place.permission), _Granted())
        with known.lock:
            if not known.token or known.token == refused or time.time() > known.until - RENEW:
                known.token, known.until = self._requested(place)
            return known.token

    def _requested(self, place: Place) -> tuple[str, float]:
        signed = self._signed()
        action = Action(self._where, f"log in as a GitHub App to the {place}")
        found = self._ask(action, Request("GET", self._installation(place)), signed, place)
        self._check_owner(action, found, place)
        body: dict[str, object] = {"permissions": self._permissions(action, found, place)}
        if place.repository:
            body["repositories"] = [place.repository]
        path = f"/app/installations/{found.get('id')}/access_tokens"
        made = self._ask(action, Request("POST", path, body=json.dumps(body)), signed, place)
        token, ends = made.get("token"), made.get("expires_at")
        try:
            until = datetime.fromisoformat(str(ends)).timestamp()
        except ValueError:
            until = 0.0
        if not isinstance(token, str) or not token or not until:
            raise CredentialError(f"could not {action.doing}: the answer has no token", where=self._where)
        return token, until

    def _installation(self, place: Place) -> str:
        """Return the path of the installation to use."""
        chosen = self._environment.get(INSTALLATION, "").strip()
        if not chosen:
            return place.installation
        if not (chosen.isascii() and chosen.isdigit()):
            raise CredentialError(f"{INSTALLATION} does not hold the id of an installation", where=self._where)
        return f"/app/installations/{chosen}"

    @staticmethod
    def _check_owner(action: Action, found: Mapping[str, object], place: Place) -> None:
        account = found.get("account")
        owner = account.get("login") if isinstance(account, dict) else None
        if not isinstance(owner, str) or owner.lower() != place.owner:
            raise TargetForbidden(
                f"could not {action.doing}: this installation is not one of {place.owner}",
                where=action.where,
                evidence=f"it is of {plain(str(owner), 60)}",
                remedy=f"Check {INSTALLATION} and the path.",
            )

    @staticmethod
    def _permissions(action: Action, found: Mapping[str, object], place: Place) -> Mapping[str, str]:
        """Return what a token is requested for, of what the installation has: the permission of the place.

        If GitHub gives it another name, those for secrets. Raises TargetForbidden if none of them is to write.
        """
        listed = found.get("permissions")
        granted = {str(name): str(level) for name, level in listed.items()} if isinstance(listed, dict) else {}
        named = place.permission in granted or place.permission in REQUESTED
        wanted = {
            name: level
            for name, level in granted.items()
            if (name == place.permission if named else name.endswith("secrets"))
        }
        if "write" not in wanted.values():
            raise TargetForbidden(
                f"this app may not write the secrets of the {place}",
                where=action.where,
                evidence=f"its installation has {place.permission}: {plain(granted.get(place.permission, 'none'), 20)}",
                remedy=f"Give it the permission {place.permission}: write, and accept that where it is installed.",
            )
        return wanted

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
