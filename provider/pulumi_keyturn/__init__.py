"""Model access keys as Pulumi resources: the same machine and the same records as the command line."""

from __future__ import annotations

from pulumi_keyturn.args import (
    AdoptArgs,
    DeliverArgs,
    ModelAccessKeyArgs,
    RecordsArgs,
    RotationArgs,
    SmokeArgs,
    SmokeCheckArgs,
    TimingArgs,
    WindowArgs,
)
from pulumi_keyturn.resources import ModelAccessKey, SmokeCheck

__all__ = [
    "AdoptArgs",
    "DeliverArgs",
    "ModelAccessKey",
    "ModelAccessKeyArgs",
    "RecordsArgs",
    "RotationArgs",
    "SmokeArgs",
    "SmokeCheck",
    "SmokeCheckArgs",
    "TimingArgs",
    "WindowArgs",
]
