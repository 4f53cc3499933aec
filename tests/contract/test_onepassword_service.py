"""What only a service account of 1Password has: ids, few requests, a whole item per write, failures that are texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from keyturn.core.errors import (
    Conflict,
    CredentialError,
    InputError,
    KeyturnError,
    TargetError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.secret import Secret
from keyturn.targets import onepassword_service
from keyturn.targets.base import NoConsent, TargetContext
from keyturn.targets.onepassword_service import VARIABLE, ServiceAccountTarget
from tests.contract.place_onepassword_service import ServiceAccountPlace
from tests.contract.test_documents import free
from tests.support.connect_state import new_identity
from tests.support.onepassword_core import (
    ABSENT,
    BAD_TOKEN,
    CONFLICT,
    FORBIDDEN,
    LIMITED,
    REVOKED,
    Core,
    CoreError,
    played_by,
)

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
PARTS: dict[str, Any] = {
    "category": "Login",
    "tags": ["team"],
    "notes": "of the team",
    "sections": [{"id": "s1", "title": "api"}, {"id": "s2", "title": "old"}],
    "fields": [
        {"id": "username", "title": "username", "fieldType": "Text", "value": "bot"},
        {"id": "k1", "title": "KEY", "sectionId": "s1", "fieldType": "Concealed", "value": "sk-do-old"},
        {"id": "k2", "title": "KEY", "sectionId": "s2", "fieldType": "Concealed", "value": "another"},
    ],
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less before a refused change is tried again."""
    monkeypatch.setattr(onepassword_service, "FIRST_PAUSE", 0.01)


@pytest.fixture
def place() -> Iterator[ServiceAccountPlace]:
    """A vault of its own."""
    with played_by(Core()) as core:
        yield ServiceAccountPlace(core)


def changed(item: dict[str, Any], identity: str, value: str) -> dict[str, Any]:
    """Return the item as the client gives it back: with one field changed, and without what each change changes."""
    fields = [one | ({"value": value} if one["id"] == identity else {}) for one in item["fields"]]
    kept = {name: part for name, part in item.items() if name not in {"version", "createdAt", "updatedAt"}}
    return kept | {"fields": [{"sectionId": None, "details": None} | one for one in fields], "document": None}


def test_a_write_changes_one_value_and_nothing_else(place: ServiceAccountPlace) -> None:
    """Sections, tags, notes and the other fields stay."""
    item = place.core.item(place.vault, **PARTS)
    target = place.target()
    assert target.read(item["id"], "api.KEY").secret == OLD
    version = target.write(item["id"], "api.KEY", NEW, OLD, free)
    after = place.core.items[item["id"]]
    assert changed(after, "", "") == changed(item, "k1", "sk-do-new")
    assert version == f"{item['id']}.2"


def test_each_use_costs_one_read_and_one_write_at_most_and_lists_nothing(place: ServiceAccountPlace) -> None:
    """A service account has 100 writes per hour in the smallest plan."""
    path = place.path()
    target = place.target()
    for use, costs in (
        (lambda: target.read(path, "KEY"), ["init_client", "ItemsGet"]),
        (lambda: target.preflight(path, "KEY"), ["ItemsGet", "ItemsPut"]),
        (lambda: target.write(path, "KEY", NEW, None, free), ["ItemsGet", "ItemsPut"]),
        (lambda: target.write(path, "KEY", NEW, OLD, free), ["ItemsGet"]),
        (lambda: target.remove(path, "KEY", NEW, free), ["ItemsGet", "ItemsPut"]),
        (lambda: target.remove(path, "KEY", NEW, free), ["ItemsGet"]),
    ):
        place.core.calls.clear()
        use()
        assert place.core.calls == costs


