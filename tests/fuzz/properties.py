"""What has to hold of each parser of outside input: only documented errors, soon, without the secret; and back again.

A parser of a later version gets its line in `PROPERTIES`: what it reads, and a function of one input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import yaml
from hypothesis import strategies as st

from keyturn.core.errors import KeyturnError, ManifestError, Mistake, RateLimited
from keyturn.core.record import dump, parse_claim, parse_record
from keyturn.live.digitalocean.budget import RateBudget
from keyturn.live.digitalocean.http import Answer
from keyturn.live.digitalocean.refusal import refusal, unreadable
from keyturn.live.digitalocean.wire import AccountAnswer, Completion, ControlError, KeyAnswer, KeyPage, parse
from keyturn.manifest.parse import INSTALLED
from keyturn.manifest.policy import parse_policy
from keyturn.report.documents import parse_plan, parse_report
from keyturn.targets import app_spec, dotenv_text, json_text, rest, shell_text
from keyturn.targets.github_login import TokenLogin
from keyturn.targets.github_places import Family, Place
from keyturn.targets.github_secrets import Found, GitHubSecrets, limit
from tests.fuzz.inputs import (
    CANARY,
    CLAIM,
    FILES,
    HEADERS,
    NAMES,
    NOISE,
    SAMPLES,
    SECRETS,
    TREES,
    VALUES,
    documents,
)
from tests.support.manifests import KEYS, TOP, read

PLAN = json.dumps({"format": 1, "kind": "plan", "keys": ["a"], "runs": [{"owner": "o", "digest": "d"}], "consent": {}})
POLICY = """\
apiVersion: keyturn-policy/v1
owners:
  o:
    records: {target: local}
    names: ["*"]
