"""App Platform in the sandbox: by plain HTTP, and by the official client."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from pydo import Client

from keyturn.sandbox import App, Sandbox
from tests.sandbox.conftest import client

CALL: dict[str, Any] = {"enforce_https": False, "retry_total": 0}
SECRET = "sk-do-" + "s" * 58
SPEC: dict[str, Any] = {
    "name": "checkout",
    "region": "ams",
    "features": ["buildpack-stack=ubuntu-22"],
    "envs": [
        {"key": "SHARED", "scope": "RUN_TIME", "type": "SECRET", "value": "app-level"},
        {"key": "MODE", "value": "test"},
        {"key": "BUILT", "value": "x", "scope": "BUILD_TIME"},
    ],
    "services": [
        {
            "name": "web",
            "envs": [
                {"key": "MODEL_ACCESS_KEY", "scope": "RUN_TIME", "type": "SECRET", "value": SECRET},
                {"key": "MODE", "value": "web's own"},
            ],
        },
        {"name": "api", "envs": [{"key": "MODEL_ACCESS_KEY", "type": "SECRET", "value": "another"}]},
    ],
    "workers": [{"name": "mailer"}],
}


@pytest.fixture
def app(sandbox: Sandbox) -> App:
    """Make an app as an operator does."""
    return sandbox.make_app(SPEC)


@pytest.fixture
def official(sandbox: Sandbox) -> Iterator[Client]:
    """Give the official client with the account token."""
    ready = Client(token=sandbox.token, endpoint=sandbox.url, timeout=10)
    with ready:
        yield ready


def spec_of(api: httpx.Client, app: App) -> dict[str, Any]:
    """Return the spec as the API shows it."""
    spec: dict[str, Any] = api.get(f"/v2/apps/{app.id}").json()["app"]["spec"]
    return spec


def put(api: httpx.Client, app: App, spec: dict[str, Any]) -> httpx.Response:
    """Send a spec."""
    return api.put(f"/v2/apps/{app.id}", json={"spec": spec})


def phases(api: httpx.Client, app: App) -> list[str]:
    """Return the phases of the deployments, the newest first."""
    return [one["phase"] for one in api.get(f"/v2/apps/{app.id}/deployments").json()["deployments"]]


def test_no_plain_text_comes_back(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """Each secret variable is an EV string of its own; everything else is as it was sent."""
    shown = spec_of(api, app)
    secrets = [shown["envs"][0]["value"], *(one["envs"][0]["value"] for one in shown["services"])]
    assert len(set(secrets)) == 3
    assert all(value.startswith("EV[1:") and value.endswith("]") and value.count(":") == 2 for value in secrets)
    shown["envs"][0]["value"], shown["services"][0]["envs"][0]["value"] = "app-level", SECRET
    shown["services"][1]["envs"][0]["value"] = "another"
    assert shown == SPEC
    assert SECRET not in api.get("/v2/apps").text + api.get(f"/v2/apps/{app.id}/deployments").text


def test_an_ev_string_keeps_its_value_and_plain_text_sets_a_new_one(
    sandbox: Sandbox, api: httpx.Client, app: App
) -> None:
    """The same spec sent back changes no variable; the same plain text sent twice has two EV strings."""
    before = spec_of(api, app)
    assert put(api, app, before).json()["app"]["spec"] == before
    changed = copy.deepcopy(before)
    changed["services"][0]["envs"][0]["value"] = SECRET
    after = put(api, app, changed).json()["app"]["spec"]
    assert after["services"][0]["envs"][0]["value"] not in {SECRET, before["services"][0]["envs"][0]["value"]}
    assert after["services"][1] == before["services"][1]
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == SECRET
    assert sandbox.running(app.id, "api")[1]["MODEL_ACCESS_KEY"] == "another"


def test_an_ev_string_that_nobody_made_is_refused(api: httpx.Client, app: App) -> None:
    """It cannot be decrypted, so nothing is stored."""
    before = spec_of(api, app)
    changed = copy.deepcopy(before)
    changed["envs"][0]["value"] = "EV[1:AAAA:BBBB]"
    answer = put(api, app, changed)
    assert (answer.status_code, answer.json()["id"]) == (400, "bad_request")
    assert spec_of(api, app) == before
    assert len(phases(api, app)) == 1


def test_a_component_runs_with_the_variables_of_its_deployment(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """Its own come over the app's, those of the build alone are missing, and a new spec waits for its deployment."""
    first, found = sandbox.running(app.id, "web")
    assert found == {"SHARED": "app-level", "MODE": "web's own", "MODEL_ACCESS_KEY": SECRET}
    assert sandbox.running(app.id, "mailer")[1] == sandbox.running(app.id)[1] == {"SHARED": "app-level", "MODE": "test"}
    sandbox.change(deployment=60)
    changed = spec_of(api, app)
    changed["services"][0]["envs"][0]["value"] = "fresh"
    put(api, app, changed)
    assert sandbox.running(app.id, "web") == (first, found)
    sandbox.advance(60)
    second, found = sandbox.running(app.id, "web")
    assert (second != first, found["MODEL_ACCESS_KEY"]) == (True, "fresh")
    shown = api.get("/_sandbox/state").json()["apps"][0]
    assert (shown["running"], shown["variables"]["web"]) == (second, found)


