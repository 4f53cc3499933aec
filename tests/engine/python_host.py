"""Pulumi's language host for Python, as plugins need it: `python python_host.py GENERATOR OLDER_HOST ENGINE`.

The host that is served as a Go module is from 2023. It runs programs, and can neither start a plugin of an engine of
today nor link an SDK. This one answers these calls in their simplest form, and passes all others on to the older host.
`LIBRARIES` names a folder of libraries for plugins, so that pip finds them without a download.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import threading
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

import grpc
from pulumi.runtime.proto import language_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "pulumirpc.LanguageRuntime"
Request = Any
GENERATOR, OLDER, *REST = sys.argv[1:]


def home(request: Request) -> Path | None:
    """Return the virtual environment that PulumiPlugin.yaml or Pulumi.yaml names."""
    options = request.info.options
    return Path(request.info.program_directory, options["virtualenv"]) if "virtualenv" in options else None


def install_dependencies(request: Request, context: grpc.ServicerContext) -> Iterator[Request]:
    """Make the virtual environment, and install the requirements into it."""
    if environment := home(request):
        venv.create(environment)
        if libraries := os.environ.get("LIBRARIES"):
            site = environment / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
            (site / "tests.pth").write_text(libraries)
        pip = [sys.executable, "-m", "pip", "--python", str(environment), "install", "-r", "requirements.txt"]
        done = subprocess.run(pip, cwd=request.info.program_directory, capture_output=True, check=False)
        yield language_pb2.InstallDependenciesResponse(stdout=done.stdout, stderr=done.stderr)
        if done.returncode:
            context.abort(grpc.StatusCode.UNKNOWN, f"pip failed: {done.stderr.decode()}")


def run_plugin(request: Request, context: grpc.ServicerContext) -> Iterator[Request]:
    """Start the folder of a plugin with Python, and pass on what it writes, until it ends or the engine cancels."""
    environment = home(request)
    python = environment / "bin/python" if environment else sys.executable
    variables = dict(entry.split("=", 1) for entry in request.env)
    command = [python, request.info.program_directory, *request.args]
    said: Queue[Request | None] = Queue()
    with subprocess.Popen(
        command, cwd=request.pwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:

        def pass_on(name: str) -> None:
            for line in getattr(child, name):
                said.put(language_pb2.RunPluginResponse(**{name: line}))
            said.put(None)

        context.add_callback(child.terminate)
        readers = [threading.Thread(target=pass_on, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        for _ in readers:
            yield from iter(said.get, None)
    yield language_pb2.RunPluginResponse(exitcode=child.returncode)


def generate_package(request: Request, context: grpc.ServicerContext) -> Request:
    """Write an SDK, by Pulumi's own generator."""
    command = [GENERATOR, "python", request.directory]
    done = subprocess.run(command, input=request.schema.encode(), capture_output=True, check=False)
    if done.returncode:
        context.abort(grpc.StatusCode.UNKNOWN, done.stderr.decode())
    return language_pb2.GeneratePackageResponse()


def link(request: Request, context: grpc.ServicerContext) -> Request:
    """Note SDKs in the requirements of a project."""
    with Path(request.info.root_directory, "requirements.txt").open("a") as file:
        file.writelines(f"{package.path}\n" for package in request.packages)
    return language_pb2.LinkResponse(import_instructions="import the SDK")


class Older(grpc.GenericRpcHandler):  # type: ignore[misc]  # the library has no types
    """Passes calls on to the older host."""

    def __init__(self, channel: grpc.Channel) -> None:
        """Take the way to it."""
        self._channel = channel

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return what passes a call of this method on: its bytes, unread."""

        def passed(request: bytes, context: grpc.ServicerContext) -> bytes:
            answer = b""
            try:
                answer = self._channel.unary_unary(details.method)(request)
            except grpc.RpcError as error:
                context.abort(error.code(), error.details())
            return answer

        return grpc.unary_unary_rpc_method_handler(passed)


def main() -> None:
    """Serve an engine until it is gone."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    own = {
        "GeneratePackage": (grpc.unary_unary_rpc_method_handler, generate_package),
        "InstallDependencies": (grpc.unary_stream_rpc_method_handler, install_dependencies),
        "Link": (grpc.unary_unary_rpc_method_handler, link),
        "RunPlugin": (grpc.unary_stream_rpc_method_handler, run_plugin),
    }
    handlers = {}
    for name, (kind, method) in own.items():
        call = language_pb2.DESCRIPTOR.services_by_name["LanguageRuntime"].methods_by_name[name]
        request = getattr(language_pb2, call.input_type.name)
        handlers[name] = kind(method, request.FromString, lambda answer: answer.SerializeToString())
    with subprocess.Popen([OLDER, *REST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as older:
        assert older.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{older.stdout.readline().strip()}") as channel:
            server = grpc.server(ThreadPoolExecutor(max_workers=16))
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers), Older(channel)])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            sys.stdout.write(f"{port}\n")
            sys.stdout.flush()
            engine = os.getppid()
            while os.getppid() == engine and not stopped.wait(0.5):
                pass
            server.stop(0)
        older.terminate()


if __name__ == "__main__":
    main()
