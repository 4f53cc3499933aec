"""A place for the contract suite: AWS Secrets Manager as moto plays it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar
from uuid import uuid4

from keyturn.targets.aws import AwsTarget
from keyturn.targets.base import TargetContext
from tests.contract.place_vault import VaultPlace
from tests.contract.places import Fields, Servers
from tests.support.moto import Moto


def context(moto: Moto, **settings: object) -> TargetContext:
    """Return what a target on this server is made from."""
    return TargetContext(name="aws", settings=settings, environment=moto.environment, request=10)


class AwsPlace:
    """One account and region."""

    others: ClassVar[Fields] = VaultPlace.others
    no_texts = VaultPlace.no_texts

    def __init__(self, moto: Moto) -> None:
        self.moto = moto
        self.client = moto.client()
        self._targets: list[AwsTarget] = []

    def target(self) -> AwsTarget:
        """Return a new target."""
        self._targets.append(AwsTarget(context(self.moto, create=True)))
        return self._targets[-1]

    def path(self) -> str:
        """Return a fresh path."""
        return f"apps/{uuid4().hex}"

    def seed(self, path: str, fields: Fields) -> None:
        """Write as anybody, whatever is there."""
        try:
            self.client.put_secret_value(SecretId=path, SecretString=json.dumps(fields))
        except self.client.exceptions.ResourceNotFoundException:
            self.client.create_secret(Name=path, SecretString=json.dumps(fields))

    def fields(self, path: str) -> Fields | None:
        """Read as anybody, what consumers read."""
        try:
            found = self.client.get_secret_value(SecretId=path, VersionStage="AWSCURRENT")
        except self.client.exceptions.ResourceNotFoundException:
            return None
        fields: Fields = json.loads(found["SecretString"])
        return fields

    def lose(self, path: str) -> None:
        """Delete as the console does: with a window in which it can be brought back."""
        self.client.delete_secret(SecretId=path, RecoveryWindowInDays=7)

    def close(self) -> None:
        """Close the clients."""
        self.client.close()
        for target in self._targets:
            target.close()


@contextmanager
def place(servers: Servers) -> Iterator[AwsPlace]:
    """Open a place for deliveries and documents."""
    opened = AwsPlace(servers.moto)
    yield opened
    opened.close()
