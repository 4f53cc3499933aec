"""Every call of the sandbox against our own description of it: right and wrong requests, in every situation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import pytest
import schemathesis
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyturn.sandbox import Sandbox
from keyturn.sandbox.app import application
from keyturn.sandbox.service import Service
from tests.conformance.explore import CHECKS, DESCRIPTION, START, Explorer, Situation, calls, statuses
from tests.support import conforming


def sandbox() -> Sandbox:
    """Make a sandbox without limits, of which every request is the same each time."""
    return Sandbox(seed=1, start=START, hour_limit=10**9, minute_limit=10**9)


@pytest.fixture(scope="module")
def explorer() -> Iterator[Explorer]:
    """One sandbox for all calls."""
    with sandbox() as running:
        ready = Explorer(running)
        yield ready
        ready.close()


@pytest.mark.parametrize(("name", "verb", "path"), calls(), ids=[name for name, _, _ in calls()])
def test_every_answer_is_as_described(
    request: pytest.FixtureRequest, explorer: Explorer, name: str, verb: str, path: str
) -> None:
    """No answer deviates, and every status of the description was answered: each check had something to check."""
    tally = explorer.explore(verb, path)
    conforming.note(request, name, tally.cases, tally.deviations)
    assert tally.examples == []
    assert set(tally.statuses) == statuses(verb, path)
    assert set(tally.cases) == {check.__name__ for check in CHECKS}


def test_the_description_is_openapi_and_has_every_call() -> None:
    """The description is valid, and no route of either API is missing in it."""
    schemathesis.openapi.from_dict(DESCRIPTION).validate()
    routes = [route for route in application(sandbox()).routes if isinstance(route, Route)]
    served = {
        (verb.lower(), re.sub(r"\{\w+\}", "{}", route.path))
        for route in routes
        for verb in (route.methods or set()) - {"HEAD"}
        if route.path.startswith(("/v1/", "/v2/")) and ":path" not in route.path
    }
    assert {(verb, re.sub(r"\{\w+\}", "{}", path)) for _, verb, path in calls()} == served


@dataclass(frozen=True, slots=True)
class Wrong:
    """What a wrong sandbox answers; None means what the right one does."""

    status: int | None = None
    kind: bytes = b"application/json"
    body: bytes | None = None
    lacks: bytes = b""


WRONG = {
    "not_a_server_error": Wrong(500, body=b'{"id": "ServerError", "message": "no"}'),
    "status_code_conformance": Wrong(418, body=b'{"id": "Teapot", "message": "no"}'),
    "content_type_conformance": Wrong(kind=b"text/html", body=b"<html></html>"),
    "response_headers_conformance": Wrong(lacks=b"date"),
    "response_schema_conformance": Wrong(200, body=b'{"object": "list", "data": [{"id": "m"}]}'),
}


def _spoil(app: ASGIApp, wrong: Wrong) -> ASGIApp:
    """Wrap the sandbox so that `/v1/models` answers something else."""

    async def spoilt(scope: Scope, receive: Receive, send: Send) -> None:
        head: Message = {}

        async def tell(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            body = message["body"] if wrong.body is None else wrong.body
            changed = {b"content-type", b"content-length", wrong.lacks}
            headers = [(name, value) for name, value in head["headers"] if name not in changed]
            headers += [(b"content-type", wrong.kind), (b"content-length", str(len(body)).encode())]
            await send({**head, "status": wrong.status or head["status"], "headers": headers})
            await send({"type": "http.response.body", "body": body})

        await app(scope, receive, tell if scope["path"] == "/v1/models" else send)

    return spoilt


def test_every_check_has_a_wrong_sandbox() -> None:
    """No check is believed that was not seen to fail."""
    assert WRONG.keys() == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize("check", WRONG)
def test_a_wrong_sandbox_is_found(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """A sandbox that answers one call wrongly is found by the very check, at every answer."""

    def spoilt(service: Service) -> ASGIApp:
        return _spoil(application(service), WRONG[check])

    monkeypatch.setattr(import_module("keyturn.sandbox.serve"), "application", spoilt)
    with sandbox() as running:
        explorer = Explorer(running)
        tally = explorer.explore("get", "/v1/models", [Situation()])
        explorer.close()
    assert tally.deviations[check] == tally.cases[check] > 0
