"""A moto server for the tests: AWS in a process of its own, one request at a time, to be frozen or closed at will."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import boto3
import httpx
from botocore.config import Config

from tests.support.process import start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from mypy_boto3_secretsmanager import SecretsManagerClient

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
NO_FILE = "/nonexistent/aws"


class Moto:
    """One server, started by `with`, with all in memory; `address` is its URL.

    Compare-and-set is real: requests are worked off one after the other, as moto itself does not lock.
    """

    def __init__(self) -> None:
        self.address = ""
        self._running = contextlib.ExitStack()
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._child = self._running.enter_context(
            start([sys.executable, "-m", __name__], cwd=ROOT, stdout=subprocess.PIPE)
        )
        assert self._child.stdout
        self.address = self._child.stdout.readline().strip()
        if not self.address:
            self._running.close()
            raise RuntimeError("moto did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Answer nothing for a while; connections are still taken, and worked off afterwards."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        """Stop its process."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its process go on."""
        self._signal(signal.SIGCONT)

    def enforce(self, *, iam: bool) -> None:
        """Check signatures and policies from now on, or no longer."""
        count = "0" if iam else "inf"
        httpx.post(f"{self.address}/moto-api/reset-auth", content=count.encode()).raise_for_status()

    def user(self, policy: Mapping[str, object]) -> dict[str, str]:
        """Make a user who may do just this; return the variables of its credential. Only while nothing is enforced."""
        client = boto3.client(
            "iam",
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        name = f"user-{os.urandom(8).hex()}"
        client.create_user(UserName=name)
        client.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
        key = client.create_access_key(UserName=name)["AccessKey"]
        return self.environment | {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    @property
    def environment(self) -> dict[str, str]:
        """What an operator would export to use it."""
        return {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": self.address,
            "AWS_CONFIG_FILE": NO_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": NO_FILE,
            "AWS_REGION": REGION,
        }

    def client(self, environment: Mapping[str, str] | None = None) -> SecretsManagerClient:
        """Return a client of the service, as anybody or with a credential."""
        mine = environment or self.environment
        return boto3.client(
            "secretsmanager",
            endpoint_url=self.address,
            region_name=REGION,
            aws_access_key_id=mine["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=mine["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10),
        )

    def _signal(self, number: signal.Signals) -> None:
        assert self._child
        self._child.send_signal(number)


def serve() -> None:
    """Serve on a free loopback port, and print the URL first."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class Quiet(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Log nothing: a body may hold a secret."""

    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=False, request_handler=Quiet)
    os.environ["MOTO_PORT"] = str(server.server_port)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    serve()
