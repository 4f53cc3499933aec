"""The manifest's fields as pydantic models: what is checked, and what `schemas/manifest.v1.json` is generated from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from keyturn.core.errors import InputError
from keyturn.core.model import Timing, Window
from keyturn.core.schedule import next_opening
from keyturn.manifest.durations import PATTERN, parse_duration, show_duration
from keyturn.targets.base import Target, check_path

Kinds = Mapping[str, type[Target]]
"""The kinds of target by name; looking one up may raise InputError where it cannot be imported."""

ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
UUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
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
        raise ValueError("may not start or end with a blank")
    return text


def _path(text: str) -> str:
    try:
        return check_path(text)
    except InputError as error:
        raise ValueError(f"this path may not be used: {error.evidence}") from None


def _cron(text: str) -> str:
    wrong = 'must be a cron expression of five fields that comes true, such as "0 2 * * SUN"'
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


def _given(value: object) -> object:
    if value is None:
        raise ValueError("is empty; fill it in or take it out")
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
Wait = Annotated[Duration, AfterValidator(_between(_SECOND, _HOUR))]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class AdoptEntry(_Entry):
    """Consent to take over existing API keys."""

    secret: Literal["existing", "regenerate"] = Field(description="What happens to the present secret.")
    a: Uuid = Field("", description="The uuid of the key, or of slot a; found by name where left out.")
    b: Uuid = Field("", description="The uuid of slot b.")
    live: Literal["a", "b"] | None = Field(None, description="The slot whose secret is in use.")


class DeliverEntry(_Entry):
    """A place where the secret is kept."""

    target: str = Field(description="A name from `targets`.")
    path: Path
    field: Name = Field("", description="The field at that path; the whole value where left out.")


class WindowEntry(_Entry):
    """When a scheduled rotation may start."""

    cron: Cron = Field(description="Five fields; the window opens at each of its moments.")
    duration: Annotated[Duration, AfterValidator(_between(timedelta(minutes=1), 7 * _DAY))]
    timezone: Zone = Field("UTC", description="An IANA name.")


class RotationEntry(_Entry):
    """How and when the key rotates."""

    strategy: Literal["in-place", "alternating"] | None = Field(None, description="Required where `every` is given.")
    every: Annotated[Duration, AfterValidator(_between(_SECOND, 3650 * _DAY))] | None = Field(
        None, description="The age at which the secret is replaced; only on demand where left out."
    )
    overlap: Annotated[Duration, AfterValidator(_between(_SECOND, 3650 * _DAY))] = Field(
        _DAY, description="How long the old secret of `alternating` lives on."
    )
    window: WindowEntry | None = None


class SmokeEntry(_Entry):
    """How a secret is tried."""

    model: Name = Field("", description="Required unless `from: skip`.")
    api: Literal["chat", "responses"] = "chat"
    expect_models: list[Name] = Field([], description="Models that the key has to be allowed to use.")
    origin: Literal["here", "skip"] = Field("here", alias="from", description="`skip`: a key of a VPC.")


class PoolEntry(_Entry):
    """Spare API keys that a person made in the control panel; a missing key takes one of them."""

    prefix: Annotated[Name, StringConstraints(min_length=3)] = Field(description="How the names of the spares begin.")
    low: int = Field(0, ge=0, le=1000, description="If fewer spares than this are left, `plan` and `status` say so.")


class Defaults(_Entry):
    """What every key has unless it says otherwise; merged field by field, lists replace."""

    rotation: RotationEntry = RotationEntry()
    smoke: SmokeEntry = SmokeEntry()
    clean_targets: bool = True
    pool: PoolEntry | None = Field(None, description="Where a missing API key is taken from.")


class KeyEntry(Defaults):
    """One key."""

    name: Name = Field("", description="The name in DigitalOcean (default: the id); alternating adds -a and -b.")
    state: Literal["present", "absent"] = "present"
    adopt: Annotated[AdoptEntry | None, BeforeValidator(_given)] = None
    deliver: list[DeliverEntry] = Field([], description="At least one, unless the key is absent.")
    clean_targets: bool = Field(default=True, description="Remove the secret from a delivery that is no longer listed.")


class TargetEntry(BaseModel):
    """A place that holds secrets; its settings depend on its type."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, hide_input_in_errors=True)

    type: str = Field(description="A kind that `keyturn targets` lists.")


class RecordsEntry(_Entry):
    """Where the records are."""

    target: str = Field(description="A name from `targets`, or `local` for the directory .keyturn.")
    prefix: Path = "keyturn"


class LimitsEntry(_Entry):
    """Brakes."""

    rotations_per_run: int = Field(20, ge=0, le=100_000)


class TimingEntry(_Entry):
    """The bounds of waiting."""

    delivery: Wait = timedelta(seconds=_TIMING.delivery)
    settle: Wait = timedelta(seconds=_TIMING.settle)
    lease: Wait = timedelta(seconds=_TIMING.lease)
    propagation: Wait = timedelta(seconds=_TIMING.propagation)
    request: Wait = timedelta(seconds=_TIMING.request)


class Manifest(_Entry):
    """A keyturn manifest: model access keys as code."""

    api_version: Literal["keyturn/v1"] = Field(alias="apiVersion")
    name: Name = Field(description="The owner that is written into records.")
    targets: dict[Id, TargetEntry] = {}
    records: Annotated[RecordsEntry | None, BeforeValidator(_given)] = Field(
        None, description="By default the first target that can compare and set, prefix keyturn."
    )
    defaults: Defaults = Defaults()
    pool: PoolEntry | None = Field(None, description="The pool of every key that names none.")
    keys: dict[Id, KeyEntry]
    limits: LimitsEntry = LimitsEntry()
    timing: TimingEntry = TimingEntry()


def manifest_schema(kinds: Kinds) -> dict[str, object]:
    """Return the JSON Schema (draft 2020-12) of a manifest whose targets are of these kinds."""
    schema: dict[str, object] = Manifest.model_json_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)  # noqa: S101  (for the type checker: Manifest has sub-models)
    choices = []
    for kind in sorted(kinds):
        settings = kinds[kind].settings_model.model_json_schema(ref_template=f"#/$defs/{kind}.{{model}}")
        definitions |= {f"{kind}.{name}": value for name, value in settings.pop("$defs", {}).items()}
        settings["properties"] = {"type": {"const": kind}, **settings.get("properties", {})}
        settings["required"] = ["type", *settings.get("required", [])]
        definitions[kind] = settings
        choices.append({"$ref": f"#/$defs/{kind}"})
    if choices:
        other = definitions["TargetEntry"]
        other["properties"]["type"] = {**other["properties"]["type"], "not": {"enum": sorted(kinds)}}
        definitions["TargetEntry"] = {"anyOf": [*choices, {**other, "title": "OtherTarget"}]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "manifest.v1.json",
        **schema,
    }
