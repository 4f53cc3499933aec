"""What a program gives to the resources: typed dictionaries, every value of them a `pulumi.Input`.

Durations are written as in the manifest: `30d`, `24h`, `5m`, `30s`, `1h30m`. No credential is ever an input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Required, TypedDict

from pulumi import Input


class DeliverArgs(TypedDict, total=False):
    """A delivery: the secret is kept there."""

    target: Required[Input[str]]
    """A name from `targets`."""
    path: Required[Input[str]]
    field: Input[str]
    """The field at that path; the whole value if left out."""


class AdoptArgs(TypedDict, total=False):
    """Consent to take over existing API keys."""

    secret: Required[Input[Literal["existing", "regenerate"]]]
    """What happens to the present secret: `existing` keeps it, `regenerate` kills it."""
    a: Input[str]
    """The uuid of the key, or of slot a; found by name if left out."""
    b: Input[str]
    live: Input[Literal["a", "b"]]
    """The slot whose secret is in use."""


class WindowArgs(TypedDict, total=False):
    """When a scheduled rotation may start."""

    cron: Required[Input[str]]
    """Five fields; the window opens at each of its moments."""
    duration: Required[Input[str]]
    timezone: Input[str]
    """An IANA name; UTC if left out."""


class RotationArgs(TypedDict, total=False):
    """How and when the key rotates; `strategy` is required if `every` is given."""

    strategy: Input[Literal["in-place", "alternating"]]
    every: Input[str]
    """The age at which an up replaces the secret; only on demand if left out."""
    overlap: Input[str]
    """How long the old secret of `alternating` lives on; 24h if left out."""
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
"""How a secret is tried; `model` is required unless `from` is `skip` (a key of a VPC)."""


class RecordsArgs(TypedDict, total=False):
    """The record store."""

    target: Required[Input[str]]
    """A name from `targets`, or `local` for the directory .keyturn of the project."""
    prefix: Input[str]


class TimingArgs(TypedDict, total=False):
    """The bounds of waiting, as durations: 5m, 30s, 90s, 60s and 30s if left out."""

    delivery: Input[str]
    settle: Input[str]
    lease: Input[str]
    propagation: Input[str]
    request: Input[str]


Targets = Mapping[str, Input[Mapping[str, Input[object]]]]
"""Targets by name: `type` and its settings, without any credential (`keyturn targets` lists them)."""


class ModelAccessKeyArgs(TypedDict, total=False):
    """The inputs of a ModelAccessKey."""

    deliver: Input[Sequence[Input[DeliverArgs]]]
    """Required, unless the resource is only looked up by `ResourceOptions(id=…)`."""
    targets: Input[Targets]
    records: Input[RecordsArgs]
    """By default the first of `targets` that can compare and set, prefix `keyturn`."""
    key: Input[str]
    """The id of the record, by default PROJECT.STACK.RESOURCE; it may not change."""
    name: Input[str]
    """The name in DigitalOcean, by default the key's id; alternating adds -a and -b."""
    adopt: Input[AdoptArgs]
    rotation: Input[RotationArgs]
    rotation_trigger: Input[object]
    """Any value: a change of it rotates."""
    smoke: Input[SmokeArgs]
    timing: Input[TimingArgs]
    on_delete: Input[Literal["delete", "retain"]]
    """`retain` releases the API keys and leaves them and the deliveries as they are; `delete` if left out."""
    clean_targets: Input[bool]
    """Whether the secret is removed from deliveries that are no longer wanted; True if left out."""
    take_over: Input[bool]
    """Consent to take the record from another owner, and to replace a value that keyturn did not write."""
    verify: Input[bool]
    """Whether refresh and update try the delivered secret; False if left out."""
    expose_secret: Input[bool]
    """Whether the secret becomes an output, encrypted in the state; False if left out."""


class SmokeCheckArgs(TypedDict, total=False):
    """The inputs of a SmokeCheck."""

    deliveries: Required[Input[Sequence[Input[Mapping[str, Input[str]]]]]]
    """What to check: the `deliveries` of a ModelAccessKey, or dictionaries with target, path and field."""
    targets: Required[Input[Targets]]
    smoke: Required[Input[SmokeArgs]]
    every: Input[str]
    """The age at which an up checks again, although nothing changed."""
    timing: Input[TimingArgs]
