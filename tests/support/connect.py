"""A 1Password Connect server for the tests, on loopback: no real one is found, so a small one after its API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from tests.support.connect_state import Json, Refusal, State, new_identity
from tests.support.http_server import Handler, HttpServer

VERSION = "1.8.1"


class Connect(HttpServer):
    """One server, started by `with`; `state` may be looked at and changed at will."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.state = State()
        self.requests: list[tuple[str, str, bytes]] = []

    def vault(self, name: str) -> str:
        """Make a vault and return its id."""
        identity = new_identity()
        self.state.vaults[identity] = name
        return identity

    def token(self, scope: Mapping[str, str]) -> str:
        """Make a token that may do this (`r`, `rw`) in these vaults."""
        token = f"eyJ{new_identity()}.{new_identity()}.{new_identity()}"
        self.state.tokens[token] = dict(scope)
        return token

    def item(self, vault: str, title: str, **parts: object) -> Json:
        """Put an item into a vault, past the API, and return it."""
        made: Json = {"id": new_identity(), "title": title, "vault": {"id": vault}, "category": "API_CREDENTIAL"}
        return self.state.store(made | parts)


class _Handler(Handler):
    def _answer(self) -> None:
        body = self.body()
        connect: Connect = self.server.owner  # type: ignore[attr-defined]
        connect.requests.append((self.command, self.path, body))
        try:
            status, found = 200, self._route(connect.state, body)
        except Refusal as refusal:
            status, found = refusal.status, {"status": refusal.status, "message": refusal.message}
        if self.command == "DELETE" and status == 200:
            status = 204
        plain = isinstance(found, str)
        content = b"" if status == 204 else str(found).encode() if plain else json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if plain else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("1Password-Connect-Version", VERSION)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815  # the names that http.server calls

    def _route(self, state: State, body: bytes) -> object:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True).get("filter", [None])[0]
        if parts.path == "/heartbeat":
            return "."
        if parts.path == "/health":
            return {"name": "1Password Connect API", "version": VERSION, "dependencies": []}
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        names = parts.path.strip("/").split("/")
        if names == ["v1", "vaults"] and self.command == "GET":
            return state.list_vaults(token, query)
        if names[:2] == ["v1", "vaults"] and names[3:4] == ["items"]:
            return self._items(state, token, (names[2], *names[4:]), query, body)
        raise Refusal(404, "path not found")

    def _items(self, state: State, token: str, names: tuple[str, ...], query: str | None, body: bytes) -> object:
        try:
            sent = json.loads(body) if body else None
        except ValueError:
            raise Refusal(400, "Invalid JSON") from None
        match self.command, names:
            case "GET", (vault,):
                return state.list_items(token, vault, query)
            case "POST", (vault,):
                return state.create(token, vault, sent)
            case "GET", (vault, item):
                return state.get(token, vault, item)
            case "PUT", (vault, item):
                return state.replace(token, vault, item, sent)
            case "PATCH", (vault, item):
                return state.patch(token, vault, item, sent)
            case "DELETE", (vault, item):
                state.delete(token, vault, item)
                return None
            case _:
                raise Refusal(404, "path not found")
