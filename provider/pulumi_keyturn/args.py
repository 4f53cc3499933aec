"""The inputs of the dynamic resources as typed dictionaries. Every value is a `pulumi.Input`.

Durations have the notation of the manifest: `30d`, `24h`, `5m`, `30s`, `1h30m`. A credential is never an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict

from pulumi import Input


class DeliverArgs(TypedDict, total=False):
    """A delivery: a path and field of a target, to which the secret is written."""

    target: Required[Input[str]]
    """A name from `targets`."""
    path: Required[Input[str]]
    field: Input[str]
    """Field at that path. Default: the whole value."""


class AdoptArgs(TypedDict, total=False):
    """Consent to take over existing API keys."""

    secret: Required[Input[Literal["existing", "regenerate"]]]
    """What to do with the current secret: `existing` keeps it, `regenerate` replaces it."""
    a: Input[str]
    """UUID of the key, or of slot a. Default: found by name."""
    b: Input[str]
    live: Input[Literal["a", "b"]]
    """The slot whose secret is in use."""


class WindowArgs(TypedDict, total=False):
    """When a scheduled rotation may start."""

    cron: Required[Input[str]]
    """Cron expression of five fields. The window opens each time it matches."""
    duration: Required[Input[str]]
    timezone: Input[str]
    """IANA name of the time zone. Default: UTC."""


class RotationArgs(TypedDict, total=False):
    """How and when the key rotates. `strategy` is required with `every`."""

    strategy: Input[Literal["in-place", "alternating"]]
    every: Input[str]
    """Age at which an up replaces the secret. Default: only on demand."""
    overlap: Input[str]
    """How long the old secret stays valid with `alternating`. Default: 24h."""
    window: Input[WindowArgs]


SmokeArgs = TypedDict(
    "SmokeArgs",
    {
        "model": Input[str],
        "api": Input[Literal["chat", "responses"]],
        "expect_models": Input[Sequence[Input[str]]],
        "from": Input[Literal["here", "skip"]],
    },
    total=False,
)
"""How a secret is tested. `model` is required unless `from` is `skip` (a key that is bound to a VPC)."""


class RecordsArgs(TypedDict, total=False):
    """The record store."""

    target: Required[Input[str]]
    """A name from `targets`, or `local` for the directory .keyturn of the project."""
    prefix: Input[str]


class TimingArgs(TypedDict, total=False):
    """Limits on waiting times, as durations. Defaults: 5m, 30s, 90s, 60s and 30s."""

    delivery: Input[str]
    settle: Input[str]
    lease: Input[str]
    propagation: Input[str]
    request: Input[str]


FreezeArgs = TypedDict(
    "FreezeArgs",
    {"from": Required[Input[str]], "until": Required[Input[str]], "reason": Required[Input[str]]},
)
"""A time in which no scheduled rotation and no retire starts: two moments with their offset from UTC, and why."""


Targets = Mapping[str, Input[Mapping[str, Input[object]]]]
"""Targets by name: `type` and its settings, without credentials (`keyturn targets` lists them)."""


class ModelAccessKeyArgs(TypedDict, total=False):
    """The inputs of a ModelAccessKey."""

    deliver: Input[Sequence[Input[DeliverArgs]]]
    """Required, unless the resource is only looked up by `ResourceOptions(id=…)`."""
    targets: Input[Targets]
    records: Input[RecordsArgs]
    """Default: the first of `targets` with compare-and-set, and the prefix `keyturn`."""
    key: Input[str]
    """Id of the record. Default: PROJECT.STACK.RESOURCE. It must not change."""
    name: Input[str]
    """Name in DigitalOcean. Default: the key's id. `alternating` adds -a and -b."""
    adopt: Input[AdoptArgs]
    rotation: Input[RotationArgs]
    rotation_trigger: Input[object]
    """Any value. A change of it rotates the key."""
    smoke: Input[SmokeArgs]
    timing: Input[TimingArgs]
    freeze: Input[Sequence[Input[FreezeArgs]]]
    """When an up starts no scheduled rotation, and retires no old secret."""
    on_delete: Input[Literal["delete", "retain"]]
    """`retain` releases the API keys, and leaves them and the deliveries unchanged. Default: `delete`."""
    clean_targets: Input[bool]
    """Whether to remove the secret from deliveries that are no longer declared. Default: True."""
    take_over: Input[bool]
    """Consent to take over the record of another owner, and to replace a value that keyturn did not write."""
    verify: Input[bool]
    """Whether refresh and update test the delivered secret. Default: False."""
    expose_secret: Input[bool]
    """Whether the secret becomes an output, encrypted in the state. Default: False."""


class SmokeCheckArgs(TypedDict, total=False):
    """The inputs of a SmokeCheck."""

    deliveries: Required[Input[Sequence[Input[Mapping[str, Input[str]]]]]]
    """The deliveries to check: the `deliveries` of a ModelAccessKey, or dictionaries with target, path and field."""
    targets: Required[Input[Targets]]
    smoke: Required[Input[SmokeArgs]]
    every: Input[str]
    """Age at which an up checks again without a change."""
    timing: Input[TimingArgs]
