"""GitHub's secrets: what their target does beside the contract of write-only targets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from keyturn.core.errors import (
    CredentialError,
    InputError,
    TargetError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.targets.base import TargetContext
from keyturn.targets.github import GitHubSettings, GitHubTarget
from keyturn.targets.github_secrets import limit
from keyturn.targets.rest import Answer
from tests.contract.place_github import PERMITTED, GitHubPlace
from tests.contract.test_deliveries import FIELD, FOREIGN, NEW, OLD, never
from tests.contract.test_documents import free
from tests.support.github import GitHub

FAMILIES = ("actions", "dependabot", "codespaces", "agents")
PLACES = [
    *((path, family) for path in ("acme/web", "acme") for family in FAMILIES),
    ("acme/web/production", "actions"),
]


@pytest.fixture
def place() -> Iterator[GitHubPlace]:
    """A server of the test's own."""
    with GitHub() as github:
        made = GitHubPlace(github)
        yield made
        made.close()


@pytest.mark.parametrize("path", ["Acme/web", "acme/Web", "acme/web/Production"])
def test_one_place_has_one_spelling(place: GitHubPlace, path: str) -> None:
    """GitHub ignores the case of all three: two keys would write over each other."""
    with pytest.raises(InputError, match="only one spelling is allowed"):
        place.target().read(path, FIELD)


@pytest.mark.parametrize(
    ("path", "family", "at"),
    [
        *(("acme/web", family, f"/repos/acme/web/{family}") for family in FAMILIES),
        *(("acme", family, f"/orgs/acme/{family}") for family in FAMILIES),
        ("acme/web/production", "actions", "/repos/acme/web/environments/production"),
    ],
)
def test_each_family_has_its_place(place: GitHubPlace, path: str, family: str, at: str) -> None:
    """A repository, an organization and an environment; each has a key of its own, and the value arrives opened."""
    target = place.target(family=family)
    target.preflight(path, FIELD)
    mine = target.write_marked(path, FIELD, NEW, "", free)
    assert {found: kept.value for found, kept in place.github.known.items()} == {(at, FIELD): NEW.reveal()}
    target.remove_marked(path, FIELD, mine, free)
    assert place.github.known == {}


def test_nothing_but_the_sealed_value_leaves(place: GitHubPlace) -> None:
    """Two writes of one secret have different ciphertexts, and neither shows it."""
    path, target = place.path(), place.target()
    target.write_marked(path, FIELD, NEW, target.write_marked(path, FIELD, NEW, "", free), free)
    sent = [one.body for one in place.github.asked if one.verb == "PUT"]
    assert len(set(sent)) == 2
    assert not any(NEW.reveal().encode() in body for body in sent)
    assert all(one.headers["X-GitHub-Api-Version"] == "2026-03-10" for one in place.github.asked)


@pytest.mark.parametrize(("sharing", "ids"), [("selected", (3, 5)), ("all", ()), ("private", ())])
def test_a_secret_of_an_organization_stays_with_whom_it_was(
    place: GitHubPlace, sharing: str, ids: tuple[int, ...]
) -> None:
    """The visibility and the selected repositories go back with every write, whatever the settings say."""
    place.github.put("/orgs/acme/actions", FIELD, FOREIGN, sharing, ids)
    target = place.target(visibility="all" if sharing != "all" else "private")
    target.write_marked("acme", FIELD, NEW, target.read("acme", FIELD).version, free)
    kept = place.github.known["/orgs/acme/actions", FIELD]
    assert (kept.value, kept.visibility, kept.repositories) == (NEW.reveal(), sharing, ids)


def test_a_list_of_repositories_that_is_not_whole_is_not_sent_back(place: GitHubPlace) -> None:
    """It would take the secret from those that are missing in it."""
    place.github.put("/orgs/acme/actions", FIELD, FOREIGN, "selected", (3, 5))
    target = place.target()
    there = target.read("acme", FIELD).version
    place.github.hidden = 1
    with pytest.raises(TargetUnavailable, match=r"the list is incomplete.*1 of 2") as caught:
        target.write_marked("acme", FIELD, NEW, there, never)
    assert not caught.value.ambiguous


