"""The Connect server of the tests, asked by the vendor's own client: it answers as the published API says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from onepasswordconnectsdk.client import Client
from onepasswordconnectsdk.config import ClientConfig
from onepasswordconnectsdk.errors import FailedToRetrieveItemException
from onepasswordconnectsdk.models import Field, Item, ItemVault, Section

from tests.support.connect import Connect


@dataclass
class Official:
    """The vendor's client with a token for one vault."""

    connect: Connect
    vault: str
    client: Client

    def other(self, token: str) -> Client:
        """Return a client that holds another token."""
        return Client(self.connect.address, token, ClientConfig(trust_env=False, verify=False))


@pytest.fixture
def official() -> Iterator[Official]:
    """A server with one vault, and a client that may read and write it."""
    with Connect() as connect:
        vault = connect.vault("Platform")
        made = Official(connect, vault, None)
        made.client = made.other(connect.token({vault: "rw"}))
        yield made
        made.client.session.close()


def draft(official: Official, **parts: object) -> Item:
    """Return an item to be made."""
    return Item(title="bot", category="LOGIN", vault=ItemVault(id=official.vault), **parts)


def test_vaults_are_found_by_name_and_id(official: Official) -> None:
    """As far as the token's scope goes."""
    official.connect.vault("Another")
    assert [vault.name for vault in official.client.get_vaults()] == ["Platform"]
    assert official.client.get_vault_by_title("Platform").id == official.vault
    with pytest.raises(FailedToRetrieveItemException, match="Found 0 vaults"):
        official.client.get_vault_by_title("Another")


def test_an_item_lives_through_the_vendor_s_own_calls(official: Official) -> None:
    """Made, found by title, replaced and deleted: each change is a new version."""
    fields = [Field(id="password", type="CONCEALED", purpose="PASSWORD", label="password", value="1")]
    sections = [Section(id="s1", label="api")]
    made = official.client.create_item(official.vault, draft(official, fields=fields, sections=sections))
    assert (made.version, len(made.id)) == (1, 26)
    found = official.client.get_item("bot", "Platform")
    assert [(field.label, field.value) for field in found.fields] == [("notesPlain", None), ("password", "1")]
    found.fields[1].value = "2"
    assert official.client.update_item(found.id, official.vault, found).version == 2
    summaries = official.client.get_items(official.vault, 'title eq "bot"')
    assert [(one.id, one.version) for one in summaries] == [(made.id, 2)]
    official.client.delete_item(made.id, official.vault)
    with pytest.raises(FailedToRetrieveItemException, match="404"):
        official.client.get_item_by_id(made.id, official.vault)


def test_a_replacement_made_from_an_old_version_is_taken(official: Official) -> None:
    """The API compares nothing: anyone who writes last wins."""
    made = official.client.create_item(official.vault, draft(official, tags=["a"]))
    stale = official.client.get_item_by_id(made.id, official.vault)
    made.tags = ["b"]
    official.client.update_item(made.id, official.vault, made)
    stale.tags = ["c"]
    assert official.client.update_item(stale.id, official.vault, stale).version == 3


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ([{"op": "add", "path": "/fields", "value": {"label": "new", "type": "STRING", "value": "x"}}], 200),
        (
            [{"op": "replace", "path": "/title", "value": "renamed"}, {"op": "add", "path": "/tags", "value": ["t"]}],
            200,
        ),
        ([{"op": "remove", "path": "/fields/password"}], 200),
        ([{"op": "add", "path": "/fields/password/value", "value": "2"}], 200),
        ([{"op": "replace", "path": "/fields/password/section", "value": {}}], 400),
        ([{"op": "test", "path": "/version", "value": 1}], 400),
        ([{"op": "replace", "path": "/fields/nowhere/value", "value": "2"}], 400),
        ([{"op": "add", "path": "/fields", "value": {"label": "x", "section": {"id": "nowhere"}}}], 400),
        ({"op": "add"}, 400),
    ],
    ids=range(9),
)
def test_a_patch_changes_what_it_names(official: Official, change: object, status: int) -> None:
    """`add`, `remove` and `replace`, by the id of a field; there is no `test`, so nothing can be compared."""
    made = official.connect.item(
        official.vault, "bot", fields=[{"id": "password", "type": "CONCEALED", "label": "password", "value": "1"}]
    )
    answer = official.client.build_request("PATCH", f"/v1/vaults/{official.vault}/items/{made['id']}", change)
    assert answer.status_code == status
    assert official.connect.state.newest(made["id"])["version"] == (2 if status == 200 else 1)


def test_refusals_have_the_published_form(official: Official) -> None:
    """Status and message, for a token that is wrong, of another vault, or may only read."""
    elsewhere = official.connect.vault("Another")
    tokens = ["wrong", official.connect.token({elsewhere: "rw"}), official.connect.token({official.vault: "r"})]
    body = {"title": "x", "category": "LOGIN", "vault": {"id": official.vault}}
    answers = []
    for token in tokens:
        client = official.other(token)
        answers.append(client.build_request("POST", f"/v1/vaults/{official.vault}/items", body).json())
        client.session.close()
    assert [answer["status"] for answer in answers] == [401, 403, 403]
    assert answers[1]["message"] == f"vault {official.vault} is not in scope"


def test_health_needs_no_token(official: Official) -> None:
    """A dot is the heartbeat."""
    with httpx.Client(base_url=official.connect.address, trust_env=False) as client:
        assert client.get("/heartbeat").text == "."
        assert client.get("/health").json()["name"] == "1Password Connect API"
