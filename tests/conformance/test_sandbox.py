"""Every call of the sandbox against our own description of it: right and wrong requests, in every situation."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
import schemathesis
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyturn.sandbox import Sandbox
from keyturn.sandbox.app import application
from keyturn.sandbox.service import Service
from tests.conformance.explore import CHECKS, DESCRIPTION, START, Explorer, calls, statuses
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


def _lacks_a_field(body: dict[str, object]) -> tuple[int, bytes, bytes]:
    return 200, b"application/json", json.dumps({**body, "data": [{"id": "m"}]}).encode()


WRONG: dict[str, Callable[[dict[str, object]], tuple[int, bytes, bytes]]] = {
    "not_a_server_error": lambda body: (500, b"application/json", b'{"id": "ServerError", "message": "no"}'),
    "status_code_conformance": lambda body: (418, b"application/json", b'{"id": "Teapot", "message": "no"}'),
    "content_type_conformance": lambda body: (200, b"text/html", b"<html></html>"),
    "response_schema_conformance": _lacks_a_field,
}


def _spoil(app: ASGIApp, wrong: Callable[[dict[str, object]], tuple[int, bytes, bytes]]) -> ASGIApp:
    """Wrap the sandbox so that `/v1/models` answers something else."""

    async def spoilt(scope: Scope, receive: Receive, send: Send) -> None:
        head: Message = {}

        async def tell(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            status, kind, body = wrong(json.loads(message["body"]))
            kept = [(k, v) for k, v in head["headers"] if k not in {b"content-type", b"content-length"}]
            headers = [*kept, (b"content-type", kind), (b"content-length", str(len(body)).encode())]
            await send({**head, "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        await app(scope, receive, tell if scope["path"] == "/v1/models" else send)

    return spoilt


@pytest.mark.parametrize("check", WRONG)
def test_a_wrong_sandbox_is_found(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    """A sandbox that answers one call wrongly is found by the very check, at every answer."""

    def spoilt(service: Service) -> ASGIApp:
        return _spoil(application(service), WRONG[check])

    monkeypatch.setattr(import_module("keyturn.sandbox.serve"), "application", spoilt)
    with sandbox() as running:
        explorer = Explorer(running)
        tally = explorer.explore("get", "/v1/models")
        explorer.close()
    assert tally.deviations[check] == tally.cases[check] > 0