def test_many_selected_repositories_are_all_kept(place: GitHubPlace) -> None:
    """Their list has pages."""
    ids = tuple(range(1, 251))
    place.github.put("/orgs/acme/actions", FIELD, FOREIGN, "selected", ids)
    target = place.target()
    target.write_marked("acme", FIELD, NEW, target.read("acme", FIELD).version, free)
    assert place.github.known["/orgs/acme/actions", FIELD].repositories == ids


@pytest.mark.parametrize("visibility", ["private", "all", "selected"])
def test_a_new_secret_of_an_organization_has_the_visibility_of_the_settings(
    place: GitHubPlace, visibility: str
) -> None:
    """With `selected`, nobody may use it yet."""
    place.target(visibility=visibility).write_marked("acme", FIELD, NEW, "", free)
    kept = place.github.known["/orgs/acme/actions", FIELD]
    assert (kept.visibility, kept.repositories) == (visibility, ())


def test_two_writes_never_share_a_second(place: GitHubPlace) -> None:
    """The second one waits until GitHub's clock is past the first one, also if that clock differs from ours."""
    for ahead in (0.0, 3600.0, -3600.0):
        path, target = place.path(), place.target()
        place.github.ahead = ahead
        first = target.write_marked(path, FIELD, OLD, "", free)
        begun = time.monotonic()
        second = target.write_marked(path, FIELD, NEW, first, free)
        assert first != second
        assert time.monotonic() - begun < 5


def test_a_second_that_never_comes_is_an_error(place: GitHubPlace) -> None:
    """The marker lies far in the future of GitHub's own clock: nothing is sent."""
    path, target = place.path(), place.target(request=2)
    place.github.ahead = 600
    place.put(path, FIELD, FOREIGN)
    there = target.read(path, FIELD).version
    place.github.ahead = 0
    with pytest.raises(TargetUnavailable, match="later than GitHub's own clock"):
        target.write_marked(path, FIELD, NEW, there, never)


def test_a_marker_that_is_much_later_than_our_write_is_not_ours(place: GitHubPlace) -> None:
    """Someone wrote between our write and our look: the write is ambiguous, and is written again."""
    path, target = place.path(), place.target()
    read, github = target._secrets.read, place.github

    def overtaken(*args: object) -> object:
        if github.known:
            github.ahead += 10
            github.put(f"/repos/{path}/actions", FIELD, FOREIGN)
        return read(*args)  # type: ignore[arg-type]

    target._secrets.read = overtaken  # type: ignore[method-assign, assignment]
    with pytest.raises(TargetUnavailable, match="not this write") as caught:
        target.write_marked(path, FIELD, NEW, "", free)
    assert caught.value.ambiguous


def test_a_marker_that_cannot_be_read_after_a_write_is_ambiguous(place: GitHubPlace) -> None:
    """The secret was written, and nobody knows with which marker."""
    path, target = place.path(), place.target()

    def lost() -> None:
        place.github.trouble("GET", 500)

    with pytest.raises(TargetError) as caught:
        target.write_marked(path, FIELD, NEW, "", lost)
    assert caught.value.ambiguous
    assert place.held(path) == NEW.reveal()


def test_a_key_that_was_replaced_is_read_again(place: GitHubPlace) -> None:
    """The value is sealed once more, for the new key."""
    path, target = place.path(), place.target()
    place.github.key(f"/repos/{path}/actions")
    changes = iter([place.github.change_key])
    target.write_marked(path, FIELD, NEW, "", lambda: next(changes, lambda _: None)(f"/repos/{path}/actions"))
    assert place.held(path) == NEW.reveal()


