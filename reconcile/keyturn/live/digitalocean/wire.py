"""The answers of the APIs as pydantic models. Fields are optional, unknown ones are ignored, errors hide the input."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from keyturn.core.model import ApiKey


def _moment(value: object) -> datetime | None:
    """Parse RFC 3339. Return None for any other value, and for the year 1, which means "never" in Go.

    A date that cannot be read must not cost us a secret.
    """
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.year == 1:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _table(value: object) -> object:
    return value if isinstance(value, dict) else {}


def _rows(value: object) -> object:
    return () if value is None else value


Moment = Annotated[datetime | None, BeforeValidator(_moment)]
Text = Annotated[str, BeforeValidator(_text)]


class Wire(BaseModel):
    """A JSON object of one of the APIs."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)


class KeyInfo(Wire):
    """`api_key_info`. Only the answers to create and regenerate have a `secret_key`."""

    uuid: Text = ""
    name: Text = ""
    created_at: Moment = None
    deleted_at: Moment = None
    secret_key: Text = Field(default="", repr=False)

    def key(self) -> ApiKey:
        """Return the key as a list shows it, without a secret."""
        return ApiKey(self.uuid, self.name, self.created_at, self.deleted_at)


class KeyAnswer(Wire):
    """The answer to create, rename, regenerate and delete."""

    api_key_info: Annotated[KeyInfo, BeforeValidator(_table)] = KeyInfo()


class Meta(Wire):
    """The size of the whole list."""

    total: int | None = None


class KeyPage(Wire):
    """One page of the list."""

    api_key_infos: Annotated[tuple[KeyInfo, ...], BeforeValidator(_rows)] = ()
    meta: Annotated[Meta, BeforeValidator(_table)] = Meta()


class Team(Wire):
    """The team that a token belongs to."""

    uuid: Text = ""


class Account(Wire):
    """`account`."""

    team: Annotated[Team, BeforeValidator(_table)] = Team()


class AccountAnswer(Wire):
    """The answer to GET /v2/account."""

    account: Annotated[Account, BeforeValidator(_table)] = Account()


class Prepayment(Wire):
    """The `status` of the prepaid balance. `blocked` is None if the answer does not state it."""

    blocked: Annotated[bool | None, BeforeValidator(_flag)] = None


class PrepaymentAnswer(Wire):
    """The answer to GET /v2/customers/my/prepayment_status."""

    status: Annotated[Prepayment, BeforeValidator(_table)] = Prepayment()


class ControlError(Wire):
    """An error of the control API. Only texts of known shape are kept."""

    id: Text = ""
    message: Text = ""
    request_id: Text = ""


class ModelInfo(Wire):
    """One model of `/v1/models`."""

    id: Text = ""


class ModelList(Wire):
    """The answer to GET /v1/models."""

    data: tuple[ModelInfo, ...]


class InferenceFault(Wire):
    """`error` of an OpenAI-compatible answer."""

    message: Text = ""
    code: Text = ""
    type: Text = ""
    param: Text = ""


class InferenceError(Wire):
    """An error of the inference API: the fields are in `error`, or on the top level for some servers."""

    error: Annotated[InferenceFault, BeforeValidator(_table)] = InferenceFault()
    message: Text = ""
    code: Text = ""
    id: Text = ""

    @property
    def text(self) -> str:
        """The error message."""
        return self.error.message or self.message

    @property
    def words(self) -> str:
        """All texts of the error in lower case, only for matching."""
        parts = (self.text, self.error.code, self.error.type, self.error.param, self.code, self.id)
        return " ".join(part for part in parts if part).lower()


class Completion(Wire):
    """The parts of a completion that show that a model worked. Its text is not parsed."""

    choices: tuple[Wire, ...] | None = None
    output: tuple[Wire, ...] | None = None
    status: Text = ""

    @property
    def answered(self) -> bool:
        """Whether a model answered, even with an empty text (a reasoning model at its limit)."""
        return bool(self.choices) or (self.output is not None and self.status not in {"failed", "cancelled"})


W = TypeVar("W", bound=Wire)


def parse(shape: type[W], body: bytes) -> W | None:
    """Return the body as `shape`, or None if it cannot be parsed."""
    try:
        return shape.model_validate_json(body)
    except (ValidationError, RecursionError):
        return None
