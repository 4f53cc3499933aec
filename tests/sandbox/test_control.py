"""The control API over HTTP: status codes, bodies, headers, paging, limits."""

import json
from email.utils import parsedate_to_datetime

import httpx
import pytest

from keyturn.sandbox import SCOPES, Sandbox
from tests.sandbox.conftest import KEYS, START, both_formats, client


def test_create_is_gone(sandbox: Sandbox, api: httpx.Client) -> None:
    """By default a create is answered 410 with the documented body, and makes nothing."""
    answer = api.post(KEYS, json={"name": "bot"})
    assert answer.status_code == 410
    assert answer.json() == {
        "id": "gone",
        "message": "resource retired: Creating model API keys through this endpoint is retired. "
        "Go to manage page in the control panel to create a model access key.",
    }
    assert not sandbox.state.keys


@both_formats
def test_create_where_allowed_shows_the_secret_once(sandbox: Sandbox, api: httpx.Client) -> None:
    """An allowed create answers the key with its secret; the list never shows it."""
    sandbox.change(create="allowed")
    info = api.post(KEYS, json={"name": "bot"}).json()["api_key_info"]
    assert sandbox.accepts(info["secret_key"])
    listed = api.get(KEYS).json()["api_key_infos"]
    assert [item["uuid"] for item in listed] == [info["uuid"]]
    assert "secret_key" not in listed[0]


def test_names_are_not_unique(sandbox: Sandbox, api: httpx.Client) -> None:
    """Two keys may have one name; their uuids differ."""
    assert sandbox.panel_create("bot").uuid != sandbox.panel_create("bot").uuid
    assert [item["name"] for item in api.get(KEYS).json()["api_key_infos"]] == ["bot", "bot"]


def test_info_has_the_documented_types(sandbox: Sandbox, api: httpx.Client) -> None:
    """`created_at` is RFC 3339, `created_by` an integer written as text, `deleted_at` absent while the key lives."""
    sandbox.panel_create("bot")
    (info,) = api.get(KEYS).json()["api_key_infos"]
    assert info["created_at"] == "2026-09-21T14:13:20Z"
    assert isinstance(info["created_by"], str)
    assert "deleted_at" not in info


@both_formats
def test_rename_shows_no_secret(sandbox: Sandbox, api: httpx.Client) -> None:
    """A rename answers the new name without a secret, and the secret stays alive."""
    key = sandbox.panel_create("bot")
    answer = api.put(f"{KEYS}/{key.uuid}", json={"api_key_uuid": key.uuid, "name": "new"})
    assert answer.status_code == 200
    assert answer.json()["api_key_info"]["name"] == "new"
    assert "secret_key" not in answer.json()["api_key_info"]
    assert sandbox.accepts(key.secret)


@both_formats
def test_regenerate_replaces_the_secret(sandbox: Sandbox, api: httpx.Client) -> None:
    """A regenerate answers a new secret for the same uuid and name; the old one is dead at once."""
    key = sandbox.panel_create("bot")
    info = api.put(f"{KEYS}/{key.uuid}/regenerate").json()["api_key_info"]
    assert (info["uuid"], info["name"]) == (key.uuid, "bot")
    assert sandbox.accepts(info["secret_key"])
    assert not sandbox.accepts(key.secret)


