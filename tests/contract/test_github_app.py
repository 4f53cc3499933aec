"""GitHub's secrets: the login of a GitHub App."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyturn.core.errors import (
    CredentialError,
    TargetForbidden,
)
from keyturn.targets.github import GitHubTarget
from keyturn.targets.github_places import Place
from tests.contract.place_github import GitHubPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW
from tests.contract.test_documents import free
from tests.contract.test_github import PLACES
from tests.support.github import GitHub

APP = {"GITHUB_APP_ID": "1234"}


@pytest.fixture
def place() -> Iterator[GitHubPlace]:
    """A server of the test's own."""
    with GitHub() as github:
        made = GitHubPlace(github)
        yield made
        made.close()


class TestApp:
    """The login of a GitHub App."""

    @pytest.fixture
    def pem(self, place: GitHubPlace, tmp_path: Path) -> str:
        """The file with the app's key."""
        file = tmp_path / "app.pem"
        file.write_bytes(place.github.pem())
        return str(file)

    @pytest.fixture
    def app(self, place: GitHubPlace, pem: str) -> GitHubTarget:
        """A target that logs in with the app's key."""
        return place.target(environment={**APP, "GITHUB_APP_KEY_FILE": pem}, auth={"method": "app"})

    def test_a_token_is_for_one_place_and_one_permission(self, place: GitHubPlace, app: GitHubTarget) -> None:
        """It is requested once, and used for every call to that place."""
        app.preflight("acme/web", FIELD)
        app.write_marked("acme/web", FIELD, NEW, "", free)
        app.preflight("acme", FIELD)
        assert place.github.granted == [
            {"permissions": {"secrets": "write"}, "repositories": ["web"]},
            {"permissions": {"organization_secrets": "write"}},
        ]
        assert place.github.known["/repos/acme/web/actions", FIELD].value == NEW.reveal()

    @pytest.mark.parametrize(("path", "family"), PLACES)
    def test_a_token_never_has_more_than_permissions_for_secrets(
        self, place: GitHubPlace, pem: str, path: str, family: str
    ) -> None:
        """Not all that the app may: also where GitHub has a name for the permission that keyturn does not know."""
        target = place.target(environment={**APP, "GITHUB_APP_KEY_FILE": pem}, auth={"method": "app"}, family=family)
        target.preflight(path, FIELD)
        [asked] = [one["permissions"] for one in place.github.granted]
        assert asked
        assert all("secrets" in name or name == "environments" for name in asked)
        if family != "agents":
            assert set(asked.values()) == {"write"}
            assert len(asked) == 1

    @pytest.mark.parametrize("level", ["read", ""])
    def test_an_app_that_may_not_write_is_told_before_anything(
        self, place: GitHubPlace, app: GitHubTarget, level: str
    ) -> None:
        """By what its installation has. No token is requested."""
        place.github.installed = {"contents": "write", **({"secrets": level} if level else {})}
        with pytest.raises(TargetForbidden, match=f"has secrets: {level or 'none'}"):
            app.preflight("acme/web", FIELD)
        assert place.github.granted == []

    def test_a_name_that_became_another_owner_s_is_not_followed(self, place: GitHubPlace, pem: str) -> None:
        """With the id of an installation the app asks for no other one. It has to be one of the owner in the path."""
        chosen = {**APP, "GITHUB_APP_KEY_FILE": pem, "GITHUB_APP_INSTALLATION_ID": "77"}
        place.target(environment=chosen, auth={"method": "app"}).preflight("acme/web", FIELD)
        assert [one.path for one in place.github.asked][:2] == [
            "/app/installations/77",
            "/app/installations/77/access_tokens",
        ]
        place.github.owner = "acme-renamed"
        with pytest.raises(TargetForbidden, match=r"not one of acme .it is of acme-renamed"):
            place.target(environment=chosen, auth={"method": "app"}).read("acme/web", FIELD)
        for wrong, error in (("78", TargetForbidden), ("acme", CredentialError)):
            other = place.target(environment={**chosen, "GITHUB_APP_INSTALLATION_ID": wrong}, auth={"method": "app"})
            with pytest.raises(error):
                other.read("acme/web", FIELD)
        assert len(place.github.granted) == 1

    def test_one_login_does_not_wait_for_another_one(self, place: GitHubPlace, app: GitHubTarget) -> None:
        """The token of one repository takes its time; another one is read meanwhile."""
        entered, go_on = threading.Event(), threading.Event()
        login = app._secrets._login
        requested = login._requested  # type: ignore[attr-defined]

        def slow(at: Place) -> tuple[str, float]:
            if at.repository == "slow":
                entered.set()
                assert go_on.wait(10)
            return requested(at)  # type: ignore[no-any-return]

        login._requested = slow  # type: ignore[attr-defined]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(app.read, "acme/slow", FIELD)
            assert entered.wait(10)
            assert app.read("acme/quick", FIELD).version == ""
            assert not waiting.done()
            go_on.set()
            assert waiting.result(10).version == ""

    def test_a_token_that_ended_is_requested_again(self, place: GitHubPlace, app: GitHubTarget) -> None:
        """After a 401, once."""
        app.read("acme/web", FIELD)
        place.github.tokens.clear()
        app.read("acme/web", FIELD)
        assert len(place.github.granted) == 2

    def test_an_app_that_is_not_installed_is_told(self, app: GitHubTarget) -> None:
        """With the permission that it needs."""
        with pytest.raises(TargetForbidden, match="Install the app there, with the permission secrets: write"):
            app.read("acme/nowhere", FIELD)

    def test_a_wrong_key_is_a_credential_error(self, place: GitHubPlace, tmp_path: Path) -> None:
        """Another key, no key, and none at all; nothing of a file is repeated."""
        file = tmp_path / "app.pem"
        with GitHub() as other:
            file.write_bytes(other.pem())
        environment = {"GITHUB_APP_ID": "1234", "GITHUB_APP_KEY_FILE": str(file)}
        with pytest.raises(CredentialError, match="GitHub refuses this app"):
            place.target(environment=environment, auth={"method": "app"}).read("acme/web", FIELD)
        file.write_text(FOREIGN)
        with pytest.raises(CredentialError, match="does not hold a private key") as caught:
            place.target(environment=environment, auth={"method": "app"}).read("acme/web", FIELD)
        assert FOREIGN not in str(caught.value)
        with pytest.raises(CredentialError, match="GITHUB_APP_ID is not set"):
            place.target(auth={"method": "app"}).read("acme/web", FIELD)
