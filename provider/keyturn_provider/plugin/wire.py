"""What goes over the wire between engine and provider: values, and errors that carry more than a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value
from grpc import StatusCode
from pulumi.runtime.proto.status_pb2 import Status

from keyturn_provider import inputs, state

DETAILS = "grpc-status-details-bin"
"""The metadata in which gRPC passes the details of an error."""

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""The field that tells a secret, and other special values, from an ordinary object: `rpc._special_sig_key`."""

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The text that stands for a value that is not known yet: `rpc.UNKNOWN`. To import `rpc` takes long."""


def unpacked(properties: Struct) -> dict[str, object]:
    """Return the values of a message. What is not known yet is `pulumi.output.Unknown`; secrets come as they are.

    Like `rpc.deserialize_properties`, which takes four times as long: each up unpacks seven messages for each key.
    """
    found = ((name, _value(value)) for name, value in properties.fields.items())
    return {name: value for name, value in found if value is not None}


def packed(values: Mapping[str, object]) -> Struct:
    """Return values as a message. None is an empty text: a missing output would look unknown in every preview."""
    properties = Struct()
    for name, value in values.items():
        plain: Any = "" if value is None else _plain(value)
        properties.update({name: _hidden(plain) if name == state.SECRET else plain})
    return properties


def details(text: str, detail: Message) -> tuple[tuple[str, bytes], ...]:
    """Return the metadata of an error with a detail that the engine acts on."""
    anything = Packed()
    anything.Pack(detail)
    status = Status(code=StatusCode.UNKNOWN.value[0], message=text, details=[anything])
    return ((DETAILS, status.SerializeToString()),)


def _value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return _unknown() if value.string_value == UNKNOWN else value.string_value
    if kind == "struct_value":
        if SIGNATURE in value.struct_value.fields:
            from pulumi.runtime import rpc

            return rpc.unwrap_rpc_secret(rpc.deserialize_property(value.struct_value, keep_unknowns=True))
        return unpacked(value.struct_value)
    if kind == "list_value":
        return [_value(item) for item in value.list_value.values]
    if kind == "number_value":
        return value.number_value
    return value.bool_value if kind == "bool_value" else None


def _unknown() -> object:
    from pulumi.output import UNKNOWN as NOT_KNOWN

    return NOT_KNOWN


def _hidden(plain: object) -> object:
    """Return a secret as one."""
    from pulumi.runtime import rpc

    return plain if rpc.is_rpc_secret(plain) else rpc.wrap_rpc_secret(plain)


def _plain(value: object) -> object:
    if inputs.is_unknown(value):
        return UNKNOWN
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
