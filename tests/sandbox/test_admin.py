"""The admin's routes, the page, ready-made keys and settings."""

import json
import re
from pathlib import Path

import httpx
import pytest

from keyturn.sandbox import ReadyKey, Sandbox, Settings, load_keys
from keyturn.sandbox.ready import ready_key
from tests.sandbox.conftest import KEYS, START, both_formats, client


@both_formats
def test_the_panel_makes_a_key_and_shows_its_secret(sandbox: Sandbox, api: httpx.Client) -> None:
    """POST /_sandbox/keys makes a key, with scope and VPC, while the public create is gone."""
    made = api.post("/_sandbox/keys", json={"name": "bot", "models": ["llama3.3-70b-instruct"], "vpc": True}).json()
    assert sandbox.accepts(made["secret"])
    key = sandbox.state.keys[made["uuid"]]
    assert (key.name, key.models, key.vpc) == ("bot", ("llama3.3-70b-instruct",), True)


@both_formats
def test_the_state_tells_the_life_of_every_secret(sandbox: Sandbox, api: httpx.Client) -> None:
    """GET /_sandbox/state has every secret ever minted: by whom, when, whether alive, when it died."""
    key = sandbox.panel_create("bot")
    sandbox.advance(10)
    api.put(f"{KEYS}/{key.uuid}/regenerate")
    old, new = api.get("/_sandbox/state").json()["secrets"]
    assert (old["value"], old["by"], old["alive"], old["died_at"]) == (key.secret, "panel", False, START + 10)
    assert (new["by"], new["alive"], new["minted_at"], new["died_at"]) == ("regenerate", True, START + 10, None)
    assert (old["index"], new["index"]) == (0, 1)


@both_formats
def test_the_log_has_every_request_and_no_secret(sandbox: Sandbox, api: httpx.Client) -> None:
    """GET /_sandbox/requests lists both APIs in order, with the kind of credential; DELETE empties it."""
    key = sandbox.panel_create("bot")
    api.put(f"{KEYS}/{key.uuid}/regenerate")
    with client(sandbox, key.secret) as dead:
        dead.get("/v1/models")
    log = api.get("/_sandbox/requests")
    first, second = log.json()["requests"]
    assert (first["n"], first["op"], first["uuid"], first["mutating"]) == (1, "regenerate", key.uuid, True)
    assert (first["status"], first["credential"], first["effect_at"]) == (200, "token", START)
    assert (second["op"], second["mutating"], second["status"], second["credential"]) == ("models", False, 401, "dead")
    assert key.secret not in log.text
    assert sandbox.token not in log.text
    assert api.delete("/_sandbox/requests").json() == {"requests": []}


@both_formats
def test_another_hand_can_do_what_the_api_does(sandbox: Sandbox, api: httpx.Client) -> None:
    """POST /_sandbox/by-hand renames, regenerates and deletes without a trace in the log."""
    key = sandbox.panel_create("bot")
    api.post("/_sandbox/by-hand", json={"do": "rename", "uuid": key.uuid, "name": "new"})
    assert sandbox.state.keys[key.uuid].name == "new"
    fresh = api.post("/_sandbox/by-hand", json={"do": "regenerate", "uuid": key.uuid}).json()["secret"]
    assert [sandbox.accepts(secret) for secret in (key.secret, fresh)] == [False, True]
    api.post("/_sandbox/by-hand", json={"do": "delete", "uuid": key.uuid})
    assert sandbox.state.key(key.uuid) is None
    assert sandbox.requests == ()


def test_tokens_are_made_and_revoked(sandbox: Sandbox, api: httpx.Client) -> None:
    """POST /_sandbox/tokens makes a token with chosen scopes and team; DELETE revokes it."""
    made = api.post("/_sandbox/tokens", json={"scopes": ["genai:read"], "team": "others"}).json()
    with client(sandbox, made["token"]) as other:
        assert other.get(KEYS).status_code == 200
        assert other.get("/v2/account").status_code == 403
        api.request("DELETE", "/_sandbox/tokens", json={"token": made["token"]})
        assert other.get(KEYS).status_code == 401


