"""All objects of one kind: listed once, then watched, for as long as the process runs.

The API is described in the documentation of Kubernetes ("Efficient detection of changes"). No text of an answer is
repeated in an error.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from keyturn import __version__
from keyturn.core.errors import KeyturnError, TargetUnavailable
from keyturn.targets.bounded_http import Unreadable
from keyturn.targets.kubernetes_login import Login
from keyturn.targets.kubernetes_server import JSON, Answer, Request, Server
from keyturn.targets.servers import Action, json_object, unreachable

Ident = tuple[str, str]
"""Namespace and name; the namespace is empty for an object of the cluster."""
Changed = Callable[[Ident, Mapping[str, object] | None], None]
"""Hears of each object that is new or different, with None for one that is gone. It may hear of one twice."""

PAGE = 500
"""Objects of one page of a list: below the largest answer that is read, at 16 KiB an object; fewer if they are larger.

One object is always below it: the server stores none larger than 1.5 MiB.
"""
PAGES = 10_000
WATCH = 240
"""Seconds after which the server ends a watch, so that a new one begins."""
SILENCE = 150.0
"""Seconds without a byte after which a watch is given up: the server sends a bookmark each minute."""
LARGEST = 4 * 1024 * 1024
"""Bytes of one event: the server stores no object larger than 1.5 MiB."""
FIRST, LONGEST = 0.2, 3.0
"""Seconds of pause after the first failure, and after many."""
STEADY = 5.0
"""Seconds: what lasted for longer did not fail at once, however it ended."""


class _Expired(Exception):
    """The server no longer knows this resource version: list again."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What to watch. `path` is that of the collection; `accept` may ask for the metadata only."""

    name: str
    path: str
    params: Mapping[str, str]
    accept: str = JSON


