"""Ask the sandbox what a description allows, and what it does not, and hold every answer against the description."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Final

import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from keyturn.sandbox import SCOPES, Sandbox

DESCRIPTION: Final[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("sandbox.yaml").read_text())
AnyCase = Case[Any]
START: Final = 1_790_000_000.0
CHECKS: Final = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
MODEL: Final = {
    "chat": "openai-gpt-oss-20b",
    "responses": "openai-gpt-oss-20b",
    "images": "openai-gpt-image-1",
    "invoke": "fal-ai/flux/schnell",
}
REGION: Final = "nyc3"
MANY: Final = 12
FEW: Final = 2


@dataclass(frozen=True, slots=True)
class Situation:
    """How the account is, and who asks: `right`, `scopeless`, `unknown`, `vpc` or `nobody`.

    examples: requests of each kind (right or wrong, about anything or about what exists); few if all are refused.
    """

    changes: Mapping[str, object] = field(default_factory=dict)
    who: str = "right"
    examples: int = FEW


_ANYONE: Final = (
    Situation(examples=MANY),
    Situation(who="unknown"),
    Situation(who="nobody"),
    Situation(who="scopeless"),
)
CONTROL: Final = (
    *_ANYONE,
    Situation({"create": "allowed", "secret_prefix": "mixed"}, examples=MANY),
    Situation({"create": "allowed"}, "scopeless"),
    Situation({"balance": "blocked"}),
    Situation({"minute_limit": 1}),
)
INFERENCE: Final = (
    *_ANYONE,
    Situation(who="vpc"),
    Situation({"quota": "exceeded"}),
    Situation({"quota": "unpaid"}),
    Situation({"quota": "blocked"}),
    *(Situation({"balance": "blocked", "balance_status": status}) for status in (401, 402, 403)),
    Situation({"tier_denied": list(MODEL.values())}),
    Situation({"retired": list(MODEL.values())}),
)


@dataclass(slots=True)
class Tally:
    """What came of the requests of one call."""

    cases: Counter[str] = field(default_factory=Counter)
    deviations: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)


class Explorer:
    """A sandbox with what the requests need: a description, and credentials of each kind."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Prepare keys, tokens, an app and a job in a running sandbox."""
        self._sandbox = sandbox
        self._schema = schemathesis.openapi.from_dict(DESCRIPTION)
        self._schema.config.update(base_url=sandbox.url)
        self._session = requests.Session()
        self._session.trust_env = False
        self._token = sandbox.add_token(scopes=SCOPES).value
        self._narrow = sandbox.add_token(scopes=()).value
        self._vpc = sandbox.panel_create("bound", vpc=True).secret
        self._secret = sandbox.panel_create("caller").secret
        body = {"model_id": MODEL["invoke"], "input": {}}
        headers = {"authorization": f"Bearer {self._secret}"}
        answer = self._session.post(f"{sandbox.url}/v1/async-invoke", json=body, headers=headers, timeout=10)
        self._app = sandbox.make_app({"name": "app"}).id
        self._job: str = answer.json()["request_id"]

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def explore(self, verb: str, path: str, situations: Sequence[Situation] = ()) -> Tally:
        """Send every kind of request of one call in every situation, or in these; the same ones each time."""
        operation = self._schema[path][verb.upper()]
        tally = Tally()
        modes = [GenerationMode.POSITIVE]
        if operation.body or operation.query or operation.path_parameters:
            modes.append(GenerationMode.NEGATIVE)
        requests_of = [operation.as_strategy(generation_mode=mode) for mode in modes]
        for situation in situations or (INFERENCE if path.startswith("/v1/") else CONTROL):
            for cases, real in product(requests_of, (False, True)):
                with self._in(situation):
                    self._send(cases, real, situation, tally)
        return tally

    @contextmanager
    def _in(self, situation: Situation) -> Iterator[None]:
        usual = self._sandbox.settings
        self._sandbox.change(**situation.changes)
        try:
            yield
        finally:
            self._sandbox.change(**usual.view())

    def _send(self, cases: st.SearchStrategy[AnyCase], real: bool, situation: Situation, tally: Tally) -> None:
        @settings(
            max_examples=situation.examples,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def send(case: AnyCase) -> None:
            if real:
                self._make_real(case)
            case.headers.update(self._credential(case, situation.who))
            self._judge(case, tally)

        send()

    def _make_real(self, case: AnyCase) -> None:
        """Let a request be about a key, an app, a job, a model that exists."""
        name = case.operation.definition.raw["operationId"]
        names = {parameter.name for parameter in case.operation.path_parameters}
        if "uuid" in names:
            case.path_parameters = {"uuid": self._sandbox.panel_create("bot").uuid}
        if "app_id" in names:
            case.path_parameters = {"app_id": self._app}
        if name == "propose-app" and isinstance(case.body, dict):
            case.body["app_id"] = self._app
        if "secret" in names:
            case.path_parameters = {"secret": self._stored()}
            case.query = {**(case.query or {}), "region": REGION}
            if isinstance(case.body, dict):
                case.body |= {"region": REGION, "version": 1, "values": {"KEY": "x"}}
        if "request_id" in names:
            case.path_parameters = {"request_id": self._job}
        if name in MODEL and isinstance(case.body, dict):
            case.body["model_id" if name == "invoke" else "model"] = MODEL[name]
            case.body.pop("stream", None)

    def _stored(self) -> str:
        """Make a secret of Secrets Manager, and return its name."""
        name = f"s{len(self._sandbox.state.stored)}"
        body = {"name": name, "region": REGION, "values": {}}
        headers = {"authorization": f"Bearer {self._token}"}
        self._session.post(f"{self._sandbox.url}/v2/security/secrets", json=body, headers=headers, timeout=10)
        return name

    def _credential(self, case: AnyCase, who: str) -> dict[str, str]:
        right = self._secret if case.path.startswith("/v1/") else self._token
        bearer = {"right": right, "scopeless": self._narrow, "unknown": "none", "vpc": self._vpc}
        return {} if who == "nobody" else {"authorization": f"Bearer {bearer[who]}"}

    def _judge(self, case: AnyCase, tally: Tally) -> None:
        answer = case.call(session=self._session, timeout=10)
        tally.statuses[str(answer.status_code)] += 1
        for check in CHECKS:
            tally.cases[check.__name__] += 1
            try:
                case.validate_response(answer, checks=[check])
            except FailureGroup as failures:
                tally.deviations[check.__name__] += 1
                tally.examples += [str(failure) for failure in failures.exceptions][:1]


def calls() -> list[tuple[str, str, str]]:
    """Return name, verb and path of every call of the description."""
    return [
        (call["operationId"], verb, path)
        for path, item in DESCRIPTION["paths"].items()
        for verb, call in item.items()
        if verb != "parameters"
    ]


def statuses(verb: str, path: str) -> set[str]:
    """Return the statuses that the description knows of a call."""
    return set(DESCRIPTION["paths"][path][verb]["responses"])
