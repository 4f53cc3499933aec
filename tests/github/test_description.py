"""Every request of the target `github-secrets`, and every answer of our small GitHub, is as GitHub describes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.contract.place_github import FIELD, GitHubPlace
from tests.contract.test_deliveries import NEW, OLD
from tests.contract.test_documents import free
from tests.contract.test_github import FAMILIES, PLACES
from tests.github.description import example, proxy
from tests.support.github import GitHub

pytestmark = pytest.mark.timeout(1200)  # with the first install


@pytest.fixture(scope="module")
def github() -> Iterator[GitHub]:
    """One server for all places."""
    with GitHub() as running:
        yield running


@pytest.fixture(scope="module")
def described(github: GitHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the description's proxy before the server, whose repositories have the fields of its example."""
    github.repository = example("public-repository-paginated")["repositories"][0]
    github.installation = example("installation")
    with proxy(github.address, tmp_path_factory.mktemp("prism")) as url:
        yield url


@pytest.mark.parametrize(("path", "family"), PLACES)
def test_a_life_is_as_described(github: GitHub, described: str, path: str, family: str) -> None:
    """Absent, made, written again and deleted, in each family.

    The preflight is left out: what it tries deviates on purpose.
    """
    github.asked.clear()
    place = GitHubPlace(github)
    target = place.target(environment={"GITHUB_API_URL": described}, family=family)
    assert target.read(path, FIELD).version == ""
    first = target.write_marked(path, FIELD, OLD, "", free)
    second = target.write_marked(path, FIELD, NEW, first, free)
    target.remove_marked(path, FIELD, second, free)
    place.close()
    assert {one.verb for one in github.asked} == {"GET", "PUT", "DELETE"}
    assert not any(one.status >= 500 for one in github.asked)


@pytest.mark.parametrize(("path", "family"), PLACES)
def test_what_the_preflight_tries_has_to_be_refused(github: GitHub, described: str, path: str, family: str) -> None:
    """By the description, in each family: an empty value is not the Base64 of one. It does not pass the proxy."""
    github.asked.clear()
    place = GitHubPlace(github)
    place.target(environment={"GITHUB_API_URL": described}, family=family).preflight(path, FIELD)
    place.close()
    assert {one.verb for one in github.asked} == {"GET"}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_selected_repositories_are_as_described(github: GitHub, described: str, family: str) -> None:
    """Their list, and a write that names them again."""
    place = GitHubPlace(github)
    github.put(f"/orgs/acme/{family}", FIELD, "theirs", "selected", (3, 5))
    target = place.target(environment={"GITHUB_API_URL": described}, family=family)
    target.write_marked("acme", FIELD, NEW, target.read("acme", FIELD).version, free)
    place.close()
    assert github.known.pop((f"/orgs/acme/{family}", FIELD)).repositories == (3, 5)


def test_the_login_of_an_app_is_as_described(github: GitHub, described: str, tmp_path: Path) -> None:
    """The installation, and the token for a repository and for an organization."""
    file = tmp_path / "app.pem"
    file.write_bytes(github.pem())
    place = GitHubPlace(github)
    environment = {"GITHUB_API_URL": described, "GITHUB_APP_ID": "1234", "GITHUB_APP_KEY_FILE": str(file)}
    target = place.target(environment=environment, auth={"method": "app"})
    target.read("acme/web", FIELD)
    target.read("acme", FIELD)
    environment["GITHUB_APP_INSTALLATION_ID"] = "77"
    place.target(environment=environment, auth={"method": "app"}).read("acme/web", FIELD)
    place.close()


def test_what_deviates_is_refused(github: GitHub, described: str) -> None:
    """The proxy does look: a write without the id of the key never arrives."""
    github.asked.clear()
    headers = {"Authorization": f"Bearer {github.token()}"}
    with httpx.Client(base_url=described, headers=headers, trust_env=False, timeout=30) as client:
        answer = client.put(f"/repos/acme/web/actions/secrets/{FIELD}", json={"encrypted_value": "not base64"})
    assert answer.status_code == 422
    assert github.asked == []
