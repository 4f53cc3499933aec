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

from pulumi_keyturn.sdk import (
    AdoptArgs,
    DeliverArgs,
    DeliveryArgs,
    FreezeArgs,
    ModelAccessKey,
    ModelAccessKeyArgs,
    Provider,
    ProviderArgs,
    RecordsArgs,
    RotationArgs,
    SmokeArgs,
    SmokeCheck,
    SmokeCheckArgs,
    TimingArgs,
    WindowArgs,
    get_model_access_key,
    get_model_access_key_output,
    list_keys,
    list_keys_output,
    outputs,
)

__all__ = [
    "AdoptArgs",
    "DeliverArgs",
    "DeliveryArgs",
    "FreezeArgs",
    "ModelAccessKey",
    "ModelAccessKeyArgs",
    "Provider",
    "ProviderArgs",
    "RecordsArgs",
    "RotationArgs",
    "SmokeArgs",
    "SmokeCheck",
    "SmokeCheckArgs",
    "TimingArgs",
    "WindowArgs",
    "get_model_access_key",
    "get_model_access_key_output",
    "list_keys",
    "list_keys_output",
    "outputs",
]