def test_a_refused_value_is_told(place: GitHubPlace) -> None:
    """422 with the same key: an operator has to look."""
    path = place.path()
    place.github.trouble("PUT", 422)
    with pytest.raises(TargetMisfit, match="refuses the value"):
        place.target().write_marked(path, FIELD, NEW, "", free)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry_After": "30"}, "30 s"),
        (403, {"Retry_After": "60"}, "60 s"),
        (429, {}, "60 s"),
        (403, {"X_RateLimit_Remaining": "0"}, "60 s"),
    ],
)
def test_while_github_asks_to_wait_nothing_is_sent(
    place: GitHubPlace, status: int, headers: dict[str, str], seconds: str
) -> None:
    """By its primary and its secondary limits. The write did not happen."""
    path, target = place.path(), place.target()
    place.github.trouble("PUT", status, 1, **headers)
    with pytest.raises(TargetUnavailable, match=f"asks to wait .{seconds}") as caught:
        target.write_marked(path, FIELD, NEW, "", free)
    assert not caught.value.ambiguous
    before = len(place.github.asked)
    with pytest.raises(TargetUnavailable, match="asks to wait"):
        target.read(path, FIELD)
    assert len(place.github.asked) == before


def test_a_secondary_limit_may_have_no_header() -> None:
    """It is told by its message; another 403 is a missing permission."""
    told = Answer(403, '{"message": "You have exceeded a secondary rate limit."}', httpx.Headers())
    assert limit(told) == 60
    assert limit(Answer(403, '{"message": "Resource not accessible"}', httpx.Headers())) is None


def test_the_hourly_limit_ends_at_its_reset(place: GitHubPlace) -> None:
    """By GitHub's clock, not by ours."""
    place.github.ahead = 5000
    reset = str(int(place.github.now) + 100)
    place.github.trouble("GET", 403, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)
    with pytest.raises(TargetUnavailable, match=r"asks to wait .(100|99) s"):
        place.target().read(place.path(), FIELD)


@pytest.mark.parametrize(("path", "family"), PLACES)
def test_a_token_that_may_only_read_is_told_by_the_preflight(place: GitHubPlace, path: str, family: str) -> None:
    """By a write that GitHub has to refuse to everyone: nothing is made. A token that may write passes."""
    place.target(family=family).preflight(path, FIELD)
    target = place.target(place.github.token("read"), family=family)
    with pytest.raises(TargetForbidden, match=r"may not write the secrets of .* write"):
        target.preflight(path, FIELD)
    assert place.github.known == {}
    tried = [json.loads(one.body) for one in place.github.asked if one.verb == "PUT"]
    assert tried == [{"encrypted_value": "", "key_id": ""}] * 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, TargetForbidden), (204, TargetMisfit), (418, TargetUnavailable), (500, TargetUnavailable)],
)
def test_only_a_refusal_of_the_value_shows_that_a_write_is_permitted(
    place: GitHubPlace, status: int, error: type[Exception]
) -> None:
    """Anything else is told, and no secret is made."""
    place.github.trouble("PUT", status)
    with pytest.raises(error):
        place.target().preflight(place.path(), FIELD)


def test_a_token_that_may_only_read_is_told_at_the_write(place: GitHubPlace) -> None:
    """With the permission that it lacks, as GitHub names it."""
    path, target = place.path(), place.target(place.github.token("read"))
    with pytest.raises(TargetForbidden, match="permission secrets: write"):
        target.write_marked(path, FIELD, NEW, "", free)
    place.github.trouble("GET", 403, X_Accepted_GitHub_Permissions="secrets=read")
    with pytest.raises(TargetForbidden, match="asks for secrets=read"):
        target.read(path, FIELD)


def test_a_place_that_the_token_does_not_see_is_told_by_the_preflight(place: GitHubPlace) -> None:
    """GitHub answers 404 for both; so does the message."""
    target = place.target(place.github.token(""))
    with pytest.raises(TargetMisfit, match="no environment production of acme/web, or this login may not see"):
        target.preflight("acme/web/production", FIELD)
    for call in (target.read, lambda path, field: target.remove_marked(path, field, "", never)):
        with pytest.raises(TargetMisfit, match="may not see its secrets"):
            call("acme/web", FIELD)


def test_a_refused_or_missing_token_is_a_credential_error(place: GitHubPlace) -> None:
    """Exit code 5, and the variable is named; `GH_TOKEN` comes first."""
    with pytest.raises(CredentialError, match="401 to GH_TOKEN"):
        place.target("github_pat_revoked").read("acme/web", FIELD)
    url = {"GITHUB_API_URL": place.github.address, **PERMITTED}
    here = {"address": place.github.address}
    bare = GitHubTarget(TargetContext("github", here, url))
    with pytest.raises(CredentialError, match="no GitHub token found"):
        bare.read("acme/web", FIELD)
    other = GitHubTarget(TargetContext("github", here, {**url, "GITHUB_TOKEN": place.token}))
    assert other.read("acme/web", FIELD).version == ""
    for target in (bare, other):
        target.close()


