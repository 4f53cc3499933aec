"""The JSON documents and their published schemas."""

from __future__ import annotations

import json

import jsonschema
import pytest

from keyturn.core.errors import InputError
from keyturn.core.limits import Consent
from keyturn.core.reasons import Reason
from keyturn.core.record import Record
from keyturn.core.results import End, KeyReport, RunReport
from keyturn.report.documents import KINDS, PlanDocument, ReportDocument, dump, parse_plan, schema
from tests.support.outcomes import NOW, run_plan
from tests.unit.test_report_hostile import documents


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_a_schema(kind: str) -> None:
    """Each is valid against the metaschema of draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize("document", documents("name"), ids=lambda document: document.kind)
def test_a_document_is_valid_against_its_schema(document: PlanDocument) -> None:
    """What is printed fits what is published."""
    jsonschema.validate(json.loads(dump(document)), schema(document.kind))


@pytest.mark.parametrize("document", documents("name"), ids=lambda document: document.kind)
def test_a_schema_refuses_what_it_does_not_know_and_what_is_missing(document: PlanDocument) -> None:
    """The schema says something: no unknown field, no missing one."""
    whole = json.loads(dump(document))
    for wrong in ({**whole, "surprise": 1}, {name: value for name, value in whole.items() if name != "schema"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema(document.kind))


def test_a_saved_plan_comes_back_as_it_was() -> None:
    """Writing and reading a plan changes nothing, its digest least of all."""
    document = PlanDocument(NOW, 0, (run_plan(),), ("bot",), True, Consent(1, 2, True, ("bot",)))
    saved = parse_plan(dump(document), where="plan.json")
    assert (saved.keys, saved.verify, saved.consent) == (document.keys, document.verify, document.consent)
    assert [(run.owner, run.digest) for run in saved.runs] == [(run.owner, run.digest) for run in document.runs]


def test_a_plan_of_an_earlier_version_can_be_read() -> None:
    """Only what binds an apply to it is read; its digest then decides whether it is still what would be done."""
    end = {"condition": "at-rest", "code": "at-rest", "why": "", "until": None, "exit_code": 0}
    key = {"key": "bot", "changes": [], "end": end, "basis": "0123456789abcdef"}
    run = {"owner": "platform", "plans": [key], "exit_code": 0, "digest": "ab" * 32}
    text = json.dumps(
        {"kind": "plan", "schema": 1, "at": NOW.isoformat(), "exit_code": 0, "runs": [run], "keys": ["bot"]}
    )
    saved = parse_plan(text, where="plan.json")
    assert (saved.keys, saved.runs[0].owner, saved.runs[0].digest) == (("bot",), "platform", "ab" * 32)


def test_a_report_leaves_the_record_out() -> None:
    """The key of its digests would be in it."""
    report = KeyReport("bot", (), End(Reason.AT_REST), record=Record("bot", "me", "ab" * 32))
    text = dump(ReportDocument(NOW, 0, (RunReport("platform", "r", (report,)),)))
    assert "ab" * 32 not in text
    assert "record" not in json.loads(text)["runs"][0]["reports"][0]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"kind": "report"}', "\x1b[31m"])
def test_what_is_no_plan_is_refused_without_being_repeated(text: str) -> None:
    """The error names the file and the place, not the content."""
    with pytest.raises(InputError, match=r"plan\.json: this is not a plan") as caught:
        parse_plan(text, where="plan.json")
    assert "\x1b" not in str(caught.value)
