"""A GitHub for the tests, on loopback: the calls for secrets, which it really opens, and the login of an app.

After "REST API endpoints for … secrets" of GitHub's documentation. Times are whole seconds, as GitHub shows them.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox

from tests.support.http_server import Handler, HttpServer

Json = dict[str, Any]
SECRETS = re.compile(
    r"(?P<place>/repos/[^/]+/[^/]+/(?:environments/[^/]+|actions|dependabot|codespaces|agents)"
    r"|/orgs/[^/]+/(?:actions|dependabot|codespaces|agents))/secrets/(?P<name>[^/]+)(?P<more>/repositories)?"
)
NAME = re.compile(r"(?!GITHUB_)[A-Z_][A-Z0-9_]*")
VISIBILITIES = ("all", "private", "selected")


@dataclass(frozen=True)
class Kept:
    """A secret as GitHub keeps it: opened, with its times in Unix seconds and, of an organization, who may use it."""

    value: str = field(repr=False)
    created_at: int
    updated_at: int
    visibility: str = ""
    repositories: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trouble:
    """What the next requests of a verb get instead: a status with headers, or no answer after the effect (status 0)."""

    verb: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True)
class Asked:
    """One request, as it came."""

    verb: str
    path: str
    query: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    status: int = 0


class GitHub(HttpServer):
    """One server, started by `with`. `ahead` seconds are added to its clock."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.ahead = 0.0
        self.known: dict[tuple[str, str], Kept] = {}
        self.tokens: dict[str, str] = {}
        """Each token with what it may do: `read`, `write`, or nothing."""
        self.asked: list[Asked] = []
        self.troubles: list[Trouble] = []
        self.hidden = 0
        """How many selected repositories a list leaves out."""
        self.repository: Json = {}
        """Further fields of each repository in a list."""
        self.owner = "acme"
        """Whose account the app is installed in."""
        self.installed: dict[str, str] = {
            "contents": "write",
            "environments": "write",
            **{
                f"{of}{family}secrets": "write"
                for of in ("", "organization_")
                for family in ("", "dependabot_", "codespaces_")
            },
            "organization_secrets_of_agents": "read",  # no name that keyturn knows
        }
        """The permissions of the app's installation."""
        self.installation: Json = {}
        """Further fields of the installation."""
        self.granted: list[Json] = []
        """What each token of an installation was asked for with."""
        self._keys: dict[str, tuple[str, PrivateKey]] = {}
        self.lock = threading.RLock()

    @cached_property
    def app_key(self) -> rsa.RSAPrivateKey:
        """The key of the app, made when it is first used."""
        return rsa.generate_private_key(65537, 2048)

    @property
    def now(self) -> float:
        """The server's clock."""
        return time.time() + self.ahead

    def token(self, may: str = "write") -> str:
        """Make a fine-grained token."""
        token = f"github_pat_{secrets.token_hex(20)}"
        self.tokens[token] = may
        return token

    def pem(self) -> bytes:
        """Return the private key of the app."""
        return self.app_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def trouble(self, verb: str, status: int, times: int = 1, **headers: str) -> None:
        """Let the next requests of a verb fail; `_` in the name of a header stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.troubles.append(Trouble(verb, status, named, times))

    def key(self, place: str) -> tuple[str, PrivateKey]:
        """Return id and private key of a place."""
        with self.lock:
            return self._keys.setdefault(place, (str(secrets.randbelow(10**17)), PrivateKey.generate()))

    def change_key(self, place: str) -> None:
        """Replace the key of a place."""
        with self.lock:
            self._keys.pop(place, None)

    def put(self, place: str, name: str, value: str, visibility: str = "", repositories: tuple[int, ...] = ()) -> None:
        """Write a secret past the API, as someone else does."""
        with self.lock:
            now, there = int(self.now), self.known.get((place, name))
            self.known[place, name] = Kept(value, there.created_at if there else now, now, visibility, repositories)

    def take_trouble(self, verb: str) -> Trouble | None:
        """Return what this request gets instead of its answer."""
        with self.lock:
            for number, one in enumerate(self.troubles):
                if one.verb == verb:
                    self.troubles[number : number + 1] = [replace(one, times=one.times - 1)] if one.times > 1 else []
                    return one
        return None

    def signed(self, token: str) -> bool:
        """Tell whether a JSON Web Token is signed by the app, and is of now."""
        try:
            head, claims, signature = token.split(".")
            self.app_key.public_key().verify(
                _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256()
            )
            told = json.loads(_decoded(claims))
        except (ValueError, InvalidSignature):
            return False
        return bool(told["iat"] <= self.now <= told["exp"] <= told["iat"] + 600 and told["iss"] == "1234")


class _Handler(Handler):
    def _answer(self) -> None:
        body = self.body()
        github: GitHub = self.server.owner  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        trouble = github.take_trouble(self.command)
        headers: Mapping[str, str] = {}
        if trouble is not None and trouble.status:
            status, headers = trouble.status, trouble.headers
            found: object = {"message": "no"}
        else:
            with github.lock:
                status, found = self._route(github, parts.path, parse_qs(parts.query), body)
        asked = Asked(self.command, parts.path, parts.query, body, dict(self.headers.items()), status)
        github.asked.append(asked)
        if trouble is not None and not trouble.status:
            self.close_connection = True
            return
        content = b"" if status == 204 else json.dumps(found).encode()
        self.send_response_only(status)
        self.send_header("Date", formatdate(github.now, usegmt=True))
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  # the names that http.server calls

    def _route(self, github: GitHub, path: str, query: Mapping[str, list[str]], body: bytes) -> tuple[int, object]:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.endswith("/installation") or path.startswith("/app/"):
            return self._app(github, path, token, body)
        may = github.tokens.get(token)
        if may is None:
            return 401, {"message": "Bad credentials"}
        found = SECRETS.fullmatch(path)
        if found is None or not may:
            return 404, {"message": "Not Found"}
        if self.command in {"PUT", "DELETE"} and may != "write":
            return 403, {"message": "Resource not accessible by personal access token"}
        place, name = found["place"], found["name"]
        if name == "public-key":
            identity, key = github.key(place)
            return 200, {"key_id": identity, "key": b64encode(key.public_key.encode(RawEncoder)).decode()}
        there = github.known.get((place, name))
        if self.command == "PUT":
            return _put(github, place, name, body)
        if there is None:
            return 404, {"message": "Not Found"}
        if found["more"]:
            page, size = (int(query.get(word, [usual])[0]) for word, usual in (("page", "1"), ("per_page", "30")))
            listed = [{**github.repository, "id": one, "name": f"r{one}"} for one in there.repositories]
            shown = listed[github.hidden :][(page - 1) * size : page * size]
            return 200, {"total_count": len(listed), "repositories": shown}
        if self.command == "DELETE":
            del github.known[place, name]
            return 204, None
        return 200, _shown(github, place, name, there)

    def _app(self, github: GitHub, path: str, token: str, body: bytes) -> tuple[int, object]:
        if not github.signed(token):
            return 401, {"message": "A JSON web token could not be decoded"}
        if self.command == "GET":
            if "/nowhere" in path or not path.endswith(("/installation", "/installations/77")):
                return 404, {"message": "Not Found"}
            account = {**github.installation.get("account", {}), "login": github.owner}
            return 200, {**github.installation, "id": 77, "account": account, "permissions": github.installed}
        asked = json.loads(body)
        levels = {"": 0, "read": 1, "write": 2}
        if any(levels[level] > levels[github.installed.get(name, "")] for name, level in asked["permissions"].items()):
            return 422, {"message": "The permissions requested are not granted to this installation."}
        github.granted.append(asked)
        made = f"ghs_{secrets.token_hex(18)}"
        github.tokens[made] = "write"
        return 201, {"token": made, "expires_at": _rfc3339(int(github.now) + 3600)}


def _put(github: GitHub, place: str, name: str, body: bytes) -> tuple[int, object]:
    sent = json.loads(body)
    identity, key = github.key(place)
    try:
        value = SealedBox(key).decrypt(b64decode(sent["encrypted_value"], validate=True)).decode()
    except (CryptoError, ValueError, KeyError):
        return 422, {"message": "improperly encrypted secret"}
    sharing: Json = {}
    if place.startswith("/orgs/"):
        if sent.get("visibility") not in VISIBILITIES:
            return 422, {"message": "visibility is required"}
        sharing = {
            "visibility": sent["visibility"],
            "repositories": tuple(sent.get("selected_repository_ids", ())),
        }
    if sent.get("key_id") != identity or not NAME.fullmatch(name):
        return 422, {"message": "wrong key or name"}
    fresh = (place, name) not in github.known
    github.put(place, name, value, **sharing)
    return (201, {}) if fresh else (204, None)


def _shown(github: GitHub, place: str, name: str, there: Kept) -> Json:
    shown: Json = {
        "name": name,
        "created_at": _rfc3339(there.created_at),
        "updated_at": _rfc3339(there.updated_at),
    }
    if there.visibility:
        shown["visibility"] = there.visibility
    if there.visibility == "selected":
        shown["selected_repositories_url"] = f"{github.address}{place}/secrets/{name}/repositories"
    return shown


def _rfc3339(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