def test_a_field_has_one_name(place: ServiceAccountPlace) -> None:
    """With its section if that has a name: two entries cannot name one place differently. A missing section is told."""
    path = place.core.item(place.vault, **PARTS)["id"]
    target = place.target()
    assert target.read(path, "old.KEY").secret == Secret("another")
    assert target.read(path, "s2.KEY").secret is None
    assert target.read(path, "username").secret == Secret("bot")
    with pytest.raises(TargetMisfit, match=r"the field KEY is in a section.*section\.label"):
        target.read(path, "KEY")
    with pytest.raises(InputError, match=r"section\.label"):
        target.read(path, ".username")
    twice = place.core.item(place.vault, fields=[PARTS["fields"][0], PARTS["fields"][0] | {"id": "again"}])["id"]
    with pytest.raises(TargetMisfit, match="this item has 2 fields named username"):
        target.read(twice, "username")
    with pytest.raises(TargetMisfit, match="no section nowhere"):
        target.preflight(path, "nowhere.KEY")
    target.write(path, "api.TOKEN", NEW, None, free)
    target.write(path, "TOKEN2", NEW, None, free)
    inside, alone = place.core.items[path]["fields"][-2:]
    assert (inside["title"], inside["sectionId"], inside["fieldType"]) == ("TOKEN", "s1", "Concealed")
    assert (alone["title"], alone["sectionId"], alone["fieldType"]) == ("TOKEN2", None, "Concealed")


def test_an_item_that_is_not_there_is_an_error_and_never_absent(place: ServiceAccountPlace) -> None:
    """Nor is one of a vault that the service account may not use."""
    elsewhere = place.core.item(new_identity())["id"]
    target = place.target()
    for path in (new_identity(), elsewhere):
        for use in (lambda path=path: target.read(path, "KEY"), lambda path=path: target.preflight(path, "KEY")):
            with pytest.raises(TargetMisfit, match="no such item for this service account"):
                use()
    assert "ItemsPut" not in place.core.calls


def test_a_service_account_that_may_only_read_is_found_before_a_secret_is_made(place: ServiceAccountPlace) -> None:
    """By the preflight, which says what to grant."""
    path = place.path()
    reader = place.target(place.core.token({place.vault: "r"}))
    assert reader.read(path, "KEY").secret is None
    with pytest.raises(TargetForbidden, match="read_items and write_items"):
        reader.preflight(path, "KEY")


def test_an_item_that_was_changed_meanwhile_is_read_again_where_1password_refuses_it() -> None:
    """If 1Password compares versions, nothing of another change is lost."""
    with played_by(Core(strict=True)) as core:
        place = ServiceAccountPlace(core)
        path = place.path()
        meddled: list[str] = []

        def meddle() -> None:
            if not meddled:
                meddled.append(path)
                place.seed(path, {"other": "new"})

        place.target().write(path, "KEY", NEW, None, meddle)
        assert place.fields(path) == {"other": "new", "KEY": "sk-do-new"}


def test_changes_that_keep_being_faster_end_the_tries(place: ServiceAccountPlace) -> None:
    """After five, and nothing is ambiguous: each was refused."""
    path = place.path()
    target = place.target()
    for use in (lambda: target.write(path, "KEY", NEW, None, free), lambda: target.preflight(path, "KEY")):
        place.core.failures = [(True, CoreError(CONFLICT)) for _ in range(5)]
        with pytest.raises(TargetUnavailable, match="were faster") as caught:
            use()
        assert not caught.value.ambiguous
        assert place.core.failures == []


