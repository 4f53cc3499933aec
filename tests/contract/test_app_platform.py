"""App Platform: what its target does beside the contract of write-only targets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyturn.core.errors import (
    CredentialError,
    InputError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.sandbox import Sandbox
from keyturn.targets.app_platform import AppPlatformTarget
from keyturn.targets.base import EffectState, TargetContext
from tests.contract.place_app_platform import SCOPES, AppPlatformPlace, spec
from tests.contract.test_deliveries import FIELD, NEW, never
from tests.contract.test_documents import free


@pytest.fixture
def place() -> Iterator[AppPlatformPlace]:
    """A sandbox of the test's own, whose clock moves only by hand."""
    with Sandbox(seed=1) as sandbox:
        made = AppPlatformPlace(sandbox)
        yield made
        made.close()


def test_an_app_is_found_by_its_name(place: AppPlatformPlace) -> None:
    """It is looked up once, over all pages; a name that no app has is not looked up again at each read."""
    for number in range(201):
        place.sandbox.make_app({"name": f"other-{number}"})
    path = place.path()
    target = place.target()
    mine = target.write_marked(path, FIELD, NEW, "", free)
    assert target.read(path, FIELD).version == mine
    for _ in range(3):
        with pytest.raises(TargetMisfit, match="there is no app no-such-app"):
            target.read("no-such-app/web", FIELD)
    assert place.count("apps") == 11


def test_large_specs_of_others_do_not_hide_an_app(place: AppPlatformPlace) -> None:
    """A page of apps that is too large for one answer is read app by app."""
    for number in range(25):
        web = {"name": "web", "envs": [{"key": "LARGE", "value": "x" * 300_000}]}
        place.sandbox.make_app({"name": f"large-{number}", "services": [web]})
    path = place.path()
    assert place.target().read(path, FIELD).version == ""


def test_one_place_has_one_name(place: AppPlatformPlace) -> None:
    """An id would be a second one: two deliveries to one variable would write over each other for ever."""
    path = place.path()
    with pytest.raises(InputError, match="one place has one name"):
        place.target().read(f"{place.app(path).id}/web", FIELD)


