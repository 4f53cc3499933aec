"""Secrets Manager: a flat map per name and region, changed only at the version that is named."""

from __future__ import annotations

import httpx
import pytest

from keyturn.sandbox import SCOPES, Sandbox
from tests.sandbox.conftest import client

SECRETS = "/v2/security/secrets"
HERE = {"region": "nyc3"}


def create(api: httpx.Client, name: str = "app", region: str = "nyc3", **values: str) -> httpx.Response:
    """Create a secret."""
    return api.post(SECRETS, json={"name": name, "region": region, "values": values})


def test_a_secret_is_created_read_changed_and_listed_in_the_documented_shapes(api: httpx.Client) -> None:
    """The fields of the public description, and no values in a list."""
    assert create(api, KEY="1").json() == {"name": "app", "region": "nyc3", "version": 1}
    body = {**HERE, "version": 1, "values": {"OTHER": "2"}}
    assert api.put(f"{SECRETS}/app", json=body).json() == {"name": "app", "region": "nyc3", "version": 2}
    found = api.get(f"{SECRETS}/app", params=HERE).json()
    moments = {name: found.pop(name) for name in ("created_at", "updated_at")}
    assert found == {"secret": "app", "region": "nyc3", "version": 2, "values": {"OTHER": "2"}}
    listed = api.get(SECRETS).json()
    assert listed["secrets"] == [{"secret": "app", "region": "nyc3", "version": 2, **moments}]
    assert (listed["meta"], listed["unavailable_regions"]) == ({"page": 1, "pages": 1, "total": 1}, [])


@pytest.mark.parametrize("changes", [{"version": 2}, {"version": True}, {"version": None}, {"values": {"KEY": 1}}])
def test_another_version_and_what_is_no_text_are_refused(api: httpx.Client, changes: dict[str, object]) -> None:
    """Nothing changes."""
    create(api, KEY="1")
    answer = api.put(f"{SECRETS}/app", json={**HERE, "version": 1, "values": {"KEY": "2"}, **changes})
    assert (answer.status_code, answer.json()["id"]) == (400, "bad_request")
    assert api.get(f"{SECRETS}/app", params=HERE).json()["values"] == {"KEY": "1"}


def test_a_name_is_taken_once_per_region_and_team(sandbox: Sandbox, api: httpx.Client) -> None:
    """Another region and another team have their own; no values, no secret."""
    assert create(api).status_code == 200
    assert create(api).status_code == 400
    assert create(api, region="sfo3").status_code == 200
    with client(sandbox, sandbox.add_token(team="others").value) as other:
        assert other.get(f"{SECRETS}/app", params=HERE).status_code == 404
        assert create(other).status_code == 200
    assert api.post(SECRETS, json={"name": "bare", **HERE}).status_code == 400
    assert api.get(f"{SECRETS}/bare", params=HERE).status_code == 404


def test_a_requested_deletion_is_shown_and_keeps_the_name(api: httpx.Client) -> None:
    """It can be read until then, and no longer changed."""
    create(api, KEY="1")
    answer = api.delete(f"{SECRETS}/app", params=HERE)
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.get(f"{SECRETS}/app", params=HERE).json()["delete_requested_at"]
    assert api.get(SECRETS).json()["secrets"][0]["delete_requested_at"]
    assert api.put(f"{SECRETS}/app", json={**HERE, "version": 1, "values": {}}).status_code == 404
    assert create(api).status_code == 400


def test_a_list_has_pages_and_names_the_regions_that_it_lacks(sandbox: Sandbox, api: httpx.Client) -> None:
    """Across all regions."""
    for number in range(5):
        create(api, f"app{number}", "sfo3" if number == 4 else "nyc3")
    pages = [api.get(SECRETS, params={"page": number, "per_page": 2}).json() for number in (1, 2, 3)]
    assert [len(page["secrets"]) for page in pages] == [2, 2, 1]
    assert {(page["meta"]["pages"], page["meta"]["total"]) for page in pages} == {(3, 5)}
    sandbox.change(unavailable_regions=["sfo3"])
    partial = api.get(SECRETS).json()
    assert (len(partial["secrets"]), partial["unavailable_regions"]) == (4, ["sfo3"])
    assert api.get(f"{SECRETS}/app4", params={"region": "sfo3"}).status_code == 503
    assert api.get(f"{SECRETS}/app0", params=HERE).status_code == 200


@pytest.mark.parametrize(
    ("scope", "verb", "path"),
    [
        ("security:read", "GET", SECRETS),
        ("security:read", "GET", f"{SECRETS}/app"),
        ("security:create", "POST", SECRETS),
        ("security:update", "PUT", f"{SECRETS}/app"),
        ("security:delete", "DELETE", f"{SECRETS}/app"),
    ],
)
def test_each_call_needs_its_scope(sandbox: Sandbox, api: httpx.Client, scope: str, verb: str, path: str) -> None:
    """And no other."""
    create(api)
    body = {"name": "new", **HERE, "version": 1, "values": {}}
    asked = {"params": HERE, **({"json": body} if verb in {"POST", "PUT"} else {})}
    lacking = sandbox.add_token(scopes=SCOPES - {scope}).value
    having = sandbox.add_token(scopes={scope}).value
    with client(sandbox, lacking) as short, client(sandbox, having) as enough:
        assert short.request(verb, path, **asked).status_code == 403  # type: ignore[arg-type]
        assert enough.request(verb, path, **asked).is_success  # type: ignore[arg-type]


def test_a_fault_strikes_these_calls_too(sandbox: Sandbox, api: httpx.Client) -> None:
    """By their own names; a lost answer has taken effect."""
    sandbox.arm("secret-create", "lost-response")
    with pytest.raises(httpx.RemoteProtocolError):
        create(api, KEY="1")
    sandbox.arm("secret-read", "error-500", uuid="app")
    assert api.get(f"{SECRETS}/app", params=HERE).status_code == 500
    assert api.get(f"{SECRETS}/app", params=HERE).json()["values"] == {"KEY": "1"}


def test_the_state_shows_them(api: httpx.Client) -> None:
    """With their values, as it shows every secret."""
    create(api, KEY="1")
    [stored] = api.get("/_sandbox/state").json()["stored"]
    assert (stored["name"], stored["region"], stored["values"], stored["version"]) == ("app", "nyc3", {"KEY": "1"}, 1)
