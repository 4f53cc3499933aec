"""`python -m tests.bench.link SECONDS LOG URL…`: relays on loopback that stand for servers so far away.

It prints the port of each relay. Until SIGUSR1 it delays nothing, so that a bench sets up quickly. From then on half of
SECONDS passes before what was sent arrives, in each direction, and a new connection takes one way there and back more.
LOG gets a line for each answer: the monotonic moment at which it reached the client, and the request.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

CHUNK = 1 << 16
Due = asyncio.Queue[tuple[float, bytes]]


@dataclass
class Link:
    """The delay of all relays of this process, and what passed."""

    seconds: float
    log: TextIO
    on: bool = False

    def delay(self, ways: int) -> float:
        """Return how long so many ways take."""
        return self.seconds / 2 * ways if self.on else 0.0

    async def relay(self, url: str) -> int:
        """Listen before a server. Return the port."""
        there = urlsplit(url)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                server = await asyncio.open_connection(there.hostname, there.port)
                asked: list[str] = []
                await asyncio.gather(
                    self._pass(reader, server[1], asked, handshake=True), self._pass(server[0], writer, asked)
                )

        listening = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
        port: int = listening.sockets[0].getsockname()[1]
        return port

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[str], *, handshake: bool = False
    ) -> None:
        """Pass on what is read, each piece when it is due, until the end."""
        due: Due = asyncio.Queue()
        sending = asyncio.create_task(self._send(due, writer, asked, answers=not handshake))
        first = 2 if handshake else 0
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if handshake and data[:8].split(b" ")[0] in {b"GET", b"PUT", b"POST", b"LIST", b"DELETE"}:
                    asked.append(data.split(b"\r\n", 1)[0].decode())
                due.put_nowait((time.monotonic() + self.delay(1 + first), data))
                first = 0
        due.put_nowait((time.monotonic() + self.delay(1), b""))
        await sending

    async def _send(self, due: Due, writer: asyncio.StreamWriter, asked: list[str], *, answers: bool) -> None:
        with suppress(OSError):
            while True:
                at, data = await due.get()
                await asyncio.sleep(at - time.monotonic())
                if not data:
                    break
                writer.write(data)
                if answers and asked:
                    self.log.write(f"{time.monotonic():.6f} {asked.pop(0)}\n")
                    self.log.flush()
                await writer.drain()
        writer.close()


async def main(seconds: float, log: Path, urls: list[str]) -> None:
    """Relay until the process is ended."""
    with log.open("a") as sink:
        link = Link(seconds, sink)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: setattr(link, "on", True))
        for url in urls:
            print(await link.relay(url), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
