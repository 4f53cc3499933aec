"""Login to AWS: the source of each credential, its endpoint, and assumed roles.

botocore reads profiles and container, web identity and instance roles itself. Keys, profile and file names come from
the target's environment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config
from botocore.loaders import create_loader

from keyturn.core.errors import CredentialError, InputError
from keyturn.targets.aws_http import Sender

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

EARLY = 300.0
"""An assumed role is assumed again this many seconds before it expires."""

ONCE = Config(retries={"total_max_attempts": 1, "mode": "standard"})
"""No retries: when to try again is decided elsewhere."""

_LOADER = create_loader()
"""Loads the descriptions of AWS's services once for all targets, because loading is slow."""

FILES = {
    "config_file": ("AWS_CONFIG_FILE", "~/.aws/config"),
    "credentials_file": ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account with its endpoints; `endpoint` and `sts_endpoint` are empty for AWS's own."""

    where: str
    region: str
    profile: str
    role: str
    endpoint: str
    sts_endpoint: str
    request: float


class Login:
    """Makes the client, and a new one before its assumed role expires. Thread-safe."""

    def __init__(self, account: Account, environment: Mapping[str, str]) -> None:
        """Keep the settings. Nothing is read or sent yet."""
        self._account = account
        self._environment = environment
        self._lock = threading.Lock()
        self._sender: Sender | None = None
        self._client: SecretsManagerClient | None = None
        self._until = float("inf")

    def client(self) -> SecretsManagerClient:
        """Return a client; raises botocore's errors, CredentialError and InputError."""
        with self._lock:
            if self._client is None or time.time() > self._until - EARLY:
                self._client = self._make()
            return self._client

    def close(self) -> None:
        """Close its connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
            if self._sender is not None:
                self._sender.close()

    def _make(self) -> SecretsManagerClient:
        account = self._account
        session = boto3.Session(botocore_session=self._session())
        environment = self._environment
        region = (
            account.region
            or environment.get("AWS_REGION")
            or environment.get("AWS_DEFAULT_REGION")
            or session.region_name
        )
        if not region:
            raise InputError(
                "no AWS region found", where=account.where, remedy="Set `region`, AWS_REGION or the profile's region."
            )
        key, secret, token = self._assume(session, region) if account.role else (None, None, None)
        client = session.client(
            "secretsmanager",
            region_name=region,
            endpoint_url=account.endpoint or None,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=ONCE,
        )
        hush()
        return client

    def _session(self) -> botocore.session.Session:
        environment = self._environment
        profile = self._account.profile or environment.get("AWS_PROFILE") or ""
        session = botocore.session.Session(profile=profile or None)
        session.register_component("data_loader", _LOADER)
        for variable, (name, usual) in FILES.items():
            session.set_config_variable(variable, environment.get(name) or usual)
        # Only the target or its environment may name an endpoint: their origins are checked.
        session.set_config_variable("ignore_configured_endpoint_urls", "true")
        if self._sender is None:
            authority = environment.get("AWS_CA_BUNDLE") or session.get_config_variable("ca_bundle") or ""
            self._sender = Sender(self._account.request, environment, authority, self._account.where)
        session.register("before-send", self._sender.send)  # type: ignore[arg-type]  # the stub says None
        key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
        if self._account.profile or not key:
            session.get_component("credential_provider").remove("env")
        elif not secret:
            raise CredentialError("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not", where=self._account.where)
        else:
            session.set_credentials(key, secret, environment.get("AWS_SESSION_TOKEN"))
        return session

    def _assume(self, session: boto3.Session, region: str) -> tuple[str, str, str]:
        client = session.client(
            "sts",
            region_name=region,
            endpoint_url=self._account.sts_endpoint or None,
            config=ONCE,
        )
        hush()
        try:
            found = client.assume_role(RoleArn=self._account.role, RoleSessionName="keyturn")["Credentials"]
        finally:
            client.close()
        self._until = found["Expiration"].timestamp()
        return found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]


def hush() -> None:
    """Keep botocore from logging requests and responses at any level: they contain secrets."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"boto3", "botocore"}:
            logging.getLogger(name).setLevel(logging.WARNING)