@pytest.mark.parametrize(
    ("failure", "kind", "ambiguous", "said"),
    [
        (CoreError(f"server error: sk-do-new {OLD.reveal()}"), TargetUnavailable, True, "the 1Password client failed"),
        *(
            (CoreError(f"connection reset while updating '{quoted}'"), TargetUnavailable, True, "the 1Password client")
            for quoted in (CONFLICT, FORBIDDEN, LIMITED, ABSENT, REVOKED, BAD_TOKEN, "invalid user input")
        ),
        (CoreError("request timeout"), TargetUnavailable, True, "the 1Password client failed"),
        (ValueError("sk-do-new"), TargetUnavailable, True, "the 1Password client failed"),
        (CoreError(LIMITED, "RateLimitExceeded"), TargetUnavailable, False, "the limit of requests"),
        (CoreError(f"invalid user input: {NEW.reveal()}"), TargetMisfit, False, "refuses its content"),
        (CoreError(FORBIDDEN), TargetForbidden, False, "may not change this item"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_a_failed_write_says_what_is_known_and_no_secret(
    place: ServiceAccountPlace,
    caplog: pytest.LogCaptureFixture,
    *,
    failure: Exception,
    kind: type[TargetError],
    ambiguous: bool,
    said: str,
    early: bool,
) -> None:
    """Whether it took effect or not, the same write again ends with the secret in its place."""
    caplog.set_level(logging.DEBUG)
    path = place.path()
    target = place.target()
    place.core.failures = [(early, failure)]
    with pytest.raises(kind, match=said) as caught:
        target.write(path, "KEY", NEW, None, free)
    assert getattr(caught.value, "ambiguous", False) is ambiguous
    assert caught.value.__context__ is None
    shown = f"{caught.value} {caught.value!r} {caplog.text}"
    assert "sk-do-" not in shown
    assert target.write(path, "KEY", NEW, None, free)
    assert place.fields(path) == {"KEY": "sk-do-new"}


def test_an_item_that_this_version_cannot_read_is_not_quoted(place: ServiceAccountPlace) -> None:
    """The vendor's types refuse it, and their error holds the item."""
    path = place.path()
    place.seed(path, {"KEY": OLD.reveal(), "other": ("Hologram", "x")})
    with pytest.raises(TargetUnavailable, match="update the Python library onepassword-sdk") as caught:
        place.target().read(path, "KEY")
    assert "sk-do-" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"


def test_a_call_ends_at_the_deadline(place: ServiceAccountPlace) -> None:
    """A write may have taken effect by then."""
    path = place.path()
    target = place.target(request=0.2)
    target.read(path, "KEY")
    place.core.seconds = 5
    with pytest.raises(TargetUnavailable, match=r"no answer within 0\.2 s") as caught:
        target.read(path, "KEY")
    assert not caught.value.ambiguous
    place.core.seconds = 0

    def slow() -> None:
        place.core.seconds = 5

    with pytest.raises(TargetUnavailable, match=r"no answer within 0\.2 s") as caught:
        target.write(path, "KEY", NEW, None, slow)
    assert caught.value.ambiguous


def test_what_1password_gives_back_is_compared(place: ServiceAccountPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that did not keep our value is a conflict, not a delivery."""
    path = place.path()
    store = place.core.store
    monkeypatch.setattr(place.core, "store", lambda item: store(item | {"fields": []}))
    with pytest.raises(Conflict, match="not as it was written"):
        place.target().write(path, "KEY", NEW, None, free)


def test_a_token_that_is_no_good_is_told(place: ServiceAccountPlace) -> None:
    """Missing, not one, or revoked while it is used: exit code 5, and which variable to set."""
    path = place.path()
    for token in ("", "  ", "ops_nonsense"):
        with pytest.raises(CredentialError, match=VARIABLE) as refused:
            place.target(token).read(path, "KEY")
        assert "nonsense" not in str(refused.value)
    target = place.target()
    target.read(path, "KEY")
    place.core.revoke(place.token)
    with pytest.raises(CredentialError, match=f"set a new one in {VARIABLE}"):
        target.read(path, "KEY")


def test_the_native_core_refuses_what_is_no_token() -> None:
    """The real one, which needs no network for that; its text is known."""
    settings = {"vault": new_identity()}
    target = ServiceAccountTarget(TargetContext("op", settings, {VARIABLE: "ops_nonsense"}, request=20))
    with pytest.raises(CredentialError, match="refuses this service account token") as caught:
        target.read(new_identity(), "KEY")
    assert "nonsense" not in str(caught.value)


def test_a_second_service_account_needs_the_operators_consent(place: ServiceAccountPlace) -> None:
    """As every prefix of variables."""
    path = place.path()
    settings = {"vault": place.vault, "auth": {"env_prefix": "EU_"}}
    environment = {f"EU_{VARIABLE}": place.token}
    with pytest.raises(NoConsent, match="KEYTURN_ALLOWED_PREFIXES"):
        ServiceAccountTarget(TargetContext("op", settings, environment))
    environment["KEYTURN_ALLOWED_PREFIXES"] = "EU_"
    assert ServiceAccountTarget(TargetContext("op", settings, environment)).read(path, "KEY").secret is None


@pytest.mark.parametrize("vault", ["Platform", "", "A" * 26, "a" * 25])
def test_a_vault_is_named_by_its_id(vault: str) -> None:
    """A name would have to be looked for."""
    with pytest.raises(InputError, match="vault"):
        ServiceAccountTarget(TargetContext("op", {"vault": vault}, {}))


def test_a_title_is_no_path(place: ServiceAccountPlace) -> None:
    """And the message says where the id is; nothing is sent."""
    for path in ("inference", "apps/report/inference", "a" * 27):
        with pytest.raises(InputError, match="not the id of an item"):
            place.target().read(path, "KEY")
    with pytest.raises(KeyturnError, match="a field with a label"):
        place.target().read(new_identity(), "section.")
    assert place.core.calls == []
