"""The protocol: each call of the engine, answered by the resources and functions.

Every error is one paragraph without a traceback. Messages appear on the row of the resource that a call is about.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from pulumi.runtime.proto import plugin_pb2, provider_pb2
from pulumi.runtime.proto.provider_pb2 import DiffResponse, PropertyDiff
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer

from keyturn import __version__
from keyturn_provider import inputs, messages, session
from keyturn_provider.plugin import settings, wire, words
from keyturn_provider.plugin.resources import RESOURCES, Outputs
from keyturn_provider.plugin.settings import Settings
from keyturn_provider.state import Cause

Request = Any
Answer = TypeVar("Answer", bound=Message)
Method = Callable[["Provider", Request, grpc.ServicerContext], Answer]


def answered(method: Method[Answer]) -> Method[Answer]:
    """Wrap a call so that it counts as open, and every error is one paragraph. Messages are shown before it ends."""

    @functools.wraps(method)
    def wrapper(self: Provider, request: Request, context: grpc.ServicerContext) -> Answer:
        shown = messages.row.set(getattr(request, "urn", ""))
        try:
            with self.open:
                return method(self, request, context)
        except Exception as error:  # noqa: BLE001 - every error is reported in our own words
            text = messages.paragraph(error)
            if detail := self.detail(error, text):
                if isinstance(detail, provider_pb2.ErrorResourceAwaitFailed):
                    messages.awaited(text)
                context.set_trailing_metadata(wire.details(text, detail))
        finally:
            messages.flush()
            messages.row.reset(shown)
        context.abort(grpc.StatusCode.UNKNOWN, text)
        raise AssertionError  # abort has raised

    return wrapper


class OpenCalls:
    """Counts the calls that are not answered yet: the process does not end before them."""

    def __init__(self) -> None:
        """Start with none."""
        self._number = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until all calls are answered. Each is bounded by the machine's own limits."""
        with self._changed:
            self._changed.wait_for(lambda: not self._number)


