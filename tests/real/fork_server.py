"""Starts the command line a thousand times for one import: forks a process that has loaded it already.

Each run is a process of its own, with its own environment, folder, streams and signals, and can be killed like any
other. Another one, its nurse, waits for it and tells how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from tests.support.quick_operator import hasten


def serve(path: str) -> None:
    """Take orders at a socket until this process is ended."""
    import keyturn.cli.apply  # loaded once, here
    import keyturn.cli.rotate
    import keyturn.cli.session
    import keyturn.targets.kubernetes
    import keyturn.targets.vault_kv  # noqa: F401 - what the first request to a store loads

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nurses are not waited for
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    print("ready", flush=True)
    while True:
        order, _ = listener.accept()
        with order:
            if os.fork() == 0:
                listener.close()
                _nurse(order)


def _nurse(order: socket.socket) -> NoReturn:
    """Start one run, tell its pid, wait, and tell how it ended: its exit code, or minus the signal that killed it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stream = order.makefile("rw")
    wanted = json.loads(stream.readline())
    child = os.fork()
    if child == 0:
        order.detach()
        _run(wanted)
    stream.write(f"{child}\n")
    stream.flush()
    _, status = os.waitpid(child, 0)
    stream.write(f"{os.waitstatus_to_exitcode(status)}\n")
    stream.flush()
    os._exit(0)


def _run(wanted: dict[str, object]) -> NoReturn:
    from keyturn.cli import main

    code = 70
    try:
        os.setsid()
        os.chdir(str(wanted["cwd"]))
        environment = wanted["env"]
        arguments = wanted["args"]
        if not isinstance(environment, dict) or not isinstance(arguments, list):
            raise TypeError("an order holds env and args")
        os.environ.clear()
        os.environ.update(environment)
        for number, name in ((0, str(wanted["in"])), (1, str(wanted["out"])), (2, str(wanted["err"]))):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
        sys.argv = ["keyturn", *arguments]
        if arguments[0] == "operator":
            hasten()
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(str(Path(sys.argv[1])))
