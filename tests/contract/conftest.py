"""The places that the contract suite runs in: add a target by adding it to a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.control_plane import Cluster
from tests.contract import (
    place_app_platform,
    place_aws,
    place_custom,
    place_do_secrets,
    place_dotenv,
    place_github,
    place_kubernetes,
    place_local,
    place_memory,
    place_onepassword,
    place_onepassword_service,
    place_vault,
)
from tests.contract.places import DelayedPlace, DeliveryPlace, DocumentPlace, Opener, WriteOnlyOpener, WriteOnlyPlace
from tests.support.moto import Moto
from tests.support.openbao import OpenBao
from tests.support.table import note

DELIVERIES: Mapping[str, Opener] = {
    "aws-secrets-manager": place_aws.place,
    "do-secrets": place_do_secrets.place,
    "dotenv": place_dotenv.dotenv,
    "dotenv-json": place_dotenv.json_files,
    "dotenv-shell": place_dotenv.shell,
    "json-directory": place_custom.deliveries,
    "kubernetes": place_kubernetes.deliveries,
    "onepassword": place_onepassword_service.deliveries,
    "onepassword-connect": place_onepassword.deliveries,
    "vault": place_vault.deliveries,
}
FENCED = ("aws-secrets-manager", "do-secrets", "dotenv", "dotenv-json", "dotenv-shell", "kubernetes", "vault")
"""Those of them that compare and set."""
PREPARED = ("do-secrets", "kubernetes", "vault")
"""Those of them that write over what a preflight has seen, without another read."""
WRITE_ONLY: Mapping[str, WriteOnlyOpener] = {
    "app-platform": place_app_platform.deliveries,
    "github-secrets": place_github.deliveries,
    "memory": place_memory.place,
}
DELAYED = ("app-platform", "memory")
"""Those of them whose values take effect later than they are written."""
DOCUMENTS: Mapping[str, Opener] = {
    "aws-secrets-manager": place_aws.place,
    "do-secrets": place_do_secrets.place,
    "dotenv": place_dotenv.dotenv,
    "kubernetes": place_kubernetes.documents,
    "local": place_local.documents,
    "vault": place_vault.documents,
}


@dataclass(frozen=True)
class Started:
    """Asks pytest for a server when a place wants it."""

    request: pytest.FixtureRequest

    @property
    def openbao(self) -> OpenBao:
        """The OpenBao of the session."""
        server: OpenBao = self.request.getfixturevalue("openbao")
        return server

    @property
    def moto(self) -> Moto:
        """The AWS of the session."""
        server: Moto = self.request.getfixturevalue("moto")
        return server

    @property
    def cluster(self) -> Cluster:
        """The Kubernetes of the session."""
        server: Cluster = self.request.getfixturevalue("cluster")
        return server

    @property
    def folder(self) -> Path:
        """An empty directory for this test."""
        folder: Path = self.request.getfixturevalue("tmp_path")
        return folder


@pytest.fixture(params=sorted(DELIVERIES))
def deliveries(request: pytest.FixtureRequest) -> Iterator[DeliveryPlace]:
    """A place for deliveries, of every target that holds them."""
    with DELIVERIES[note(request, "deliveries")](Started(request)) as place:
        yield place  # type: ignore[misc]  # the table says that it is one


@pytest.fixture(params=FENCED)
def fenced(request: pytest.FixtureRequest) -> Iterator[DeliveryPlace]:
    """A place for deliveries, of every target that compares and sets."""
    with DELIVERIES[note(request, "deliveries")](Started(request)) as place:
        yield place  # type: ignore[misc]  # the table says that it is one


@pytest.fixture(params=PREPARED)
def prepared(request: pytest.FixtureRequest) -> Iterator[DeliveryPlace]:
    """A place for deliveries, of every target whose preflight saves the next write a read."""
    with DELIVERIES[note(request, "deliveries")](Started(request)) as place:
        yield place  # type: ignore[misc]  # the table says that it is one


@pytest.fixture(params=sorted(WRITE_ONLY))
def write_only(request: pytest.FixtureRequest) -> Iterator[WriteOnlyPlace]:
    """A place of every target whose values cannot be read."""
    with WRITE_ONLY[note(request, "deliveries")](Started(request)) as place:
        yield place


@pytest.fixture(params=DELAYED)
def delayed(request: pytest.FixtureRequest) -> Iterator[DelayedPlace]:
    """A place of every target whose values take effect later."""
    with WRITE_ONLY[note(request, "deliveries")](Started(request)) as place:
        yield place  # type: ignore[misc]  # the table says that it is one


@pytest.fixture(params=sorted(DOCUMENTS))
def documents(request: pytest.FixtureRequest) -> Iterator[DocumentPlace]:
    """A place for documents, of every target that holds them."""
    with DOCUMENTS[note(request, "documents")](Started(request)) as place:
        yield place  # type: ignore[misc]  # the table says that it is one
