"""The manifest's fields as pydantic models. `schemas/manifest.v1.json` is generated from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from keyturn.core.errors import InputError
from keyturn.core.model import Timing, Window
from keyturn.core.schedule import next_opening
from keyturn.manifest.durations import PATTERN, parse_duration, show_duration
from keyturn.manifest.receivers import HookEntry, Receivers
from keyturn.targets.base import Target, check_path

Kinds = Mapping[str, type[Target]]
"""The kinds of target by name. A lookup raises InputError if the kind cannot be imported."""

ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})$"
NAME_LENGTH = 128

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_TIMING = Timing()


def _between(least: timedelta, most: timedelta) -> Callable[[timedelta], timedelta]:
    def check(value: timedelta) -> timedelta:
        if not least <= value <= most:
            raise ValueError(f"must be between {show_duration(least)} and {show_duration(most)}")
        return value

    return check


def _name(text: str) -> str:
    if text != text.strip():
        raise ValueError("may not start or end with a space")
    return text


def _path(text: str) -> str:
    try:
        return check_path(text)
    except InputError as error:
        raise ValueError(f"this path is not allowed: {error.evidence}") from None


def _cron(text: str) -> str:
    wrong = 'must be a cron expression of five fields that ever matches, such as "0 2 * * SUN"'
    try:
        if len(text.split()) == 5:  # noqa: PLR2004  (a sixth would be seconds)
            next_opening(Window(text, _SECOND), datetime(2024, 1, 1, tzinfo=UTC))
            return text
    except InputError as error:
        wrong = f"{wrong} ({error.evidence})"
    raise ValueError(wrong)


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
    return text


def _moment(text: object) -> datetime:
    wrong = "must be a moment with its offset from UTC, such as 2026-12-18T18:00:00+01:00 or 2026-12-18T17:00:00Z"
    if not isinstance(text, str) or not re.match(MOMENT, text, re.ASCII) or text.endswith("\n"):
        raise ValueError(wrong)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(wrong) from None


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is empty; fill it in or remove it")
    return value


def _lower(text: str) -> str:
    return text.lower()


Id = Annotated[str, StringConstraints(pattern=ID)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH), AfterValidator(_name)]
Uuid = Annotated[str, StringConstraints(pattern=UUID), AfterValidator(_lower)]
Path = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_path)]
Cron = Annotated[str, StringConstraints(max_length=100), AfterValidator(_cron)]
Zone = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30d", "24h", "5m", "30s", "1h30m"]}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "pattern": MOMENT, "examples": ["2026-12-18T18:00:00+01:00"]}),
]
Wait = Annotated[Duration, AfterValidator(_between(_SECOND, _HOUR))]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


class AdoptEntry(_Entry):
    """Consent to take over existing API keys."""

    secret: Literal["existing", "regenerate"] = Field(description="What to do with the current secret.")
    a: Uuid = Field("", description="UUID of the key, or of slot a. Default: found by name.")
    b: Uuid = Field("", description="UUID of slot b.")
    live: Literal["a", "b"] | None = Field(None, description="The slot whose secret is in use.")


class DeliverEntry(_Entry):
    """A path and field of a target, to which the secret is written."""

    target: str = Field(description="A name from `targets`.")
    path: Path
    field: Name = Field("", description="Field at that path. Default: the whole value.")


class WindowEntry(_Entry):
    """When a scheduled rotation may start."""

    cron: Cron = Field(description="Cron expression of five fields. The window opens each time it matches.")
    duration: Annotated[Duration, AfterValidator(_between(timedelta(minutes=1), 7 * _DAY))]
    timezone: Zone = Field("UTC", description="IANA name of the time zone.")


class RotationEntry(_Entry):
    """How and when the key rotates."""

    strategy: Literal["in-place", "alternating"] | None = Field(None, description="Required with `every`.")
    every: Annotated[Duration, AfterValidator(_between(_SECOND, 3650 * _DAY))] | None = Field(
        None, description="Age at which the secret is replaced. Default: only on demand."
    )
    overlap: Annotated[Duration, AfterValidator(_between(_SECOND, 3650 * _DAY))] = Field(
        _DAY, description="How long the old secret stays valid with `alternating`."
    )
    window: WindowEntry | None = None


class SmokeEntry(_Entry):
    """How a secret is tested."""

    model: Name = Field("", description="Model for the test completion. Required unless `from: skip`.")
    api: Literal["chat", "responses"] = "chat"
    expect_models: list[Name] = Field([], description="Models that the key must be allowed to use.")
    origin: Literal["here", "skip"] = Field(
        "here", alias="from", description="`skip`: do not test, for a key that is bound to a VPC."
    )


class PoolEntry(_Entry):
    """Spare API keys that an operator created in the control panel. A missing key takes one of them."""

    prefix: Annotated[Name, StringConstraints(min_length=3)] = Field(description="Prefix of the names of the spares.")
    low: int = Field(0, ge=0, le=1000, description="`plan` and `status` report if fewer spares than this are left.")


class Defaults(_Entry):
    """Default values of every key. They are merged field by field; lists replace."""

    rotation: RotationEntry = RotationEntry()
    smoke: SmokeEntry = SmokeEntry()
    clean_targets: bool = True
    pool: PoolEntry | None = Field(None, description="Pool from which a missing API key is taken.")
    after_delivery: HookEntry | None = Field(None, description="Program that is run after each verified delivery.")


class MovedEntry(_Entry):
    """The key had another id before: its record, claims and history go on under the new one."""

    origin: Id = Field(alias="from", description="The id that the key had before. It has no entry any more.")


class KeyEntry(Defaults):
    """One key."""

    name: Name = Field("", description="Name in DigitalOcean. Default: the id. `alternating` adds -a and -b.")
    state: Literal["present", "absent"] = "present"
    adopt: Annotated[AdoptEntry | None, BeforeValidator(_given)] = None
    moved: Annotated[MovedEntry | None, BeforeValidator(_given)] = None
    deliver: list[DeliverEntry] = Field(
        [], description="Deliveries of the secret. At least one, unless the key is absent."
    )
    clean_targets: bool = Field(default=True, description="Remove the secret from a delivery that is no longer listed.")


class TargetEntry(BaseModel):
    """A store of secrets. Its settings depend on its type."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)

    type: str = Field(description="A kind that `keyturn targets` lists.")