@both_formats
def test_delete_then_404(sandbox: Sandbox, api: httpx.Client) -> None:
    """A delete answers the key with `deleted_at`; afterwards every verb on that uuid is answered 404."""
    key = sandbox.panel_create("bot")
    assert api.delete(f"{KEYS}/{key.uuid}").json()["api_key_info"]["deleted_at"] == "2026-09-21T14:13:20Z"
    assert not sandbox.accepts(key.secret)
    for answer in (
        api.delete(f"{KEYS}/{key.uuid}"),
        api.put(f"{KEYS}/{key.uuid}/regenerate"),
        api.put(f"{KEYS}/{key.uuid}", json={"name": "new"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["id"] == "not_found"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert api.get(KEYS).json()["meta"]["total"] == 0


def test_there_is_no_get_of_one_key(sandbox: Sandbox, api: httpx.Client) -> None:
    """The list is the only read."""
    key = sandbox.panel_create("bot")
    assert api.get(f"{KEYS}/{key.uuid}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"{}", 422), (b'{"name": ""}', 422), (b'{"name": 7}', 422)]
)
def test_a_wrong_body_is_refused(sandbox: Sandbox, api: httpx.Client, body: bytes, status: int) -> None:
    """A create or rename without a JSON object is 400, without a name 422, and changes nothing."""
    sandbox.change(create="allowed")
    key = sandbox.panel_create("bot")
    assert api.post(KEYS, content=body).status_code == status
    assert api.put(f"{KEYS}/{key.uuid}", content=body).status_code == status
    assert list(sandbox.state.keys.values()) == [key]


def test_a_rename_with_another_uuid_in_its_body_is_refused(sandbox: Sandbox, api: httpx.Client) -> None:
    """The uuid in the body, if given, must be the one in the path."""
    key = sandbox.panel_create("bot")
    assert api.put(f"{KEYS}/{key.uuid}", json={"api_key_uuid": "other", "name": "new"}).status_code == 422


def test_pages_have_links_and_totals(sandbox: Sandbox, api: httpx.Client) -> None:
    """Every page says page, pages and total, and links to its neighbours; following `next` finds every key once."""
    made = [sandbox.panel_create(f"bot-{n}").uuid for n in range(5)]
    first = api.get(KEYS, params={"per_page": 2}).json()
    assert first["meta"] == {"page": 1, "pages": 3, "total": 5}
    assert set(first["links"]["pages"]) == {"next", "last"}
    middle = api.get(first["links"]["pages"]["next"]).json()
    assert set(middle["links"]["pages"]) == {"first", "previous", "next", "last"}
    last = api.get(middle["links"]["pages"]["next"]).json()
    assert set(last["links"]["pages"]) == {"first", "previous"}
    assert [item["uuid"] for page in (first, middle, last) for item in page["api_key_infos"]] == made


def test_per_page_is_at_most_200(sandbox: Sandbox, api: httpx.Client) -> None:
    """Twenty keys a page unless asked, and never more than 200."""
    for n in range(201):
        sandbox.panel_create(f"bot-{n}")
    assert len(api.get(KEYS).json()["api_key_infos"]) == 20
    wide = api.get(KEYS, params={"per_page": 1000}).json()
    assert len(wide["api_key_infos"]) == 200
    assert wide["meta"]["pages"] == 2
    assert api.get(KEYS, params={"page": 12}).json()["api_key_infos"] == []


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "²", "9" * 5000])
def test_a_page_that_is_no_number_is_refused(api: httpx.Client, value: str) -> None:
    """`page` and `per_page` are whole numbers from 1."""
    assert api.get(KEYS, params={"page": value}).status_code == 422
    assert api.get(KEYS, params={"per_page": value}).status_code == 422


def test_paging_is_no_snapshot(sandbox: Sandbox, api: httpx.Client) -> None:
    """A delete between two pages shifts a key past the border: it is on neither page, and the totals differ."""
    made = [sandbox.panel_create(f"bot-{n}").uuid for n in range(4)]
    first = api.get(KEYS, params={"per_page": 2}).json()
    sandbox.by_hand("delete", made[0])
    second = api.get(KEYS, params={"per_page": 2, "page": 2}).json()
    seen = {item["uuid"] for page in (first, second) for item in page["api_key_infos"]}
    assert made[2] not in seen
    assert (first["meta"]["total"], second["meta"]["total"]) == (4, 3)


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic eA==", "Bearer"])
def test_no_valid_token_is_401(sandbox: Sandbox, header: str) -> None:
    """Without a known account token every request is answered 401, a retired create too."""
    with client(sandbox) as nobody:
        for answer in (
            nobody.get(KEYS, headers={"authorization": header}),
            nobody.post(KEYS, headers={"authorization": header}, json={"name": "bot"}),
        ):
            assert answer.status_code == 401
            assert answer.json()["id"] == "unauthorized"
            assert answer.json()["message"] == "Unable to authenticate you"
            assert "ratelimit-remaining" in answer.headers


@pytest.mark.parametrize(
    ("scope", "verb", "path"),
    [
        ("genai:read", "GET", KEYS),
        ("genai:create", "POST", KEYS),
        ("genai:update", "PUT", f"{KEYS}/x"),
        ("genai:update", "PUT", f"{KEYS}/x/regenerate"),
        ("genai:delete", "DELETE", f"{KEYS}/x"),
        ("account:read", "GET", "/v2/account"),
        ("billing:read", "GET", "/v2/customers/my/prepayment_status"),
        ("app:read", "GET", "/v2/apps"),
        ("app:read", "GET", "/v2/apps/x"),
        ("app:read", "GET", "/v2/apps/x/deployments"),
        ("app:update", "PUT", "/v2/apps/x"),
    ],
)
def test_a_token_without_the_scope_is_forbidden(sandbox: Sandbox, scope: str, verb: str, path: str) -> None:
    """Each verb needs its scope, and no other: lacking it is 403, having only it is not."""
    sandbox.change(create="allowed")
    lacking = sandbox.add_token(scopes=SCOPES - {scope}).value
    having = sandbox.add_token(scopes={scope}).value
    with client(sandbox, lacking) as short, client(sandbox, having) as enough:
        answer = short.request(verb, path, json={"name": "bot"})
        assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
        assert enough.request(verb, path, json={"name": "bot"}).status_code in {200, 404}


def test_a_revoked_token_is_401(sandbox: Sandbox, api: httpx.Client) -> None:
    """Revoking takes effect at once."""
    assert api.get(KEYS).status_code == 200
    sandbox.revoke_token(sandbox.token)
    assert api.get(KEYS).status_code == 401


def test_a_team_sees_its_own_keys_only(sandbox: Sandbox, api: httpx.Client) -> None:
    """A token of another team sees another account and none of our keys, and may not touch them."""
    key = sandbox.panel_create("bot")
    with client(sandbox, sandbox.add_token(team="others").value) as other:
        assert other.get(KEYS).json()["meta"]["total"] == 0
        assert other.put(f"{KEYS}/{key.uuid}/regenerate").status_code == 404
        assert other.get("/v2/account").json()["account"]["team"]["name"] == "others"
        ours = api.get("/v2/account").json()["account"]["team"]["uuid"]
        assert other.get("/v2/account").json()["account"]["team"]["uuid"] != ours


def test_two_teams_in_one_sandbox(sandbox: Sandbox, api: httpx.Client) -> None:
    """A second team has its own token with its own scopes, and its own keys, made over the admin's routes."""
    made = api.post("/_sandbox/tokens", json={"team": "others", "scopes": ["genai:read", "genai:update"]}).json()
    theirs = api.post("/_sandbox/keys", json={"name": "theirs", "team": "others"}).json()
    ours = sandbox.panel_create("ours")
    with client(sandbox, made["token"]) as other:
        assert [info["uuid"] for info in other.get(KEYS).json()["api_key_infos"]] == [theirs["uuid"]]
        assert other.put(f"{KEYS}/{theirs['uuid']}/regenerate").status_code == 200
        assert other.delete(f"{KEYS}/{theirs['uuid']}").status_code == 403
        assert other.get("/v2/account").status_code == 403
    assert [info["uuid"] for info in api.get(KEYS).json()["api_key_infos"]] == [ours.uuid]
    assert sandbox.accepts(ours.secret)
    assert not sandbox.accepts(theirs["secret"])


def test_the_account_is_the_same_after_a_restart(sandbox: Sandbox, api: httpx.Client) -> None:
    """The team uuid does not depend on the seed, so that records stay valid over restarts."""
    with Sandbox(seed=2) as later, client(later, later.token) as again:
        assert again.get("/v2/account").json()["account"]["team"] == api.get("/v2/account").json()["account"]["team"]


def test_every_answer_has_a_date_and_the_limits(api: httpx.Client, sandbox: Sandbox) -> None:
    """`Date` is the sandbox's own time; the limits count down, and reset when the oldest request is an hour old."""
    first = api.get(KEYS)
    sandbox.advance(90)
    second = api.get("/v2/nowhere")
    assert parsedate_to_datetime(first.headers["date"]).timestamp() == START
    assert parsedate_to_datetime(second.headers["date"]).timestamp() == START + 90
    assert [answer.headers["ratelimit-remaining"] for answer in (first, second)] == ["4999", "4998"]
    assert {answer.headers["ratelimit-limit"] for answer in (first, second)} == {"5000"}
    assert {answer.headers["ratelimit-reset"] for answer in (first, second)} == {str(int(START) + 3600)}


def test_the_burst_limit_says_when_to_come_back(api: httpx.Client, sandbox: Sandbox) -> None:
    """Over the minute's limit: 429 with `Retry-After`, nothing done; after that time the token may go on."""
    sandbox.change(minute_limit=2)
    key = sandbox.panel_create("bot")
    api.get(KEYS)
    sandbox.advance(20)
    api.get(KEYS)
    answer = api.put(f"{KEYS}/{key.uuid}/regenerate")
    assert (answer.status_code, answer.json()["id"]) == (429, "too_many_requests")
    assert answer.headers["retry-after"] == "40"
    assert sandbox.accepts(key.secret)
    sandbox.advance(40)
    assert api.get(KEYS).status_code == 200


def test_the_hour_limit_has_no_retry_after(api: httpx.Client, sandbox: Sandbox) -> None:
    """Over the hour's limit: 429, remaining 0, and only `ratelimit-reset` says when; another token is not held up."""
    sandbox.change(hour_limit=2)
    api.get(KEYS)
    api.get(KEYS)
    answer = api.get(KEYS)
    assert answer.status_code == 429
    assert answer.headers["ratelimit-remaining"] == "0"
    assert "retry-after" not in answer.headers
    with client(sandbox, sandbox.add_token().value) as other:
        assert other.get(KEYS).status_code == 200
    sandbox.advance(3600)
    assert api.get(KEYS).status_code == 200


def test_unknown_paths_are_json_404(api: httpx.Client) -> None:
    """A path or verb that the API lacks is answered 404 in its own error shape."""
    for answer in (api.get("/v2/droplets"), api.patch(KEYS), api.post("/v2/account")):
        assert answer.status_code == 404
        assert json.loads(answer.content)["id"] == "not_found"
