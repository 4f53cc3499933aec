"""A sandbox whose time stands still, and plain HTTP clients of its two APIs."""

import ssl
from collections.abc import Iterator

import httpx
import pytest

from keyturn.sandbox import Sandbox

KEYS = "/v2/gen-ai/models/api_keys"
START = 1_790_000_000.0
# Made once: loading the certificates takes longer than most of these tests, and the sandbox has no TLS.
TLS = ssl.create_default_context()
# A mark: the sandbox of the test makes secrets of the older format, then of the newer one.
both_formats = pytest.mark.parametrize("secret_prefix", ["sk-do-", "doo_v1_"])


@pytest.fixture
def secret_prefix() -> str:
    """How the sandbox's secrets begin, unless `both_formats` says otherwise."""
    return "sk-do-"


@pytest.fixture
def sandbox(secret_prefix: str) -> Iterator[Sandbox]:
    """Run a sandbox for one test."""
    with Sandbox(seed=1, start=START, secret_prefix=secret_prefix) as running:
        yield running


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """Give a client that holds the account token."""
    with client(sandbox, sandbox.token) as ready:
        yield ready


def client(sandbox: Sandbox, bearer: str = "") -> httpx.Client:
    """Make a client that holds any credential, or none; close it."""
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    return httpx.Client(base_url=sandbox.url, headers=headers, timeout=10, trust_env=False, verify=TLS)
