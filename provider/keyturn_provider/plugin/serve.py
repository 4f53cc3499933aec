"""The process of the full provider, from its start to the end of its engine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from pulumi.runtime.proto.provider_pb2_grpc import add_ResourceProviderServicer_to_server

from keyturn_provider import session, spelling
from keyturn_provider.plugin.servicer import Provider

THREADS = 32
"""Calls at a time. The engine's own `--parallel` limits them, too."""
LARGEST = 400 * 1024 * 1024
"""The largest message in bytes, as in engines."""
PULSE = 0.5
"""Seconds between two looks at whether the engine still runs."""


def serve() -> None:
    """Serve an engine on a port of this machine, which is printed, until it is gone.

    A call that is open then still ends: it may hold a new secret. Ctrl-C lets it end early.
    """
    logging.getLogger("grpc").setLevel(logging.CRITICAL)  # each error is in an answer; standard error is shown to users
    spelling.any_language = True
    provider = Provider()
    options = [("grpc.max_receive_message_length", LARGEST), ("grpc.max_send_message_length", LARGEST)]
    server = grpc.server(ThreadPoolExecutor(max_workers=THREADS), options=options)
    add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stopped = threading.Event()

    def stop(*_: object) -> None:
        session.cancelled.set()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    engine = os.getppid()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while os.getppid() == engine and not stopped.wait(PULSE):
        pass
    provider.open.wait()
    server.stop(0)
