"""Plans, reports and states as JSON documents, each valid against a published schema made from these types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from keyturn import __version__
from keyturn.core.configuration import Configuration
from keyturn.core.errors import InputError, KeyturnError, ManifestError, Mistake, PolicyError
from keyturn.core.forecast import Coming
from keyturn.core.limits import Consent
from keyturn.core.literals import masked
from keyturn.core.model import ApiKey, Delivery, Event, SmokeResult
from keyturn.core.record import record_schema
from keyturn.core.results import End, Explanation, KeyStatus, PoolState, RunPlan, RunReport
from keyturn.report.notices import Notice
from keyturn.report.set_up import DoctorDocument, TargetsDocument, ValidationDocument


@dataclass(frozen=True, slots=True)
class PlanDocument:
    """One plan for each manifest; `keys` are the ids that were asked for, empty for all."""

    at: datetime
    exit_code: int
    runs: tuple[RunPlan, ...]
    keys: tuple[str, ...] = ()
    verify: bool = False
    consent: Consent = Consent()
    kind: Literal["plan"] = "plan"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class KeyExplained:
    """Every decision of the plan of one key, in order; the last one is how the plan ends."""

    key: str
    decisions: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class ExplanationDocument:
    """Why the plans of these keys are what they are."""

    at: datetime
    exit_code: int
    keys: tuple[KeyExplained, ...]
    kind: Literal["explanation"] = "explanation"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What of a saved plan binds an apply: whose it is, and the digest of all that it was made from."""

    owner: str
    digest: str
    configuration: Configuration | None = None
    """To say what changed; None in a plan of an earlier version."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A saved plan as an apply reads it, of this version or an earlier one."""

    kind: Literal["plan"]
    runs: tuple[SavedRun, ...]
    keys: tuple[str, ...] = ()
    verify: bool = False
    consent: Consent = Consent()
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """What a run did, one report for each manifest."""

    at: datetime
    exit_code: int
    runs: tuple[RunReport, ...]
    kind: Literal["report"] = "report"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """The condition of every key.

    `unowned`: keys of the account that no manifest owns, null if they were not asked for. `stopped`: why an apply would
    stop before any key; `stops`: the same with its reason. `only`: the conditions that were asked for, empty for all;
    `hidden`: how many keys have another one, and are not among `keys`. The exit code is that of what is shown.
    """

    at: datetime
    exit_code: int
    keys: tuple[KeyStatus, ...]
    unowned: tuple[ApiKey, ...] | None = None
    pools: tuple[PoolState, ...] = ()
    stopped: tuple[str, ...] = ()
    stops: tuple[End, ...] = ()
    only: tuple[str, ...] = ()
    hidden: int = 0
    kind: Literal["status"] = "status"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class ScheduleDocument:
    """What will happen from `at` to `until`, in the order of time; each rotation is assumed to succeed.

    `notes`: what the schedule cannot tell.
    """

    at: datetime
    until: datetime
    exit_code: int
    coming: tuple[Coming, ...]
    notes: tuple[str, ...] = ()
    kind: Literal["schedule"] = "schedule"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class HistoryDocument:
    """The events of one key, oldest first."""

    key: str
    owner: str
    generation: int
    events: tuple[Event, ...]
    kind: Literal["history"] = "history"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """The events of one key of several, oldest first."""

    key: str
    owner: str
    generation: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class HistoriesDocument:
    """The events of several keys; `since`: no earlier ones are among them, null if all are."""

    at: datetime
    keys: tuple[KeyHistory, ...]
    since: datetime | None = None
    kind: Literal["histories"] = "histories"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class Checked:
    """One smoke-checked secret: its key and where it was read; `delivery` null where it came on standard input."""

    key: str
    delivery: Delivery | None
    result: SmokeResult


