"""`python -m tests.bench.nothing`: a full provider of empty resources, beside which keyturn's is measured.

It speaks the same protocol, in Python, on the same messages and with as many threads. Its resources take the inputs of
a key and keep outputs of the same size, so the engine does the same with both. It checks, plans and reads nothing.

Its configuration has `refreshBeforeUpdate`, like keyturn's, and `reads`: then a read asks for what a key has to be
compared with, by bare httpx and hvac, and does nothing with it. That is the list of the account, once, and the record
and the delivery of each key.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import plugin_pb2, provider_pb2
from pulumi.runtime.proto.provider_pb2 import DiffResponse
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer, add_ResourceProviderServicer_to_server

if TYPE_CHECKING:
    import hvac

KIND = "nothing:index:Empty"
FACTS: dict[str, object] = {
    "uuid": "00000000-0000-0000-0000-000000000000",
    "slots": {"a": {"uuid": "00000000-0000-0000-0000-000000000000", "name": "rest-10"}},
    "generation": 1,
    "rotatedAt": "2026-01-01T00:00:00+00:00",
    "nextRotationAt": "",
    "retireAt": "",
    "digest": "0123456789abcdef",
    "deliveries": [{"target": "vault", "path": "bench/rest-10", "field": "MODEL_ACCESS_KEY", "version": "1"}],
    "health": "healthy",
    "owner": "pulumi:shop/rest-0-theirs/rest-10#provider",
}
"""What the outputs have besides the inputs, as those of a key."""
INPUTS = ("name", "deliver", "targets", "records", "smoke", "timing")
ANYTHING = {"$ref": "pulumi.json#/Any"}
SCHEMA = {
    "name": "nothing",
    "version": "1.0.0",
    "config": {"variables": {name: {"type": "boolean"} for name in ("refreshBeforeUpdate", "reads")}},
    "provider": {"inputProperties": {name: {"type": "boolean"} for name in ("refreshBeforeUpdate", "reads")}},
    "resources": {
        KIND: {
            "inputProperties": dict.fromkeys(INPUTS, ANYTHING),
            "properties": dict.fromkeys((*INPUTS, *FACTS), ANYTHING),
        }
    },
}
OURS, THEIRS, READING = "ours-", "theirs-", "reading-"
"""How the names of the stacks begin: an empty resource reads the record of the key of the same name."""
THREADS = 32
Request = Any


class Nothing(ResourceProviderServicer):
    """The provider as the engine calls it."""

    def __init__(self) -> None:
        """Start without a configuration."""
        self._refresh = False
        self._servers: Servers | None = None

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
        self._refresh = _true(request.args, "refreshBeforeUpdate")
        self._servers = Servers() if _true(request.args, "reads") else None
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Request, context: object) -> Message:
        """Accept the inputs."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Request, context: object) -> Message:
        """Compare the inputs."""
        same = request.old_inputs == request.news
        return DiffResponse(changes=DiffResponse.DIFF_NONE if same else DiffResponse.DIFF_SOME)

    def Create(self, request: Request, context: object) -> Message:
        """Make nothing."""
        outputs = Struct()
        outputs.update(FACTS)
        outputs.MergeFrom(request.properties)
        return provider_pb2.CreateResponse(id="nothing", properties=outputs, refresh_before_update=self._refresh)

    def Read(self, request: Request, context: object) -> Message:
        """Return what was made."""
        if self._servers:
            self._servers.read(request)
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs, refresh_before_update=self._refresh
        )

    def Delete(self, request: Request, context: object) -> Message:
        """Delete nothing."""
        return Empty()


class Servers:
    """The account and the vault, asked by bare clients: hvac's one for each thread, and nothing is looked at."""

    def __init__(self) -> None:
        """Ask nothing yet."""
        self._own = threading.local()
        self._listing = threading.Lock()
        self._listed = False

    def read(self, request: Request) -> None:
        """Ask for the list, if it is the first time, and for the record and the delivery of a key."""
        with self._listing:
            if not self._listed:
                self._list()
                self._listed = True
        stack, project, _, name = request.urn.removeprefix("urn:pulumi:").split("::")
        path = request.inputs["deliver"][0]["path"]
        record = (
            f"{request.inputs['records']['prefix']}/keys/{project}.{OURS}{stack.removeprefix(THEIRS + READING)}.{name}"
        )
        for place in (record, path):
            self._vault().secrets.kv.v2.read_secret_version(place, raise_on_deleted_version=False)

    def _list(self) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {os.environ['DIGITALOCEAN_TOKEN']}"}
        with httpx.Client(base_url=os.environ["KEYTURN_API_URL"], headers=headers, trust_env=False) as api:
            for path in ("/v2/account", "/v2/gen-ai/models/api_keys?page=1&per_page=200"):
                api.get(path).raise_for_status().json()

    def _vault(self) -> hvac.Client:
        import hvac

        if not hasattr(self._own, "client"):
            self._own.client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
        return self._own.client  # type: ignore[no-any-return]


def _true(properties: Struct, name: str) -> bool:
    """Return a setting. The engine passes it as the text of JSON."""
    return name in properties and str(properties[name]).lower() == "true"


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