def test_an_app_that_has_another_name_now_is_not_found(place: AppPlatformPlace) -> None:
    """What was known of its name does not lead a secret to it; an app that has the name since then is found."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)
    app = place.app(path)
    place.send(app.id, {**place.spec(path), "name": "renamed"})
    with pytest.raises(TargetMisfit, match="there is no app"):
        target.write_marked(path, FIELD, NEW, "", never)
    other = place.sandbox.make_app(spec(path.partition("/")[0]))
    target.write_marked(path, FIELD, NEW, "", free)
    assert place.sandbox.running(other.id, "web")[1][FIELD] == NEW.reveal()


def test_two_places_never_show_one_marker(place: AppPlatformPlace) -> None:
    """Also if someone copies a ciphertext from one component to another."""
    path, target = place.path(), place.target()
    mine = target.write_marked(path, FIELD, NEW, "", free)
    changed = place.spec(path)
    changed["workers"][0]["envs"] = changed["services"][1]["envs"]
    place.send(place.app(path).id, changed)
    copied = target.read(f"{place.app(path).name}/mailer", FIELD).version
    assert copied
    assert copied != mine


def test_without_a_component_the_variable_is_the_app_s(place: AppPlatformPlace) -> None:
    """Every component gets it."""
    app = place.path().partition("/")[0]
    place.target().write_marked(app, "FRESH", NEW, "", free)
    running = [place.sandbox.running(place.app(app).id, name)[1]["FRESH"] for name in ("web", "mailer", "api")]
    assert running == [NEW.reveal()] * 3


def test_a_component_with_a_variable_of_its_own_does_not_use_the_app_s(place: AppPlatformPlace) -> None:
    """It is told before anything is written; if it comes later, the secret is not in effect until it is gone."""
    app, target = place.path().partition("/")[0], place.target()
    for call in (lambda: target.preflight(app, FIELD), lambda: target.write_marked(app, FIELD, NEW, "", never)):
        with pytest.raises(TargetMisfit, match="the component api has a variable MODEL_ACCESS_KEY of its own"):
            call()
    mine = target.write_marked(app, "FRESH", NEW, "", free)
    assert target.effect(app, "FRESH", mine).active
    changed = place.spec(app)
    changed["services"][1]["envs"].append({"key": "FRESH", "value": "theirs", "type": "SECRET"})
    place.send(place.app(app).id, changed)
    found = target.effect(app, "FRESH", mine)
    assert (found.state, found.detail) == (EffectState.FAILED, "the component web has a variable FRESH of its own")
    assert target.read(app, "FRESH").version == mine
    changed["services"][1]["envs"].pop()
    place.sandbox.change(deployment=1000)
    place.send(place.app(app).id, changed)
    assert target.effect(app, "FRESH", mine).state is EffectState.PENDING
    place.sandbox.advance(1000)
    assert target.effect(app, "FRESH", mine).active


ANY = {"KEYTURN_ALLOWED_PLACES": "app-platform=*"}


def test_in_effect_once_its_deployment_is_active(place: AppPlatformPlace) -> None:
    """Pending with the phase, then active; consumers get the secret at that moment and not before."""
    path, target = place.path(), place.target()
    place.sandbox.change(deployment=1000)
    mine = target.write_marked(path, FIELD, NEW, "", free)
    pending = target.effect(path, FIELD, mine)
    deployment = place.app(path).deployments[-1].id
    assert (pending.state, pending.detail) == (EffectState.PENDING, f"deployment {deployment} is PENDING_BUILD")
    place.sandbox.advance(200)
    assert target.effect(path, FIELD, mine).detail == f"deployment {deployment} is BUILDING"
    assert place.used(path) is None
    place.sandbox.advance(800)
    assert target.effect(path, FIELD, mine).active
    assert place.used(path) == NEW.reveal()


@pytest.mark.parametrize("end", ["ERROR", "CANCELED"])
def test_a_failed_deployment_is_told_until_a_later_one_is_active(place: AppPlatformPlace, end: str) -> None:
    """With its phase; someone who deploys the app again brings the secret into effect."""
    path, target = place.path(), place.target()
    place.sandbox.change(deployment_end=end)
    mine = target.write_marked(path, FIELD, NEW, "", free)
    deployment = place.app(path).deployments[-1].id
    failed = target.effect(path, FIELD, mine)
    assert (failed.state, failed.detail) == (EffectState.FAILED, f"deployment {deployment} is {end}")
    app = place.app(path)
    place.sandbox.change(deployment_end="ACTIVE", deployment=1000)
    place.send(app.id, place.spec(path))
    assert target.effect(path, FIELD, mine).state is EffectState.PENDING
    place.sandbox.advance(1000)
    assert target.effect(path, FIELD, mine).active


def test_a_later_deployment_counts_for_an_earlier_write(place: AppPlatformPlace) -> None:
    """A deployment that is superseded before it is active is no failure if the later one has the value too."""
    path, target = place.path(), place.target()
    place.sandbox.change(deployment=1000)
    mine = target.write_marked(path, FIELD, NEW, "", free)
    app = place.app(path)
    target.write_marked(f"{app.name}/mailer", FIELD, NEW, "", free)
    assert target.effect(path, FIELD, mine).state is EffectState.PENDING
    place.sandbox.advance(1000)
    assert target.effect(path, FIELD, mine).active


def test_after_a_rollback_the_app_runs_another_spec(place: AppPlatformPlace) -> None:
    """The spec of the app still has the value. What to do is said, also while the rollback is under way."""
    path, target = place.path(), place.target()
    mine = target.write_marked(path, FIELD, NEW, "", free)
    assert target.effect(path, FIELD, mine).active
    place.sandbox.change(deployment=1000)
    place.sandbox.roll_back(place.app(path).id)
    assert target.effect(path, FIELD, mine).active
    place.sandbox.advance(1000)
    assert place.used(path) is None
    found = target.effect(path, FIELD, mine)
    told = f"the app runs another spec since deployment {place.app(path).deployments[-1].id} (rolled back?)"
    assert (found.state, found.detail) == (
        EffectState.FAILED,
        f"{told}: revert the rollback, or deploy the app again",
    )
    place.send(place.app(path).id, place.spec(path))
    assert target.effect(path, FIELD, mine).state is EffectState.PENDING
    place.sandbox.advance(1000)
    assert target.effect(path, FIELD, mine).active


@pytest.mark.parametrize(("seconds", "said"), [(0, ""), (20, ", about 1 minute"), (150, ", about 3 minutes")])
def test_what_a_write_sets_off_is_said_without_a_request(place: AppPlatformPlace, seconds: int, said: str) -> None:
    """For the plan: with the minutes that the last deployment took, if the app was read."""
    path, target = place.path(), place.target()
    place.sandbox.change(deployment=seconds)
    place.send(place.app(path).id, place.spec(path))
    place.sandbox.advance(seconds)
    what = f"starts a deployment of the app {place.app(path).name} (all its components)"
    sent = len(place.sandbox.requests)
    assert target.consequence(path, FIELD) == what
    assert len(place.sandbox.requests) == sent
    target.read(path, FIELD)
    sent = len(place.sandbox.requests)
    assert target.consequence(path, FIELD) == what + said
    assert len(place.sandbox.requests) == sent


def test_a_read_says_why_a_place_takes_nothing(place: AppPlatformPlace) -> None:
    """So that no plan promises a write. Each reason is that of the preflight."""
    path, target = place.path(), place.target()
    assert target.read(path, FIELD).refuses == ""
    app = path.partition("/")[0]
    for there, field in ((f"{app}/no-such", FIELD), (path, "SHARED"), (app, FIELD)):
        refuses = target.read(there, field).refuses
        with pytest.raises(TargetMisfit) as caught:
            target.preflight(there, field)
        assert refuses == str(caught.value)
        assert refuses


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("no-such-app/web", "there is no app no-such-app"),
        ("{app}/no-such", "the app has no component no-such .it has api, web, mailer, site"),
        ("{app}/site", "a static site, which publishes"),
    ],
)
def test_a_place_that_cannot_hold_a_secret_is_told_before_anything(
    place: AppPlatformPlace, path: str, why: str
) -> None:
    """By the preflight, and by a write; a removal from what is not there is done."""
    target, path = place.target(), path.format(app=place.path().partition("/")[0])
    with pytest.raises(TargetMisfit, match=why):
        target.preflight(path, FIELD)
    with pytest.raises(TargetMisfit, match=why):
        target.write_marked(path, FIELD, NEW, "", never)
    if "no-such-app" in path:  # what the token may not see is not absent
        with pytest.raises(TargetMisfit, match=why):
            target.read(path, FIELD)
        with pytest.raises(TargetMisfit, match=why):
            target.remove_marked(path, FIELD, "", never)
    elif "site" not in path:
        assert target.read(path, FIELD).version == ""
        target.remove_marked(path, FIELD, "", never)


def test_a_variable_of_the_whole_app_is_not_shadowed(place: AppPlatformPlace) -> None:
    """A new variable of the component would take the place of one that is in use."""
    target, path = place.target(), place.path()
    for call in (lambda: target.preflight(path, "SHARED"), lambda: target.write_marked(path, "SHARED", NEW, "", never)):
        with pytest.raises(TargetMisfit, match="the whole app has a variable SHARED"):
            call()


@pytest.mark.parametrize(("at", "scope"), [("web", "BUILD_TIME"), ("", "BUILD_TIME"), ("", "RUN_AND_BUILD_TIME")])
def test_a_variable_that_the_build_uses_is_refused(place: AppPlatformPlace, at: str, scope: str) -> None:
    """Nothing would use the secret at run time, or a static site of the app could publish it."""
    app = place.path().partition("/")[0]
    changed = place.spec(app)
    part = next(one for one in changed["services"] if one["name"] == at) if at else changed
    part["envs"].append({"key": "KEY", "type": "SECRET", "scope": scope, "value": "x"})
    place.send(place.app(app).id, changed)
    with pytest.raises(TargetMisfit, match="the build uses the variable KEY"):
        place.target().preflight(f"{app}/{at}".rstrip("/"), "KEY")


def test_what_is_no_list_of_apps_is_not_an_empty_one(place: AppPlatformPlace) -> None:
    """A page of a proxy, or a cut-off answer, says nothing of any app."""
    path = place.path()
    place.sandbox.arm("apps", "truncated-json")
    with pytest.raises(TargetUnavailable, match="not an answer"):
        place.target().read(path, FIELD)


def test_a_variable_in_plain_text_is_refused(place: AppPlatformPlace) -> None:
    """Everyone who may see the app could read the secret."""
    app = place.path().partition("/")[0]
    for call in (place.target().read, place.target().preflight):
        with pytest.raises(TargetMisfit, match="MODE is not encrypted"):
            call(app, "MODE")


@pytest.mark.parametrize("field", ["", "1KEY", "A-B", "A B", "KÉY"])
def test_a_name_that_no_variable_has_is_a_mistake(place: AppPlatformPlace, field: str) -> None:
    """Nothing is sent."""
    with pytest.raises(InputError):
        place.target().read("checkout/web", field)
    with pytest.raises(InputError, match="APP/COMPONENT"):
        place.target().read("checkout/web/x", FIELD)
    assert place.sandbox.requests == ()


@pytest.mark.parametrize(
    ("lacking", "call"), [("app:read", "read"), ("app:update", "preflight"), ("app:update", "write_marked")]
)
def test_a_token_without_a_scope_is_told_which(place: AppPlatformPlace, lacking: str, call: str) -> None:
    """Each call names both at once; without that of a write the preflight fails, before anything is made."""
    path = place.path()
    target = place.target(place.sandbox.add_token(scopes=SCOPES - {lacking}).value)
    arguments = (path, FIELD, NEW, "", free) if call == "write_marked" else (path, FIELD)
    with pytest.raises(TargetForbidden, match=r"needs the scopes app:read, app:update\."):
        getattr(target, call)(*arguments)
    assert place.writes(path) == 1


def test_an_attached_database_is_told_by_the_preflight(place: AppPlatformPlace) -> None:
    """The scope that is missing is named before any secret is made."""
    app = place.sandbox.make_app({**spec("orders"), "databases": [{"name": "db", "cluster_name": "c"}]})
    with pytest.raises(TargetForbidden, match="app:create"):
        place.target().preflight("orders/web", FIELD)
    more = place.sandbox.add_token(scopes=SCOPES | {"app:create"}).value
    with pytest.raises(TargetMisfit, match="database:view_credentials"):
        place.target(more).preflight("orders/web", FIELD)
    assert len(place.app("orders").deployments) == 1
    more = place.sandbox.add_token(scopes=SCOPES | {"app:create", "database:view_credentials"}).value
    place.target(more).preflight("orders/web", FIELD)
    assert app.name == "orders"


def test_a_refused_or_missing_token_is_a_credential_error(place: AppPlatformPlace) -> None:
    """Exit code 5, and the variable is named."""
    path = place.path()
    with pytest.raises(CredentialError, match="401 to DIGITALOCEAN_TOKEN"):
        place.target("dop_v1_revoked").read(path, FIELD)
    bare = AppPlatformTarget(TargetContext("apps", {}, {"KEYTURN_API_URL": place.sandbox.url} | ANY))
    with pytest.raises(CredentialError, match="no DigitalOcean token found"):
        bare.read(path, FIELD)
    bare.close()


def test_a_manifest_alone_names_no_app(place: AppPlatformPlace) -> None:
    """The environment lists the apps that may be changed; the token may change all of the account."""
    path, before = place.path(), len(place.sandbox.requests)
    target = place.target(permitted="app-platform=shop*")
    for call in (target.read, target.preflight):
        with pytest.raises(TargetForbidden, match="does not permit the place"):
            call(path, FIELD)
    with pytest.raises(TargetForbidden):
        target.write_marked(path, FIELD, NEW, "", never)
    assert len(place.sandbox.requests) == before


def test_a_token_goes_only_where_the_environment_says() -> None:
    """No plain http to another machine, and no address in a manifest."""
    with pytest.raises(InputError, match="KEYTURN_API_URL"):
        AppPlatformTarget(TargetContext("apps", {}, {"KEYTURN_API_URL": "http://apps.example.com"}))
    with pytest.raises(InputError, match="address"):
        AppPlatformTarget(TargetContext("apps", {"address": "https://apps.example.com"}))


def test_while_the_api_asks_to_wait_nothing_is_sent(place: AppPlatformPlace) -> None:
    """A 429 with `Retry-After` is obeyed by every call after it."""
    path, target = place.path(), place.target()
    target.read(path, FIELD)
    place.sandbox.arm("app", "error-429", delay=30)
    with pytest.raises(TargetUnavailable, match=r"asks to wait .30 s"):
        target.read(path, FIELD)
    before = len(place.sandbox.requests)
    with pytest.raises(TargetUnavailable, match="asks to wait"):
        target.write_marked(path, FIELD, NEW, "", never)
    assert len(place.sandbox.requests) == before


def test_a_preflight_starts_no_deployment(place: AppPlatformPlace) -> None:
    """It tries an update of no app, proposes the present spec, and sends none. A token that may not propose will do."""
    path, state = place.path(), place.sandbox.state
    place.target().preflight(path, FIELD)
    place.target(place.sandbox.token).preflight(path, FIELD)
    ops = ["apps", "app", "deployments", "update-app", "propose-app"]
    assert [(seen.op, seen.status) for seen in place.sandbox.requests] == [
        *zip(ops, (200, 200, 200, 404, 403), strict=True),
        *zip(ops, (200, 200, 200, 404, 200), strict=True),
    ]
    assert place.sandbox.state.apps == state.apps
