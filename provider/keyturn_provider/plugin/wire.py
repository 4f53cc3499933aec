"""What goes over the wire between engine and provider: values, and errors that carry more than a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from grpc import StatusCode
from pulumi.output import Unknown
from pulumi.runtime import rpc
from pulumi.runtime.proto.status_pb2 import Status

from keyturn_provider import state

DETAILS = "grpc-status-details-bin"
"""The metadata in which gRPC passes the details of an error."""


def unpacked(properties: Struct) -> dict[str, object]:
    """Return the values of a message. What is not known yet is `pulumi.output.Unknown`; secrets come as they are."""
    found: dict[str, object] = rpc.deserialize_properties(properties, keep_unknowns=True)
    return {name: rpc.unwrap_rpc_secret(value) for name, value in found.items()}


def packed(values: Mapping[str, object]) -> Struct:
    """Return values as a message. None is an empty text: a missing output would look unknown in every preview."""
    properties = Struct()
    for name, value in values.items():
        plain: Any = "" if value is None else _plain(value)
        hidden = name == state.SECRET and not rpc.is_rpc_secret(plain)
        properties.update({name: rpc.wrap_rpc_secret(plain) if hidden else plain})
    return properties


def details(text: str, detail: Message) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata of an error with a detail that the engine acts on."""
    anything = Packed()
    anything.Pack(detail)
    status = Status(code=StatusCode.UNKNOWN.value[0], message=text, details=[anything])
    return ((DETAILS, status.SerializeToString()),)


def _plain(value: object) -> object:
    if isinstance(value, Unknown):
        return rpc.UNKNOWN
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