"""
KEY = {"uuid": "u", "name": "n", "created_at": "2026-11-24T00:00:00Z", "secret_key": "s"}
ANSWERS = (
    json.dumps({"api_key_info": KEY}),
    json.dumps({"api_key_infos": [KEY], "meta": {"total": 1}, "links": {"pages": {"next": "https://x"}}}),
    json.dumps({"id": "forbidden", "message": CANARY, "request_id": "r"}),
    json.dumps({"account": {"team": {"uuid": "t", "name": "n"}}}),
    json.dumps({"choices": [{"message": {"content": "x"}}], "output": [], "status": "completed"}),
    json.dumps({"error": {"message": CANARY, "code": 1, "type": "t", "param": None}}),
)


APP = json.dumps(
    {
        "app": {
            "id": "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf",
            "spec": {
                "name": "checkout",
                "envs": [{"key": "KEY", "type": "SECRET", "value": "EV[1:a:b]"}],
                "services": [{"name": "web", "envs": [{"key": "OTHER", "value": CANARY}]}],
            },
            "active_deployment": {"spec": {"name": "checkout"}},
        }
    }
)
GITHUB = (
    json.dumps({"name": "KEY", "created_at": "2026-11-24T00:00:00Z", "updated_at": "2026-11-24T00:00:01Z"}),
    json.dumps({"key_id": "1", "key": CANARY}),
    json.dumps({"repositories": [{"id": 1}], "message": CANARY}),
)
GITHUB_READ = ("date", "retry-after", "x-ratelimit-remaining", "x-ratelimit-reset", "x-accepted-github-permissions")
READ = ("date", "retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
"""The headers that are read of an answer."""


def manifest(source: str | bytes) -> None:
    """It is right, or a ManifestError whose mistakes have a text and a line."""
    mistakes: Sequence[Mistake] = ()
    try:
        read(source)
    except ManifestError as error:
        mistakes = error.mistakes
    assert all(one.text and one.line for one in mistakes)
    assert not any(CANARY in str(one) for one in mistakes)


def policy(source: str | bytes) -> None:
    """It is right, or a ManifestError whose mistakes have a text."""
    mistakes: Sequence[Mistake] = ()
    try:
        parse_policy(source if isinstance(source, bytes) else source.encode(errors="replace"), "policy.yaml", INSTALLED)
    except ManifestError as error:
        mistakes = error.mistakes
    assert all(one.text for one in mistakes)
    assert not any(CANARY in str(one) for one in mistakes)


def record(text: str) -> None:
    """It is refused, or written as it was read."""
    _again(text, lambda one: parse_record(one, where="here"))


def claim(text: str) -> None:
    """It is refused, or written as it was read."""
    _again(text, lambda one: parse_claim(one, where="here"))


def _again(text: str, parsed: Callable[[str], Any]) -> None:
    with suppress(KeyturnError):
        found = parsed(text)
        assert parsed(dump(found)) == found


def plan(text: str) -> None:
    """A saved plan or a report is refused, or read."""
    for reading in (parse_plan, parse_report):
        with suppress(KeyturnError):
            reading(text, where="here")


def answer(body: bytes) -> None:
    """An answer of the API is read, or is nothing; what is told of it never repeats a secret."""
    for shape in (AccountAnswer, Completion, ControlError, KeyAnswer, KeyPage):
        parse(shape, body)
    told = Answer(500, httpx.Headers(), body, 0.1)
    for status in (400, 401, 404, 410, 429, 500, 302):
        error = refusal(Answer(status, httpx.Headers(), body, 0.1), "could not x", "s", "here")
        assert CANARY not in f"{error} {error!r}"
    assert CANARY not in str(unreadable(told, "could not x", "here"))


def headers(given: Mapping[str, str]) -> None:
    """Whatever the headers of an answer say, the next request is sent or refused, and waits no longer than a day."""
    waits: list[float] = []
    budget = RateBudget(waits.append, lambda: datetime(2026, 11, 24, tzinfo=UTC))
    for status in (200, 429):
        budget.acquire()
        budget.release(status, given)
    with suppress(RateLimited):
        budget.acquire(patience=60.0)
    assert sum(waits) <= 86_400


def app(text: str) -> None:
    """An answer about an app is refused, or one variable of its spec is set and taken out, and nothing else changes."""
    spec, told = "", ""
    try:
        spec = app_spec.spec_of(text)
    except ValueError as error:
        told = str(error)
    for component in ("", "web") if spec else ():
        try:
            present = app_spec.variable(spec, component, "KEY")
            fresh = app_spec.with_variable(spec, component, "KEY", CANARY)
        except ValueError as error:
            told += str(error)
            continue
        found = app_spec.variable(fresh, component, "KEY")
        assert found is not None
        assert found.value == CANARY
        if present is not None and isinstance(present.value, str):
            back = app_spec.with_variable(fresh, component, "KEY", present.value)
            assert json.loads(back) == json.loads(spec)
        assert app_spec.variable(app_spec.with_variable(fresh, component, "KEY", None), component, "KEY") is None
    assert CANARY not in told


def github(given: tuple[int, Mapping[str, str], str]) -> None:
    """What GitHub answers about a secret is metadata with a marker, or an error that does not repeat it."""
    status, told, text = given
    answered = rest.Answer(
        status, text, httpx.Headers([(name.encode(), told[name].encode("latin-1", "replace")) for name in told])
    )
    server = GitHubSecrets(SimpleNamespace(send=lambda *_: answered), TokenLogin({"GH_TOKEN": "t"}), "github")  # type: ignore[arg-type]
    place = Place(Family.ACTIONS, "acme", "web")
    assert (limit(answered) or 0.0) >= 0.0
    for ask in (
        partial(server.read, place, "KEY"),
        partial(server.public_key, place),
        partial(server.selected, place, "KEY"),
    ):
        found: object = None
        complaint = ""
        try:
            found = ask()
        except KeyturnError as error:
            complaint = f"{error} {error!r}"
        assert CANARY not in complaint
        if isinstance(found, Found):
            assert found.marker.isascii()
            assert found.marker.isprintable()
            assert len(found.marker) <= 128


def file_of(module: ModuleType) -> Callable[[tuple[str, str]], None]:
    """A file is refused, or what was written into it is read back, and taken out again."""

    def check(given: tuple[str, str]) -> None:
        text, secret = given
        told = ""
        fresh = text
        try:
            fresh = module.changed(text, "KEY", secret)
        except ValueError as error:
            told = str(error)
        assert CANARY not in told
        if told:
            return
        assert value(fresh) == secret
        assert value(module.changed(fresh, "KEY", None)) is None

    def value(text: str) -> object:
        if module is json_text:
            return next((one.value for one in json_text.members(text) if one.name == "KEY"), None)
        return module.read(text, "KEY")

    return check


def _yaml(data: object) -> str:
    return str(yaml.safe_dump(data))


PROPERTIES: Mapping[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "manifest of noise": (st.one_of(st.text(), st.binary()), manifest),
    "manifest of words": (st.dictionaries(NAMES, TREES, max_size=8).map(_yaml), manifest),
    "manifest with noise": (st.tuples(st.just(TOP), NOISE, st.just(KEYS)).map("".join), manifest),
    "policy of noise": (st.one_of(st.text(), st.binary()), policy),
    "policy of words": (st.dictionaries(NAMES, TREES, max_size=8).map(_yaml), policy),
    "policy with noise": (st.tuples(st.just(POLICY), NOISE).map("".join), policy),
    "record": (documents(SAMPLES), record),
    "claim": (documents([CLAIM]), claim),
    "saved plan": (documents([PLAN]), plan),
    "noise as a document": (NOISE, plan),
    "noise as a record": (NOISE, record),
    "API answer": (st.one_of(documents(ANSWERS).map(lambda text: text.encode(errors="replace")), st.binary()), answer),
    "API answer of any shape": (VALUES.map(lambda data: json.dumps(data).encode()), answer),
    "headers": (st.fixed_dictionaries(dict.fromkeys(READ, HEADERS)), headers),
    "App Platform": (documents([APP]), app),
    "App Platform with noise": (st.tuples(st.just(APP[:40]), NOISE, st.just(APP[40:])).map("".join), app),
    "GitHub": (
        st.tuples(
            st.sampled_from((200, 201, 403, 404, 422, 429)),
            st.fixed_dictionaries({}, optional=dict.fromkeys(GITHUB_READ, HEADERS)),
            documents(GITHUB),
        ),
        github,
    ),
    "dotenv": (st.tuples(FILES, SECRETS), file_of(dotenv_text)),
    "shell": (st.tuples(FILES, SECRETS), file_of(shell_text)),
    "json": (st.tuples(FILES, SECRETS), file_of(json_text)),
}
"""Each parser with its inputs."""
