"""`python -m tests.bench.nothing`: a full provider of empty resources, beside which keyturn's is measured.

It does what each provider has to: it takes inputs, compares them, and has the engine refresh first if REFRESH is set.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from pulumi.runtime.proto import plugin_pb2, provider_pb2
from pulumi.runtime.proto.provider_pb2 import DiffResponse
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer, add_ResourceProviderServicer_to_server

KIND = "nothing:index:Empty"
INPUTS = {"inputs": {"$ref": "pulumi.json#/Any"}}
SCHEMA = {
    "name": "nothing",
    "version": "1.0.0",
    "resources": {KIND: {"inputProperties": INPUTS, "properties": INPUTS}},
}
THREADS = 32
Request = Any


class Nothing(ResourceProviderServicer):
    """The provider as the engine calls it."""

    refresh = bool(os.environ.get("REFRESH"))

    def Handshake(self, request: Request, context: object) -> Message:
        """Greet."""
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Request, context: object) -> Message:
        """Return the version."""
        return plugin_pb2.PluginInfo(version="1.0.0")

    def GetSchema(self, request: Request, context: object) -> Message:
        """Return the schema."""
        return provider_pb2.GetSchemaResponse(schema=json.dumps(SCHEMA))

    def CheckConfig(self, request: Request, context: object) -> Message:
        """Accept the configuration."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Request, context: object) -> Message:
        """Find no difference."""
        return DiffResponse(changes=DiffResponse.DIFF_NONE)

    def Configure(self, request: Request, context: object) -> Message:
        """Take the configuration."""
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Request, context: object) -> Message:
        """Accept the inputs."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Request, context: object) -> Message:
        """Compare the inputs."""
        same = request.olds == request.news
        return DiffResponse(changes=DiffResponse.DIFF_NONE if same else DiffResponse.DIFF_SOME)

    def Create(self, request: Request, context: object) -> Message:
        """Make nothing."""
        return provider_pb2.CreateResponse(
            id="nothing", properties=request.properties, refresh_before_update=self.refresh
        )

    def Read(self, request: Request, context: object) -> Message:
        """Return what was made."""
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs, refresh_before_update=self.refresh
        )

    def Delete(self, request: Request, context: object) -> Message:
        """Delete nothing."""
        return Empty()


def main() -> None:
    """Serve an engine on a port, which is printed, until the engine ends this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=THREADS))
    add_ResourceProviderServicer_to_server(Nothing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination(3600)


if __name__ == "__main__":
    main()