def test_every_put_starts_a_deployment_that_takes_its_time(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """The phases advance with the clock; the app shows what is pending, in progress and active."""
    sandbox.change(deployment=100)
    assert "pending_deployment" in put(api, app, spec_of(api, app)).json()["app"]
    seen = []
    for seconds in (0, 10, 40, 10, 40):
        sandbox.advance(seconds)
        seen.append(phases(api, app)[0])
    assert seen == ["PENDING_BUILD", "BUILDING", "PENDING_DEPLOY", "DEPLOYING", "ACTIVE"]
    assert phases(api, app) == ["ACTIVE", "SUPERSEDED"]
    shown = api.get(f"/v2/apps/{app.id}").json()["app"]
    assert {name for name in shown if name.endswith("_deployment")} == {"active_deployment"}


@pytest.mark.parametrize("end", ["ERROR", "CANCELED"])
def test_a_deployment_can_fail(sandbox: Sandbox, api: httpx.Client, app: App, end: str) -> None:
    """The app goes on with the one before; the next spec deploys again."""
    sandbox.change(deployment_end=end)
    changed = spec_of(api, app)
    changed["services"][0]["envs"][0]["value"] = "fresh"
    put(api, app, changed)
    assert phases(api, app) == [end, "ACTIVE"]
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == SECRET
    sandbox.change(deployment_end="ACTIVE")
    put(api, app, spec_of(api, app))
    assert phases(api, app) == ["ACTIVE", end, "SUPERSEDED"]
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == "fresh"


def test_a_deployment_can_be_ended_by_hand(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """Well or not, once; the next one takes the time of the settings again."""
    sandbox.change(deployment=60)
    for end in ("ERROR", "ACTIVE"):
        put(api, app, spec_of(api, app))
        sandbox.advance(10)
        sandbox.end_deployment(app.id, end)
        assert phases(api, app)[0] == end
    put(api, app, spec_of(api, app))
    assert api.post("/_sandbox/deployments", json={"app": app.id, "end": "CANCELED"}).status_code == 200
    assert phases(api, app)[0] == "CANCELED"
    for subject, end in ((app.id, "ACTIVE"), ("none", "ACTIVE"), (app.id, "BUILDING")):
        with pytest.raises(ValueError, match=r"is over|expected an app"):
            sandbox.end_deployment(subject, end)


def test_a_rollback_deploys_the_spec_of_before(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """The spec of the app stays as it is."""
    sandbox.change(deployment=60)
    changed = spec_of(api, app)
    changed["services"][0]["envs"][0]["value"] = "fresh"
    assert api.post("/_sandbox/rollbacks", json={"app": app.id}).status_code == 400
    put(api, app, changed)
    sandbox.advance(60)
    now = spec_of(api, app)
    assert api.post("/_sandbox/rollbacks", json={"app": app.id}).status_code == 200
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == "fresh"
    sandbox.advance(60)
    assert phases(api, app) == ["ACTIVE", "SUPERSEDED", "SUPERSEDED"]
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == SECRET
    assert spec_of(api, app) == now


def test_a_later_deployment_supersedes_one_that_is_not_over(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """Of two specs in a row only the last one becomes active."""
    sandbox.change(deployment=60)
    put(api, app, spec_of(api, app))
    sandbox.advance(30)
    put(api, app, spec_of(api, app))
    assert phases(api, app) == ["PENDING_BUILD", "SUPERSEDED", "ACTIVE"]
    sandbox.advance(59)
    assert phases(api, app) == ["DEPLOYING", "SUPERSEDED", "ACTIVE"]
    sandbox.advance(1)
    assert phases(api, app) == ["ACTIVE", "SUPERSEDED", "SUPERSEDED"]


def test_a_proposal_changes_nothing(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """It is checked like a spec that is sent, and neither stored nor deployed."""
    state = sandbox.state
    changed = spec_of(api, app)
    changed["services"][0]["envs"][0]["value"] = "fresh"
    answer = api.post("/v2/apps/propose", json={"spec": changed, "app_id": app.id})
    assert (answer.status_code, answer.json()["app_name_available"]) == (200, True)
    assert "fresh" not in answer.text
    changed["services"][0]["name"] = "api"
    assert api.post("/v2/apps/propose", json={"spec": changed, "app_id": app.id}).status_code == 400
    assert sandbox.state == state


@pytest.mark.parametrize("wrong", [True, {}, [True], [[]], "x"])
@pytest.mark.parametrize("of", ["envs", "services", "jobs", "web"])
def test_a_spec_of_another_form_is_refused(api: httpx.Client, app: App, of: str, wrong: object) -> None:
    """What is no list of objects would come back as it is, and is no answer of App Platform."""
    before = spec_of(api, app)
    changed = copy.deepcopy(before)
    part = changed["services"][0] if of == "web" else changed
    part["envs" if of == "web" else of] = wrong
    assert put(api, app, changed).status_code == 400
    assert api.post("/v2/apps/propose", json={"spec": changed, "app_id": app.id}).status_code == 400
    assert spec_of(api, app) == before


def test_an_attached_database_needs_a_scope_of_its_own(sandbox: Sandbox, api: httpx.Client) -> None:
    """Without `database:view_credentials` the spec of such an app is refused, proposed or sent, and nothing changes."""
    app = sandbox.make_app({**SPEC, "databases": [{"name": "db", "cluster_name": "orders", "production": True}]})
    spec = spec_of(api, app)
    narrow = sandbox.add_token(scopes={"app:read", "app:update", "app:create"}).value
    with client(sandbox, narrow) as short:
        refused = put(short, app, spec)
        assert (refused.status_code, "database" in refused.json()["message"]) == (400, True)
        assert short.post("/v2/apps/propose", json={"spec": spec, "app_id": app.id}).status_code == 400
    assert len(phases(api, app)) == 1
    assert put(api, app, spec).status_code == 200


def test_an_app_is_seen_by_its_own_team_only(sandbox: Sandbox, app: App) -> None:
    """A token of another team sees no app, and may not send it a spec."""
    with client(sandbox, sandbox.add_token(team="others").value) as other:
        assert other.get("/v2/apps").json()["apps"] == []
        assert other.get(f"/v2/apps/{app.id}").status_code == 404
        assert put(other, app, SPEC).status_code == 404


def test_a_late_spec_lands_over_a_newer_one(sandbox: Sandbox, api: httpx.Client, app: App) -> None:
    """There is no version to compare: a request that was given up may still take effect."""
    sandbox.arm("update-app", "late", delay=30, uuid=app.id)
    late, newer = spec_of(api, app), spec_of(api, app)
    late["services"][0]["envs"][0]["value"], newer["services"][0]["envs"][0]["value"] = "late", "newer"
    assert put(api, app, late).status_code == 502
    assert put(api, app, newer).status_code == 200
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == "newer"
    sandbox.advance(30)
    assert sandbox.running(app.id, "web")[1]["MODEL_ACCESS_KEY"] == "late"


def test_the_panel_makes_an_app(api: httpx.Client, sandbox: Sandbox) -> None:
    """POST /_sandbox/apps makes one; a wrong spec is told."""
    made = api.post("/_sandbox/apps", json={"spec": SPEC}).json()
    assert sandbox.state.apps[made["id"]].name == made["name"] == "checkout"
    assert api.post("/_sandbox/apps", json={"spec": SPEC}).json()["error"].endswith("is used by another app")
    assert api.post("/_sandbox/apps", json={}).json() == {"error": "spec: expected an object"}


def test_the_official_client_drives_it(sandbox: Sandbox, official: Client, app: App) -> None:
    """List, get, propose, update and the deployments, as `pydo` calls them."""
    assert [one["id"] for one in official.apps.list(**CALL)["apps"]] == [app.id]
    spec = official.apps.get(app.id, **CALL)["app"]["spec"]
    spec["services"][0]["envs"][0]["value"] = "fresh"
    proposed = official.apps.validate_app_spec(body={"spec": spec, "app_id": app.id}, **CALL)
    assert proposed["spec"]["name"] == "checkout"
    sandbox.change(deployment=60)
    told = official.apps.update(app.id, body={"spec": spec}, **CALL)["app"]
    assert told["spec"]["services"][0]["envs"][0]["value"].startswith("EV[1:")
    pages = [official.apps.list_deployments(app.id, page=n, per_page=1, **CALL) for n in (1, 2)]
    assert [page["deployments"][0]["phase"] for page in pages] == ["PENDING_BUILD", "ACTIVE"]
    assert official.apps.get("none", **CALL)["id"] == "not_found"
    narrow = sandbox.add_token(scopes={"app:read"}).value
    with Client(token=narrow, endpoint=sandbox.url, timeout=10) as reader, pytest.raises(HttpResponseError) as caught:
        reader.apps.update(app.id, body={"spec": spec}, **CALL)
    assert caught.value.status_code == 403