class RecordsEntry(_Entry):
    """The record store."""

    target: str = Field(description="A name from `targets`, or `local` for the directory .keyturn.")
    prefix: Path = "keyturn"


class LimitsEntry(_Entry):
    """Limits of one run."""

    rotations_per_run: int = Field(20, ge=0, le=100_000)


class FreezeEntry(_Entry):
    """A time in which no scheduled rotation starts."""

    since: Moment = Field(alias="from", description="First moment of the freeze, with its offset from UTC.")
    until: Moment = Field(description="First moment after the freeze, at most 366 days after `from`.")
    reason: Name = Field(description="Shown wherever the freeze holds something back.")


class TimingEntry(_Entry):
    """Limits on waiting times."""

    delivery: Wait = timedelta(seconds=_TIMING.delivery)
    settle: Wait = timedelta(seconds=_TIMING.settle)
    lease: Wait = timedelta(seconds=_TIMING.lease)
    propagation: Wait = timedelta(seconds=_TIMING.propagation)
    request: Wait = timedelta(seconds=_TIMING.request)


class Manifest(_Entry):
    """A keyturn manifest: model access keys as code."""

    api_version: Literal["keyturn/v1"] = Field(alias="apiVersion")
    name: Name = Field(description="Owner, as written into the records.")
    targets: dict[Id, TargetEntry] = {}
    records: Annotated[RecordsEntry | None, BeforeValidator(_given)] = Field(
        None, description="Record store. Default: the first target with compare-and-set, and the prefix keyturn."
    )
    defaults: Defaults = Defaults()
    pool: PoolEntry | None = Field(None, description="Pool of all keys without one of their own.")
    keys: dict[Id, KeyEntry]
    limits: LimitsEntry = LimitsEntry()
    timing: TimingEntry = TimingEntry()
    notify: Receivers = Field([], description="Receivers of notices.")
    freeze: list[FreezeEntry] = Field(
        [], max_length=100, description="When no scheduled rotation starts, and no old secret is retired."
    )


def manifest_schema(kinds: Kinds) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a manifest with these kinds of target."""
    from keyturn.manifest.reference import annotate

    schema: dict[str, object] = Manifest.model_json_schema(schema_generator=AsWritten)
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)  # noqa: S101  (for the type checker: Manifest has sub-models)
    choices = []
    for kind in sorted(kinds):
        settings = kinds[kind].settings_model.model_json_schema(
            ref_template=f"#/$defs/{kind}.{{model}}", schema_generator=AsWritten
        )
        definitions |= {f"{kind}.{name}": value for name, value in settings.pop("$defs", {}).items()}
        settings["properties"] = {"type": {"const": kind}, **settings.get("properties", {})}
        settings["required"] = ["type", *settings.get("required", [])]
        definitions[kind] = settings
        choices.append({"$ref": f"#/$defs/{kind}"})
    if choices:
        other = definitions["TargetEntry"]
        other["properties"]["type"] = {**other["properties"]["type"], "not": {"enum": sorted(kinds)}}
        definitions["TargetEntry"] = {"anyOf": [*choices, other]}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "manifest.v1.json", "title": "keyturn"}
    return {**head, **annotate(schema)}


class AsWritten(GenerateJsonSchema):
    """Defaults as an operator writes them: durations such as `24h`, and nothing for what is not written."""

    def encode_default(self, dft: object) -> object:
        """Return a default as it is written."""
        if isinstance(dft, timedelta):
            return show_duration(dft)
        return {} if isinstance(dft, BaseModel) else super().encode_default(dft)
