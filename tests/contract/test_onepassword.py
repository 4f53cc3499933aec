"""What only 1Password has: items and vaults by name, sections, a copy that lags, and no compare-and-set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keyturn.core.errors import Conflict, InputError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.onepassword import OnePasswordTarget
from tests.contract.place_onepassword import OnePasswordPlace, context
from tests.contract.test_documents import free
from tests.support.connect import Connect
from tests.support.connect_state import Json
from tests.support.process import wait_until

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
PARTS: Json = {
    "category": "LOGIN",
    "tags": ["team"],
    "favorite": True,
    "urls": [{"href": "https://example.com", "primary": True}],
    "files": [{"id": "f1", "name": "notes.txt", "size": 3}],
    "sections": [{"id": "s1", "label": "api"}, {"id": "s2", "label": "old"}],
    "fields": [
        {"id": "username", "type": "STRING", "purpose": "USERNAME", "label": "username", "value": "bot"},
        {
            "id": "password",
            "type": "CONCEALED",
            "purpose": "PASSWORD",
            "label": "password",
            "value": "x",
            "entropy": 9.5,
        },
        {"id": "k/1~", "type": "CONCEALED", "label": "KEY", "value": "sk-do-old", "section": {"id": "s1"}},
        {"id": "k2", "type": "CONCEALED", "label": "KEY", "value": "another", "section": {"id": "s2"}},
    ],
}


@pytest.fixture
def place() -> Iterator[OnePasswordPlace]:
    """A vault of its own server."""
    with Connect() as connect:
        made = OnePasswordPlace(connect)
        yield made
        made.close()


def changed(item: Json, identity: str, value: str | None) -> Json:
    """Return the item with one field changed, without what every change changes."""
    fields = [one | {"value": value} if one["id"] == identity else one for one in item["fields"]]
    return {name: part for name, part in (item | {"fields": fields}).items() if name not in {"version", "updatedAt"}}


def test_a_write_changes_one_value_and_nothing_else(place: OnePasswordPlace) -> None:
    """Sections, tags, files, purposes and what else 1Password keeps of an item stay."""
    item = place.connect.item(place.vault, "bot", **PARTS)
    target = place.target()
    assert target.read("bot", "api.KEY").secret == OLD
    version = target.write("bot", "api.KEY", NEW, OLD, free)
    after = place.connect.state.newest(item["id"])
    assert changed(after, "", None) == changed(item, "k/1~", "sk-do-new")
    assert version == str(after["version"]) == "2"


def test_a_section_may_be_named_by_its_id_or_left_out_where_one_field_fits(place: OnePasswordPlace) -> None:
    """A label that two fields have is not guessed at; a field of another section is told apart."""
    place.connect.item(place.vault, "bot", **PARTS)
    target = place.target()
    assert target.read("bot", "s2.KEY").secret == Secret("another")
    assert target.read("bot", "username").secret == Secret("bot")
    with pytest.raises(TargetMisfit, match=r"this item has 2 fields named KEY.*section\.label"):
        target.read("bot", "KEY")
    with pytest.raises(TargetMisfit, match="no section nowhere"):
        target.preflight("bot", "nowhere.KEY")
    with pytest.raises(TargetMisfit, match="no section nowhere"):
        target.write("bot", "nowhere.KEY", NEW, None, free)


def test_a_new_field_is_concealed_and_in_its_section(place: OnePasswordPlace) -> None:
    """In an item that is there, and in one that the write makes."""
    place.connect.item(place.vault, "bot", **PARTS)
    target = place.target()
    target.write("bot", "api.TOKEN", NEW, None, free)
    target.write("fresh/one", "api.TOKEN", NEW, None, free)
    there, fresh = sorted(place.connect.state.everything(place.vault), key=lambda item: str(item["title"]))
    kept = {name: value for name, value in there["fields"][-1].items() if name != "id"}
    assert kept == {"type": "CONCEALED", "label": "TOKEN", "value": "sk-do-new", "section": {"id": "s1"}}
    assert (fresh["title"], fresh["category"]) == ("fresh/one", "API_CREDENTIAL")
    assert fresh["sections"] == [{"id": "api", "label": "api"}]
    assert target.read("fresh/one", "api.TOKEN").secret == NEW


def test_vault_and_item_may_be_named_by_id(place: OnePasswordPlace) -> None:
    """Neither name is then asked for; a title that looks like an id is still a title."""
    item = place.connect.item(place.vault, "a title with blanks", **PARTS)
    place.connect.item(place.vault, "a" * 26, fields=[{"id": "1", "type": "STRING", "label": "KEY", "value": "mine"}])
    target = place.target(vault=place.vault)
    assert target.write(item["id"], "api.KEY", NEW, OLD, free) == "2"
    assert [path for _, path, _ in place.connect.requests if "filter" in path] == []
    assert target.read("a" * 26, "KEY").secret == Secret("mine")


def test_an_item_is_made_only_where_that_is_allowed(place: OnePasswordPlace) -> None:
    """Preflight says so before any mint; the write says so too, and sends nothing."""
    target = place.target(create=False)
    assert target.read("bot", "KEY").secret is None
    with pytest.raises(TargetMisfit, match=r"no such item.*create: true"):
        target.preflight("bot", "KEY")
    with pytest.raises(TargetMisfit, match="no such item"):
        target.write("bot", "KEY", NEW, None, free)
    assert {verb for verb, _, _ in place.connect.requests} == {"GET"}


def test_what_cannot_be_meant_is_told(place: OnePasswordPlace) -> None:
    """Two items or two vaults of a name, none at all, an archived item, a field without a label."""
    target = place.target()
    place.connect.item(place.vault, "twice")
    second = place.connect.item(place.vault, "twice")
    with pytest.raises(TargetMisfit, match=f"2 items have this title.*{second['id']}.*id"):
        target.read("twice", "KEY")
    archived = place.connect.item(place.vault, "gone", state="ARCHIVED")
    for path in ("gone", archived["id"]):
        with pytest.raises(TargetMisfit, match=r"this item is archived.*Restore it"):
            target.preflight(path, "KEY")
    place.connect.item(place.vault, "gone", fields=PARTS["fields"][:1])
    assert target.read("gone", "username").secret == Secret("bot")
    for field in (".", "section."):
        with pytest.raises(InputError, match="no label"):
            target.read("bot", field)
    with pytest.raises(TargetMisfit, match="no vault Elsewhere that this token may use"):
        place.target(vault="Elsewhere").read("bot", "KEY")
    with pytest.raises(TargetMisfit, match=r"no vault a{26} that"):
        place.target(vault="a" * 26).read("bot", "KEY")
    place.connect.state.tokens[place.token][place.connect.vault("Twins")] = "r"
    place.connect.state.tokens[place.token][place.connect.vault("Twins")] = "r"
    with pytest.raises(TargetMisfit, match="2 vaults have the name Twins"):
        place.target(vault="Twins").read("bot", "KEY")


def test_what_the_token_may_not_do_is_found_before_the_mint(place: OnePasswordPlace) -> None:
    """Read only, in an item and where none is yet; a vault out of scope; an account that is frozen."""
    place.seed("bot", {"KEY": OLD.reveal()})
    reader = OnePasswordTarget(context(place.connect, place.connect.token({place.vault: "r"})))
    assert reader.read("bot", "KEY").secret == OLD
    for path in ("bot", "absent"):
        with pytest.raises(TargetForbidden, match=r"this token may not (change|create) this item.*read and write"):
            reader.preflight(path, "KEY")
    reader.close()
    stranger = OnePasswordTarget(context(place.connect, place.connect.token({}), vault=place.vault))
    with pytest.raises(TargetForbidden, match=r"may not list items.*Grant it read on the vault"):
        stranger.read("bot", "KEY")
    stranger.close()
    place.connect.state.frozen = True
    with pytest.raises(TargetForbidden, match="403"):
        place.target().preflight("bot", "KEY")
    assert place.fields("bot") == {"KEY": OLD.reveal()}
    assert place.fields("absent") is None


def test_preflight_sends_no_secret(place: OnePasswordPlace) -> None:
    """What someone else writes meanwhile into our field is not undone, for that cannot be fenced here."""
    place.seed("bot", {"KEY": OLD.reveal()})
    place.target().preflight("bot", "KEY")
    sent = [body for _, _, body in place.connect.requests if body]
    assert sent == [b'[{"op":"replace","path":"/title","value":"bot"}]']


def test_a_change_that_meets_another_one_is_sent_again(place: OnePasswordPlace) -> None:
    """Five times at most; the guard is asked before each, and nothing lands of those that were refused."""
    place.seed("bot", {"KEY": OLD.reveal()})
    target, sent = place.target(), []
    place.connect.state.conflicts = 2
    target.write("bot", "KEY", NEW, OLD, lambda: sent.append(1))
    assert len(sent) == 3
    place.connect.state.conflicts = 5
    with pytest.raises(TargetUnavailable, match=r"refuses this change \(5 times\)") as caught:
        target.write("bot", "KEY", OLD, NEW, lambda: sent.append(1))
    assert not caught.value.ambiguous
    assert len(sent) == 8
    assert place.fields("bot") == {"KEY": NEW.reveal()}


def test_an_item_that_is_deleted_meanwhile_is_not_made_anew_over_a_secret(place: OnePasswordPlace) -> None:
    """Its field is then no longer what was expected."""
    item = place.connect.item(place.vault, "bot", **PARTS)
    target = place.target()
    with pytest.raises(Conflict, match="absent"):
        target.write(
            "bot", "api.KEY", NEW, OLD, lambda: place.connect.state.delete(place.token, place.vault, item["id"])
        )
    assert place.connect.state.everything(place.vault) == []


def test_a_write_waits_until_the_copy_shows_it(place: OnePasswordPlace) -> None:
    """So that anyone who reads next, this run or a consumer, reads the new secret; making an item likewise."""
    place.seed("bot", {"KEY": OLD.reveal()})
    place.connect.state.lag = 0.4
    target = place.target()
    with pytest.raises(Conflict, match="absent"):
        target.write("bot", "KEY", NEW, OLD, free)  # seeded a moment ago: the copy does not have it yet
    wait_until(lambda: target.read("bot", "KEY").secret is not None, "the copy to follow")
    target.write("bot", "KEY", NEW, OLD, free)
    assert target.read("bot", "KEY").secret == NEW
    target.write("fresh", "KEY", NEW, None, free)
    assert target.read("fresh", "KEY").secret == NEW
    target.remove("fresh", "KEY", NEW, free)
    assert target.read("fresh", "KEY").secret is None


def test_a_copy_that_stays_behind_makes_a_write_ambiguous(place: OnePasswordPlace) -> None:
    """It was taken, and cannot be shown: the next run looks again."""
    place.seed("bot", {"KEY": OLD.reveal()})
    target = place.target(patience=0.3)
    with pytest.raises(TargetUnavailable, match="does not show the written secret yet") as caught:
        target.write("bot", "KEY", NEW, OLD, place.connect.state.stall)
    assert caught.value.ambiguous
    place.connect.state.stalled = None
    assert target.write("bot", "KEY", NEW, OLD, lambda: pytest.fail("sent again")) == "2"


def test_a_write_right_after_preflight_is_taken(place: OnePasswordPlace) -> None:
    """Connect refuses to change an item that its copy does not show yet: preflight waits for it."""
    place.seed("bot", {"KEY": OLD.reveal()})
    target = place.target()
    place.connect.state.lag = 0.2
    wait_until(lambda: target.read("bot", "KEY").secret is not None, "the copy to follow")
    sent: list[int] = []
    target.preflight("bot", "KEY")
    target.write("bot", "KEY", NEW, OLD, lambda: sent.append(1))
    assert sent == [1]


def test_somebody_else_s_write_right_after_ours_is_a_conflict(place: OnePasswordPlace) -> None:
    """It is found by reading again, which is all that Connect allows."""
    place.seed("bot", {"KEY": OLD.reveal()})
    target, patch = place.target(), place.connect.state.patch

    def overtaken(token: str, vault: str, identity: str, body: object) -> Json:
        answer = patch(token, vault, identity, body)
        place.seed("bot", {"KEY": "sk-do-foreign"})
        return answer

    place.connect.state.patch = overtaken  # type: ignore[method-assign]
    with pytest.raises(Conflict, match="immediately after it was written"):
        target.write("bot", "KEY", NEW, OLD, free)