class Provider(ResourceProviderServicer):
    """The provider as the engine calls it."""

    def __init__(self) -> None:
        """Start without a configuration."""
        self.open = OpenCalls()
        self._settings = Settings()

    def detail(self, error: Exception, text: str) -> Message | None:
        """Return what the engine has to know of a failed create or update besides the text.

        A key that waits for API keys that an operator makes is awaited. A key that has an API key is kept in the state,
        with what is known of it, so that a destroy deletes it and the next up goes on.
        """
        make = getattr(error, "make", ())
        outputs: Outputs | None = getattr(error, "outputs", None)
        if make:
            return provider_pb2.ErrorResourceAwaitFailed()
        if outputs is None:
            return None
        return provider_pb2.ErrorResourceInitFailed(
            id=str(outputs["key"]),
            properties=wire.packed(words.outward(outputs)),
            reasons=[text],
            refresh_before_update=self._settings.refresh,
        )

    # The process.
    def Handshake(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Secrets come unwrapped: the engine marks the outputs of the same names itself."""
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Return the version."""
        return plugin_pb2.PluginInfo(version=__version__)

    def GetSchema(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Return the schema of the package."""
        from keyturn_provider.plugin import schema

        return provider_pb2.GetSchemaResponse(schema=schema.package(__version__))

    def GetMapping(self, request: Request, context: grpc.ServicerContext) -> Message:
        """There is no provider of another tool that this one stands for."""
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request: Request, context: grpc.ServicerContext) -> Message:
        """As `GetMapping`."""
        return provider_pb2.GetMappingsResponse()

    def Cancel(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Let every run end where its record can tell the next one what is open."""
        session.cancelled.set()
        return Empty()

    # The configuration.
    @answered
    def CheckConfig(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Check the configuration."""
        found = settings.failures(wire.unpacked(request.news))
        return _checked(request.news, found)

    @answered
    def DiffConfig(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Compare the configuration. No change of it replaces a resource, nor does the change from another provider."""
        same = wire.unpacked(request.olds) == wire.unpacked(request.news)
        return DiffResponse(changes=DiffResponse.DIFF_NONE if same else DiffResponse.DIFF_SOME)

    @answered
    def Configure(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Take the configuration."""
        self._settings = settings.configured(wire.unpacked(request.args), request.name or "default")
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    # Functions.
    @answered
    def Invoke(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Call a function."""
        from keyturn_provider.plugin import functions

        found = functions.call(request.tok, words.inward(wire.unpacked(request.args)), self._settings)
        return provider_pb2.InvokeResponse(**{"return": wire.packed(words.outward(found))})

    # Resources.
    @answered
    def Check(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Check the inputs of a resource, and complete them."""
        where, olds, news = words.place(request.urn), _props(request.olds), _props(request.news)
        checked, found = RESOURCES[where.type].check(where, olds, news, self._settings)
        return _checked(wire.packed(words.outward(inputs.given(checked, checked))), found)

    @answered
    def Diff(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Tell whether an update is due, by names that show why. The words go to the resource's row."""
        where, olds, news = words.place(request.urn), _props(request.olds), _props(request.news)
        cause = RESOURCES[where.type].diff(where, olds, news)
        if cause.why:
            messages.say(cause.why)
        return _difference(cause, olds, news)

    @answered
    def Create(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Create or adopt a resource, or plan it."""
        where, news = words.place(request.urn), _props(request.properties)
        name, outputs = RESOURCES[where.type].create(where, news, preview=request.preview)
        shown, refresh = wire.packed(words.outward(outputs)), self._refresh(where)
        return provider_pb2.CreateResponse(id=name, properties=shown, refresh_before_update=refresh)

    @answered
    def Update(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Update a resource, or plan it."""
        where, olds, news = words.place(request.urn), _props(request.olds), _props(request.news)
        outputs = RESOURCES[where.type].update(where, olds, news, preview=request.preview)
        shown = wire.packed(words.outward(outputs))
        return provider_pb2.UpdateResponse(properties=shown, refresh_before_update=self._refresh(where))

    @answered
    def Read(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Read a resource. An import comes without properties, a look-up with empty ones."""
        where, olds = words.place(request.urn), _props(request.properties)
        importing = not request.HasField("properties")
        found = RESOURCES[where.type].read(where, request.id, olds, self._settings, importing=importing)
        if not found.id:
            return provider_pb2.ReadResponse()
        given = request.inputs if found.inputs is None else wire.packed(words.outward(found.inputs))
        shown, refresh = wire.packed(words.outward(found.outputs)), self._refresh(where)
        return provider_pb2.ReadResponse(id=found.id, properties=shown, inputs=given, refresh_before_update=refresh)

    @answered
    def Delete(self, request: Request, context: grpc.ServicerContext) -> Message:
        """Delete a resource."""
        RESOURCES[words.place(request.urn).type].delete(_props(request.properties))
        return Empty()

    def _refresh(self, where: words.Place) -> bool:
        return self._settings.refresh and where.type == words.KEY


def _props(properties: Request) -> Outputs:
    return words.inward(wire.unpacked(properties))


def _checked(given: Request, found: list[str]) -> provider_pb2.CheckResponse:
    """Return a result without property names: the engine would print the properties' values."""
    failures = [provider_pb2.CheckFailure(reason=words.in_camel(reason)) for reason in found]
    return provider_pb2.CheckResponse(inputs=given, failures=failures)


def _difference(cause: Cause, olds: Outputs, news: Outputs) -> DiffResponse:
    """Return a difference. An output can only show as leaving: the engine takes new values from the inputs."""
    if not cause.why:
        return DiffResponse(changes=DiffResponse.DIFF_NONE, hasDetailedDiff=True)
    detailed = {}
    for name in cause.names:
        kind = PropertyDiff.UPDATE
        if name in inputs.KEY or name in inputs.SMOKE_CHECK:
            kind = PropertyDiff.ADD if olds.get(name) is None else kind
            kind = PropertyDiff.DELETE if news.get(name) is None else kind
        detailed[words.camel(name)] = PropertyDiff(kind=kind)
    return DiffResponse(
        changes=DiffResponse.DIFF_SOME, diffs=sorted(detailed), detailedDiff=detailed, hasDetailedDiff=True
    )