def test_a_manifest_alone_names_no_repository(place: GitHubPlace) -> None:
    """The environment lists whose repositories may be served; a login reaches more than these."""
    for listed in ("", "github-secrets=other/*", "app-platform=*"):
        target = place.target(environment={"KEYTURN_ALLOWED_PLACES": listed})
        with pytest.raises(TargetForbidden, match=r"does not permit the place acme/web.*KEYTURN_ALLOWED_PLACES"):
            target.read("acme/web", FIELD)
        with pytest.raises(TargetForbidden):
            target.write_marked("acme/web", FIELD, NEW, "", never)
    permitted = place.target(environment={"KEYTURN_ALLOWED_PLACES": "github-secrets=acme/*"})
    assert permitted.read("acme/web", FIELD).version == ""
    with pytest.raises(TargetForbidden):
        permitted.read("acme-evil/web", FIELD)


def test_a_token_goes_only_where_the_environment_says() -> None:
    """To GITHUB_API_URL if the manifest names it, without that to GitHub itself; no plain http to another machine."""
    theirs = {"address": "https://github.example.com/api/v3/"}
    with pytest.raises(InputError, match=r"no credential may be sent.*GITHUB_API_URL is not set"):
        GitHubTarget(TargetContext("github", theirs))
    GitHubTarget(TargetContext("github", theirs, {"GITHUB_API_URL": "https://github.example.com/api/v3"})).close()
    plain = "http://github.example.com"
    with pytest.raises(InputError, match="address"):
        GitHubTarget(TargetContext("github", {"address": plain}, {"GITHUB_API_URL": plain}))


def test_a_job_of_another_server_does_not_redirect_a_manifest() -> None:
    """The variable permits and does not choose. An Enterprise token is not sent to GitHub, which is the default."""
    here, there = GitHubSettings(), GitHubSettings(address="https://github.example.com/api/v3/")
    for environment, permitted in ({}, here), ({"GITHUB_API_URL": there.url}, there):
        for settings in here, there:
            assert bool(list(GitHubTarget.origin_mistakes(settings, environment))) == (settings is not permitted)
    assert here.store(Path()) != there.store(Path())
    assert dict(here.place(Path()))["address"] == "https://api.github.com"
    assert dict(there.place(Path()))["address"] == "https://github.example.com/api/v3"


def test_a_renamed_repository_is_not_followed(place: GitHubPlace) -> None:
    """A redirect would take the token along."""
    place.github.trouble("GET", 301, Location="https://elsewhere.example.com/")
    with pytest.raises(TargetMisfit, match="redirects"):
        place.target().read(place.path(), FIELD)


@pytest.mark.parametrize(
    ("path", "field", "family"),
    [
        ("acme/web", "", "actions"),
        ("acme/web", "lower", "actions"),
        ("Acme/web", FIELD, "actions"),
        ("acme/Web", FIELD, "actions"),
        ("acme/web", "GITHUB_X", "actions"),
        ("acme/web", "1KEY", "actions"),
        ("acme/web/a/b", FIELD, "actions"),
        ("acme/web/production", FIELD, "dependabot"),
    ],
)
def test_what_github_cannot_have_is_a_mistake(place: GitHubPlace, path: str, field: str, family: str) -> None:
    """Nothing is sent."""
    with pytest.raises(InputError):
        place.target(family=family).read(path, field)
    assert place.github.asked == []


def test_the_request_has_what_the_documentation_asks_for(place: GitHubPlace) -> None:
    """The body of a write, to the field."""
    path, target = place.path(), place.target()
    target.write_marked(path, FIELD, NEW, "", free)
    [put] = [one for one in place.github.asked if one.verb == "PUT"]
    assert set(json.loads(put.body)) == {"encrypted_value", "key_id"}
    assert put.path == f"/repos/{path}/actions/secrets/{FIELD}"
    assert put.headers["Accept"] == "application/vnd.github+json"
