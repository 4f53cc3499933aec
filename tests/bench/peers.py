"""`python -m tests.bench.peers limit|script|threads KEYS`: what reads keys at rest without keyturn.

`limit`: bare httpx and hvac on 16 threads, with exactly the requests that a plan needs, and nothing done with them.
`script`: what an operator would write with `pydo` and hvac: the list, then each record, one by one.
`threads`: the same on 16 threads.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = 16
PER_PAGE = 200
PREFIX = "keyturn/keys"


def vault() -> Callable[[], hvac.Client]:
    """Return what gives each thread a client of its own."""
    own = threading.local()

    def client() -> hvac.Client:
        if not hasattr(own, "client"):
            own.client = hvac.Client(url=os.environ["VAULT_ADDR"], token=os.environ["VAULT_TOKEN"])
        return own.client  # type: ignore[no-any-return]

    return client


def read_all(count: int, threads: int) -> None:
    """List the records and read each."""
    client = vault()

    def read(number: int) -> str:
        found = client().secrets.kv.v2.read_secret_version(f"{PREFIX}/key-{number:05}", raise_on_deleted_version=False)
        return str(found["data"]["data"]["document"])

    listed = client().secrets.kv.v2.list_secrets(PREFIX)["data"]["keys"]
    with ThreadPoolExecutor(threads) as pool:
        assert len(listed) == sum(1 for text in pool.map(read, range(count)) if text)


def limit(count: int) -> None:
    """Read with bare clients."""
    import httpx

    headers = {"Authorization": f"Bearer {os.environ['DIGITALOCEAN_TOKEN']}"}
    with httpx.Client(base_url=os.environ["KEYTURN_API_URL"], headers=headers, trust_env=False) as api:
        for page in range(-(-count // PER_PAGE)):
            params = {"page": page + 1, "per_page": PER_PAGE}
            api.get("/v2/gen-ai/models/api_keys", params=params).raise_for_status().json()
        api.get("/v2/account").raise_for_status()
    read_all(count, THREADS)


def script(count: int, threads: int) -> None:
    """Read with the official client of the API."""
    from pydo import Client

    api = Client(os.environ["DIGITALOCEAN_TOKEN"], endpoint=os.environ["KEYTURN_API_URL"])
    for page in range(-(-count // PER_PAGE)):
        api.genai.list_model_api_keys(page=page + 1, per_page=PER_PAGE, enforce_https=False)
    api.account.get(enforce_https=False)
    read_all(count, threads)


if __name__ == "__main__":
    import hvac

    kind, keys = sys.argv[1], int(sys.argv[2])
    if kind == "limit":
        limit(keys)
    else:
        script(keys, 1 if kind == "script" else THREADS)