@dataclass(frozen=True, slots=True)
class SmokeDocument:
    """What the smoke-check found in each delivery, and the condition of each key: that of `status --verify`."""

    exit_code: int
    checked: tuple[Checked, ...]
    keys: tuple[KeyStatus, ...] = ()
    kind: Literal["smoke"] = "smoke"
    schema: Literal[1] = 1
    keyturn: str = __version__


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """Why a command ended without a document of its own.

    `error` is the whole text; the other fields are its parts, as far as they are known. `mistakes`: each mistake of a
    manifest, or each violation of the policy.
    """

    at: datetime
    exit_code: int
    error: str
    where: str = ""
    evidence: str = ""
    remedy: str = ""
    mistakes: tuple[Mistake, ...] = ()
    kind: Literal["error"] = "error"
    schema: Literal[1] = 1
    keyturn: str = __version__


Parsed = TypeVar("Parsed", SavedPlan, ReportDocument)
Document = (
    Notice
    | PlanDocument
    | ExplanationDocument
    | ReportDocument
    | StatusDocument
    | ScheduleDocument
    | HistoryDocument
    | HistoriesDocument
    | SmokeDocument
    | DoctorDocument
    | ValidationDocument
    | ErrorDocument
    | TargetsDocument
)

_TYPES: Mapping[str, type[Document]] = {
    "plan": PlanDocument,
    "explanation": ExplanationDocument,
    "report": ReportDocument,
    "status": StatusDocument,
    "schedule": ScheduleDocument,
    "history": HistoryDocument,
    "histories": HistoriesDocument,
    "smoke": SmokeDocument,
    "notice": Notice,
    "doctor": DoctorDocument,
    "validation": ValidationDocument,
    "error": ErrorDocument,
    "targets": TargetsDocument,
}
KINDS = ("record", *_TYPES)


def dump(document: Document) -> str:
    r"""Return the document as JSON in plain ASCII: no control or bidi character of a name is left raw.

    In `##[` and `##vso[`, which CI runners look for anywhere in a line, one `#` is written as `\u0023`: a parser reads
    the same text. No line starts with `::`. A word that looks like a secret is masked.
    """
    adapter: TypeAdapter[Document] = TypeAdapter(type(document))
    text = json.dumps(_masked(adapter.dump_python(document, mode="json")), indent=2)
    return re.sub(r"#(?=#\w*\[)", r"\\u0023", text) + "\n"


def error_document(at: datetime, exit_code: int, text: str, error: BaseException | None = None) -> ErrorDocument:
    """Return the document of a command that ended with `text`; only an error of keyturn adds its parts."""
    if isinstance(error, ManifestError):
        return ErrorDocument(at, exit_code, text, mistakes=error.mistakes)
    if isinstance(error, PolicyError):
        return ErrorDocument(at, exit_code, text, mistakes=error.violations)
    if isinstance(error, KeyturnError):
        return ErrorDocument(at, exit_code, text, error.where, error.evidence, error.remedy)
    return ErrorDocument(at, exit_code, text)


def parse_plan(text: str, *, where: str) -> SavedPlan:
    """Parse a saved plan; raises InputError where it is not one, without repeating its text."""
    return _parse(SavedPlan, "plan", text, where, "Make it again with `keyturn plan --out`.")


def parse_report(text: str, *, where: str) -> ReportDocument:
    """Parse a report; raises InputError like `parse_plan`."""
    return _parse(ReportDocument, "report", text, where, "")


def _parse(kind: type[Parsed], name: str, text: str, where: str, remedy: str) -> Parsed:
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "its top"
        raise InputError(
            f"this is not a {name} that this version of keyturn can read",
            where=where,
            evidence=f"at {place}",
            remedy=remedy,
        ) from None


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of document; raises KeyError for an unknown one."""
    if kind == "record":
        return record_schema()
    made = TypeAdapter(_TYPES[kind]).json_schema(mode="serialization", schema_generator=_Whole)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": f"keyturn {kind}, version 1",
        **{name: value for name, value in _closed(made).items() if name != "title"},
    }


class _Whole(GenerateJsonSchema):
    """What keyturn writes is always whole: a field with a default is required too."""

    def field_is_required(self, *_: object, **__: object) -> bool:
        """Require every field."""
        return True


def _masked(node: Any) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(node, str):
        return masked(node)
    if isinstance(node, list):
        return [_masked(item) for item in node]
    return {name: _masked(value) for name, value in node.items()} if isinstance(node, dict) else node


def _closed(node: Any) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(value) for name, value in node.items()}
    return {**closed, "additionalProperties": False} if "properties" in node else closed
