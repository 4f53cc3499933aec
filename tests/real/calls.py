"""A consumer that got its secret in its environment: `python tests/real/calls.py URL SECONDS`. It imports no keyturn.

It calls without pause until SIGTERM or for so many seconds (0: no end), says `ready` after the first accepted call, and
prints in the end how many calls were accepted, refused (401), or failed otherwise. Without an accepted call it gives
up after PATIENCE.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

VARIABLE = "MODEL_ACCESS_KEY"
PATIENCE = 30.0
BODY = json.dumps(
    {"model": "llama3.3-70b-instruct", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 16}
)


def main(url: str, seconds: float) -> None:
    """Call, and count."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    headers = {"Authorization": f"Bearer {os.environ[VARIABLE]}", "Content-Type": "application/json"}
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    counts = {"accepted": 0, "refused": 0, "other": 0}
    begun = time.monotonic()
    while not stopping and time.monotonic() < begun + (seconds or (float("inf") if counts["accepted"] else PATIENCE)):
        try:
            connection.request("POST", "/v1/chat/completions", BODY, headers)
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, HTTPException):
            connection.close()
            status = 0
        counts[{200: "accepted", 401: "refused"}.get(status, "other")] += 1
        if counts["accepted"] == 1 and status == 200:
            print("ready", flush=True)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