class Watch:
    """Follows one kind. `run` is for a thread of its own, `stop` for any other."""

    def __init__(self, server: Server, login: Login, origin: str, kind: Kind, changed: Changed) -> None:
        """Keep the settings. Nothing is sent yet."""
        self._server, self._login, self._origin, self._kind, self._changed = server, login, origin, kind, changed
        self._known: set[Ident] = set()
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._version = ""
        """Where the next watch begins: the last event that was told of. Empty: list again."""
        self.listed = threading.Event()
        """Set when the objects were listed for the first time."""
        self.heard = float("-inf")
        """Moment of `time.monotonic` at which the server was last heard of."""
        self.trouble = ""
        """Why the last request failed; empty while all is well."""

    def run(self) -> None:
        """List and watch until `stop`. Failures are noted in `trouble`, and tried again after a pause."""
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._version = self._version or self._list()
                # Each watch has a client of its own: the certificate authority may have been renewed.
                with self._client() as client:
                    self._follow(client)
            except _Expired:
                self._version = ""
            except KeyturnError as error:
                self.trouble = str(error)
            except Exception as error:  # noqa: BLE001 - its text may hold anything; nothing else follows this kind
                self._version, self.trouble = "", f"keyturn failed with {type(error).__name__}"
            failures = 0 if time.monotonic() - began > STEADY else failures + 1
            if failures:
                self._stop.wait(min(FIRST * 2 ** (failures - 1), LONGEST))

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._origin,
            verify=self._login.trust() if self._origin.startswith("https:") else True,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(10.0, read=SILENCE),
            headers={"User-Agent": f"keyturn/{__version__}", "Accept-Encoding": "identity"},
        )

    def _list(self) -> str:
        """Tell of every object that there is, and of those that are gone; return the version of the list."""
        found: set[Ident] = set()
        params, limit = dict(self._kind.params), PAGE
        for _ in range(PAGES):
            answer, limit = self._page(params, limit)
            limit = min(2 * limit, PAGE)
            if answer.status == HTTPStatus.GONE:
                raise _Expired
            if not answer.good:
                raise self._failure("list", f"status {answer.status}")
            for item in _objects(answer.body):
                found.add(ident(item))
                self._changed(ident(item), item)
            self.heard = time.monotonic()
            metadata = _metadata(answer.body)
            more = metadata.get("continue")
            if not more:
                self._gone(found)
                self.listed.set()
                return str(metadata.get("resourceVersion", ""))
            params["continue"] = str(more)
        raise self._failure("list", "the list does not end")

    def _page(self, params: Mapping[str, str], limit: int) -> tuple[Answer, int]:
        """Ask for a page of a list, of fewer objects if the answer is too large; return also of how many."""
        accept = self._kind.accept.replace("PartialObjectMetadata;", "PartialObjectMetadataList;")
        while True:
            request = Request("GET", self._kind.path, {**params, "limit": str(limit)}, accept=accept)
            try:
                return self._server.ask(self._action("list"), request), limit
            except TargetUnavailable as error:
                if limit == 1 or Unreadable.__name__ not in error.evidence:
                    raise
                limit //= 2

    def _gone(self, found: set[Ident]) -> None:
        for one in sorted(self._known - found):
            self._changed(one, None)
        self._known = found

    def _follow(self, client: httpx.Client) -> None:
        """Tell of changes, each once: what was true before the last one is told of never again. Raises _Expired."""
        params = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH)}
        asked = {**self._kind.params, **params, "resourceVersion": self._version}
        failure: KeyturnError
        try:
            with self._opened(client, asked) as response:
                for line in self._lines(response):
                    self._version = self._event(line) or self._version
                return
        except httpx.RequestError as error:
            if self._stop.is_set():
                return
            failure = unreachable(self._action("watch"), error, self._origin, SILENCE, writing=False)
        finally:
            self._socket = None
        raise failure

    @contextlib.contextmanager
    def _opened(self, client: httpx.Client, params: Mapping[str, str]) -> Iterator[httpx.Response]:
        refused = ""
        for _ in range(2):
            token = self._login.token(refused=refused) if refused else self._login.token()
            headers = {"Accept": self._kind.accept, **({"Authorization": f"Bearer {token}"} if token else {})}
            with client.stream("GET", self._kind.path, params=params, headers=headers) as response:
                if response.status_code == HTTPStatus.UNAUTHORIZED and token and not refused:
                    refused = token
                    continue
                if response.status_code == HTTPStatus.GONE:
                    raise _Expired
                if response.status_code != HTTPStatus.OK:
                    raise self._failure("watch", f"status {response.status_code}")
                stream = response.extensions.get("network_stream")
                self._socket = stream.get_extra_info("socket") if stream else None
                if not self._stop.is_set():
                    self.trouble = ""
                    yield response
                return

    def _lines(self, response: httpx.Response) -> Iterator[bytes]:
        buffer = b""
        for chunk in response.iter_raw():
            self.heard = time.monotonic()
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from (line for line in lines if line)
            if len(buffer) > LARGEST:
                raise self._failure("watch", f"an event is larger than {LARGEST // 1024**2} MiB")

    def _event(self, line: bytes) -> str:
        """Tell of one event; return its version. Raises _Expired."""
        event = json_object(line) or {}
        body = event.get("object")
        if not isinstance(body, dict):
            raise self._failure("watch", "an event is not of this API")
        match event.get("type"):
            case "ADDED" | "MODIFIED":
                self._known.add(ident(body))
                self._changed(ident(body), body)
            case "DELETED":
                self._known.discard(ident(body))
                self._changed(ident(body), None)
            case "ERROR":
                if body.get("code") == HTTPStatus.GONE:
                    raise _Expired
                raise self._failure("watch", f"status {body.get('code') if isinstance(body.get('code'), int) else '?'}")
            case _:
                pass  # a bookmark: it has a version, and nothing else
        return str(_metadata(body).get("resourceVersion", ""))

    def _action(self, doing: str) -> Action:
        remedy = f"Its ClusterRole or Role needs the verbs list and watch on {self._kind.name}."
        return Action(f"watch of {self._kind.name}", f"{doing} {self._kind.name}", remedy)

    def _failure(self, doing: str, evidence: str) -> TargetUnavailable:
        action = self._action(doing)
        return TargetUnavailable(f"could not {action.doing}", where=action.where, evidence=evidence)


def ident(found: Mapping[str, object]) -> Ident:
    """Return the namespace and name of an object."""
    metadata = _metadata(found)
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def _metadata(found: Mapping[str, object]) -> Mapping[str, object]:
    metadata = found.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _objects(body: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    items = body.get("items")
    yield from (item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict))
