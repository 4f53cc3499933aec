"""Model access keys as Pulumi resources: the same machine and the same records as the command line."""

from __future__ import annotations

try:
    import pulumi as _pulumi  # noqa: F401 - only to report what is missing
except ModuleNotFoundError as missing:
    if missing.name != "pulumi":
        raise
    message = (
        "pulumi_keyturn needs the Python library pulumi, which is not installed. "
        "Install keyturn[pulumi], as its README says."
    )
    raise ImportError(message, name="pulumi") from None

from pulumi_keyturn.args import (
    AdoptArgs,
    DeliverArgs,
    FreezeArgs,
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
    "FreezeArgs",
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
