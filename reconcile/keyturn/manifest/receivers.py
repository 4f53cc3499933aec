"""The fields of `notify` and `after_delivery` as pydantic models."""

from __future__ import annotations

import posixpath
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from keyturn.core.errors import InputError
from keyturn.core.notify import NAME
from keyturn.core.origins import check_transport, parse_origin
from keyturn.manifest.durations import PATTERN, parse_duration, show_duration

_LEAST, _MOST = timedelta(seconds=1), timedelta(minutes=10)
RECEIVERS = 10
"""The most receivers of a manifest."""


def _program(text: str) -> str:
    if not text.startswith("/") or posixpath.normpath(text) != text or text.startswith("//") or ":" in text:
        raise ValueError("must be an absolute path without `.`, `..`, `//` or `:`")
    return text


def _command(words: list[str]) -> list[str]:
    _program(words[0])
    return words


def _url(text: str) -> str:
    try:
        check_transport(parse_origin(text))
    except InputError as error:
        raise ValueError(f"{error.what}; {error.remedy}" if error.remedy else error.what) from None
    return text


def _timeout(value: timedelta) -> timedelta:
    if not _LEAST <= value <= _MOST:
        raise ValueError(f"must be between {show_duration(_LEAST)} and {show_duration(_MOST)}")
    return value


Program = Annotated[str, StringConstraints(min_length=2, max_length=512), AfterValidator(_program)]
Word = Annotated[str, StringConstraints(max_length=1000)]
Command = Annotated[list[Word], Field(min_length=1, max_length=32), AfterValidator(_command)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=1000), AfterValidator(_url)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Timeout = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "1m"]}),
    AfterValidator(_timeout),
]
Event = Literal["rotated", "failed", "parked", "action-needed", "overdue", "refused", "recovered"]
DEFAULT: tuple[Event, ...] = ("failed", "parked", "action-needed", "overdue", "refused", "recovered")
"""The events that a receiver is told of if its `on` is absent."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


class HookEntry(_Entry):
    """A program that is run after each verified delivery of the key, without a shell."""

    command: Command = Field(
        description="Absolute path of the program, and its arguments. The operator has to permit the program.",
        examples=[["/usr/local/bin/restart-bot", "checkout"]],
    )
    timeout: Timeout = Field(timedelta(seconds=60), description="After this time the program is killed.")


class _Receiver(_Entry):
    name: Name = Field("", description="Name of the receiver. Default: its type.")


class _Hearing(_Receiver):
    on: list[Event] = Field(list(DEFAULT), description="The events to tell. Default: all but `rotated`.")


class WebhookEntry(_Hearing):
    """An HTTP endpoint that gets each notice as a signed POST request, as in Standard Webhooks."""

    type: Literal["webhook"]
    url: Url = Field("", description="Address. Default: the variable KEYTURN_NOTIFY_<NAME>_URL.")


class SlackEntry(_Hearing):
    """An incoming webhook of Slack, or of a service that takes the same. Its URL is KEYTURN_NOTIFY_<NAME>_URL."""

    type: Literal["slack"]


class CommandEntry(_Hearing):
    """A program that gets each notice as JSON on standard input, without a shell."""

    type: Literal["command"]
    command: Command = Field(
        description="Absolute path of the program, and its arguments. The operator has to permit the program."
    )


class DeadManEntry(_Receiver):
    """A URL that is called after each good run over all keys, as healthchecks.io and others take it."""

    type: Literal["dead-man"]
    url: Url = Field("", description="Address. Default: the variable KEYTURN_NOTIFY_<NAME>_URL.")


ReceiverEntry = Annotated[WebhookEntry | SlackEntry | CommandEntry | DeadManEntry, Field(discriminator="type")]
Receivers = Annotated[list[ReceiverEntry], Field(max_length=RECEIVERS)]