def test_settings_faults_and_clock_over_http(sandbox: Sandbox, api: httpx.Client) -> None:
    """Settings, faults and time are changed at run time, and tell what they are."""
    assert api.post("/_sandbox/settings", json={"create": "allowed"}).json()["create"] == "allowed"
    assert api.post(KEYS, json={"name": "bot"}).status_code == 200
    assert api.post("/_sandbox/faults", json={"op": "list", "kind": "error-500", "times": 2}).json()["times"] == 2
    assert api.get(KEYS).status_code == 500
    assert api.get("/_sandbox/faults").json()["faults"][0]["times"] == 1
    assert api.delete("/_sandbox/faults").json() == {"faults": []}
    assert api.post("/_sandbox/clock", json={"advance": 60}).json() == {"now": START + 60}
    assert api.get("/_sandbox/health").json() == {"status": "ok"}
    assert sandbox.settings == Settings(create="allowed")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("keys", {}),
        ("keys", {"name": "bot", "models": "all"}),
        ("keys", []),
        ("keys", {"name": "bot", "team": 1}),
        ("tokens", {"scopes": ["everything"]}),
        ("tokens", {"scopes": "genai:read"}),
        ("tokens", {"team": 1}),
        ("by-hand", {"do": "delete", "uuid": "none"}),
        ("by-hand", {"do": "delete"}),
        ("settings", {"create": "maybe"}),
        ("settings", {"propagation": -1}),
        ("settings", {"self": 1}),
        ("settings", {"tier_denied": ["no-such-model"]}),
        ("settings", {"secret_prefix": "dop_v1_"}),
        ("faults", {"op": "list", "kind": "none"}),
        ("faults", {"op": 1, "kind": "slow"}),
        ("clock", {"advance": -1}),
        ("clock", {"advance": "1"}),
    ],
)
def test_a_wrong_admin_request_is_400(api: httpx.Client, path: str, body: object) -> None:
    """Every wrong admin request is 400 with a sentence."""
    answer = api.post(f"/_sandbox/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_by_hand_says_what_it_can_do(sandbox: Sandbox) -> None:
    """An unknown deed, or a rename without a name, is refused."""
    key = sandbox.panel_create("bot")
    for deed in ("explode", "rename"):
        with pytest.raises(ValueError, match="expected do"):
            sandbox.by_hand(deed, key.uuid)


@pytest.mark.parametrize(
    "wrong",
    [
        {"create": "x"},
        {"latency": float("nan")},
        {"hour_limit": 0},
        {"minute_limit": True},
        {"quota": "x"},
        {"denied": 401},
        {"inside_vpc": 1},
        {"balance": "low"},
        {"balance_status": 429},
        {"tier_denied": "llama3.3-70b-instruct"},
        {"retired": [1]},
        {"secret_prefix": ""},
        {"openai_errors": "yes"},
        {"nothing": 1},
    ],
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    """An unknown setting or a value out of range is a ValueError that names it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings().changed(wrong)


def test_the_page_needs_nothing_from_elsewhere(api: httpx.Client) -> None:
    """`/` is one self-contained HTML page that loads nothing, and writes names as text, never as markup."""
    page = api.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"https?://|\bsrc=|\bhref=|@import|url\(", page.text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", page.text)


def test_ready_made_keys_from_a_file(tmp_path: Path) -> None:
    """A JSON or YAML list makes keys at start; `count` numbers their names."""
    items = [{"name": "bot", "models": ["m"], "vpc": True}, {"name": "many", "count": 3}]
    (tmp_path / "keys.json").write_text(json.dumps(items))
    (tmp_path / "keys.yaml").write_text("- {name: bot, models: [m], vpc: true}\n- name: many\n  count: 3\n")
    keys = load_keys(tmp_path / "keys.json")
    assert keys == load_keys(tmp_path / "keys.yaml") == (ReadyKey("bot", ("m",), vpc=True), ReadyKey("many", count=3))
    sandbox = Sandbox(keys=keys)
    assert [key.name for key in sandbox.state.keys.values()] == ["bot", "many-1", "many-2", "many-3"]


@pytest.mark.parametrize(
    "text", ["- name: bot\n  cuont: 2\n", "- {count: 2}\n", "name: bot\n", "{", "- {name: a, vpc: 1}"]
)
def test_a_wrong_file_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    """A file that is no list of keys is a ValueError that names the file."""
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        load_keys(path)


@pytest.mark.parametrize("count", [0, True, "2"])
def test_a_count_is_a_number(count: object) -> None:
    """`count` is a whole number above 0."""
    with pytest.raises(ValueError, match="count"):
        ready_key({"name": "bot", "count": count})
