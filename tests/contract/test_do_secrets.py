"""What only DigitalOcean Secrets Manager has: scopes, regions, requested deletions, answers that are undocumented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from keyturn.core.errors import (
    Conflict,
    CredentialError,
    InputError,
    TargetError,
    TargetForbidden,
    TargetMisfit,
    TargetUnavailable,
)
from keyturn.core.secret import Secret
from keyturn.sandbox import Sandbox
from keyturn.targets.base import TargetContext
from keyturn.targets.do_secrets import DoSecretsTarget, _document_name
from tests.contract.place_do_secrets import REGION, DoSecretsPlace, documented_scopes
from tests.contract.test_deliveries import never
from tests.contract.test_documents import free
from tests.support.raw_http import RawServer, Script, reply

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def place() -> Iterator[DoSecretsPlace]:
    """An account of its own."""
    with Sandbox(seed=1) as sandbox:
        made = DoSecretsPlace(sandbox)
        yield made
        made.close()


def found(version: int = 1, **changes: object) -> bytes:
    """Return a secret."""
    whole = {"secret": "app", "region": REGION, "version": version, "values": {"KEY": OLD.reveal()}}
    return reply(200, json.dumps(whole | changes), JSON)


def written(version: int) -> bytes:
    """Return what an update is answered with."""
    return reply(200, json.dumps({"name": "app", "region": REGION, "version": version}), JSON)


def listed(*names: str, **changes: object) -> bytes:
    """Return a list of all regions."""
    secrets = [{"secret": name, "region": REGION, "version": 1} for name in names]
    whole = {"secrets": secrets, "meta": {"page": 1, "pages": 1, "total": len(names)}}
    return reply(200, json.dumps(whole | changes), JSON)


def refused(status: int) -> bytes:
    """Return an answer that quotes the secret."""
    return reply(status, json.dumps({"id": "no", "message": f"{NEW.reveal()} {OLD.reveal()}"}), JSON)


def at(raw: RawServer) -> DoSecretsTarget:
    """Return a target that asks this server."""
    environment = {"KEYTURN_API_URL": raw.url, "DIGITALOCEAN_TOKEN": "dop_v1_of-the-tests"}
    return DoSecretsTarget(TargetContext("do", {"region": REGION, "preview": True}, environment, request=3))


def verbs(raw: RawServer) -> list[str]:
    """Return the methods of all requests."""
    return [request.partition(b" ")[0].decode() for request in raw.requests]


# scopes


@pytest.mark.parametrize(
    ("missing", "said"),
    [("read", "security:read"), ("update", "security:read and security:update"), ("create", "security:create")],
)
def test_a_missing_scope_is_named_before_a_secret_is_made(place: DoSecretsPlace, missing: str, said: str) -> None:
    """By the preflight of a secret that is there, or of one that has to be created."""
    there, absent = place.path(), place.path()
    place.seed(there, {"KEY": OLD.reveal()})
    token = place.sandbox.add_token(scopes=documented_scopes() - {f"security:{missing}"}).value
    target = place.target(DIGITALOCEAN_TOKEN=token)
    with pytest.raises(TargetForbidden, match=said):
        target.preflight(absent if missing == "create" else there, "KEY")
    assert place.fields(absent) is None


def test_the_documented_scopes_do_not_include_deleting() -> None:
    """Only fields are removed, never a secret."""
    assert documented_scopes() == {"security:read", "security:create", "security:update"}


def test_a_consumer_needs_to_read_only(place: DoSecretsPlace) -> None:
    """The scope that docs/targets.md gives it."""
    path = place.path()
    place.seed(path, {"KEY": OLD.reveal()})
    reader = place.target(DIGITALOCEAN_TOKEN=place.sandbox.add_token(scopes=["security:read"]).value)
    assert reader.read(path, "KEY").secret == OLD


@pytest.mark.parametrize(
    "mask", ["***", "********", "\u2022\u2022\u2022\u2022", "sk-do-****1234", "EV[1:bm9uY2U=:Y2lwaGVy]"]
)
@pytest.mark.parametrize("name", ["KEY", "OTHER"])
def test_a_mask_is_never_taken_for_a_value(place: DoSecretsPlace, mask: str, name: str) -> None:
    """Not of our field, and not of another one: each write sends them all, and would store the mask."""
    path = place.path()
    place.seed(path, {"KEY": OLD.reveal(), "OTHER": "theirs", name: mask})
    target = place.target()
    for call in (
        lambda: target.read(path, "KEY"),
        lambda: target.preflight(path, "KEY"),
        lambda: target.write(path, "KEY", NEW, OLD, never),
        lambda: target.remove(path, "KEY", OLD, never),
    ):
        with pytest.raises(TargetMisfit, match=f"does not show the value of {name}: it looks masked") as caught:
            call()
        assert mask not in str(caught.value)
    assert place.fields(path) == {"KEY": OLD.reveal(), "OTHER": "theirs", name: mask}


def test_a_value_with_asterisks_is_no_mask(place: DoSecretsPlace) -> None:
    """Such as a schedule, or one or two of them in a word."""
    path, values = place.path(), {"KEY": OLD.reveal(), "CRON": "* * * * *", "TEXT": "a**b", "EV": "EV[x]"}
    place.seed(path, values)
    place.target().write(path, "KEY", NEW, OLD, free)
    assert place.fields(path) == {**values, "KEY": NEW.reveal()}


# what the environment and the settings have to say


@pytest.mark.parametrize(
    "settings", [{"region": REGION}, {"region": REGION, "preview": False}, {"region": "../x", "preview": True}, {}]
)
def test_a_manifest_says_that_it_is_a_preview_and_which_region(settings: dict[str, object]) -> None:
    """Neither has a default."""
    with pytest.raises(InputError, match=r"preview|region"):
        DoSecretsTarget(TargetContext("do", settings, {"DIGITALOCEAN_TOKEN": "x"}))


@pytest.mark.parametrize("address", ["http://api.example.com", "ftp://127.0.0.1", "https://me@api.example.com"])
def test_the_token_goes_only_where_the_environment_says(address: str) -> None:
    """With the rules of the account's own API: https, or this machine."""
    environment = {"KEYTURN_API_URL": address, "DIGITALOCEAN_TOKEN": "x"}
    with pytest.raises(InputError, match="KEYTURN_API_URL"):
        DoSecretsTarget(TargetContext("do", {"region": REGION, "preview": True}, environment))


def test_a_token_that_is_no_good_is_told(place: DoSecretsPlace) -> None:
    """Missing, not one, or revoked: exit code 5."""
    for token in ("", "two words", "dop_v1_unknown"):
        with pytest.raises(CredentialError, match="DIGITALOCEAN_TOKEN") as caught:
            place.target(DIGITALOCEAN_TOKEN=token).read("app", "KEY")
        assert not token or token not in str(caught.value)
    assert place.target(DIGITALOCEAN_TOKEN="", DIGITALOCEAN_ACCESS_TOKEN=place.token).read("app", "KEY").secret is None


def test_a_redirect_is_not_followed() -> None:
    """The token goes nowhere else."""
    with RawServer(reply(307, "", {"Location": "http://127.0.0.1:1/"})) as raw:
        with pytest.raises(TargetMisfit, match="redirects"):
            at(raw).read("app", "KEY")
        assert len(raw.requests) == 1


# regions and deletions


def test_a_region_that_cannot_be_asked_is_never_an_absent_secret(place: DoSecretsPlace) -> None:
    """Neither for a delivery, nor for a document, nor in a list that leaves it out."""
    target = place.target()
    target.write_document("keyturn/a", "{}", "0", free)
    place.sandbox.change(unavailable_regions=[REGION])
    for use in (
        lambda: target.read("app", "KEY"),
        lambda: target.read_document("keyturn/a"),
        lambda: target.list_documents("keyturn"),
        lambda: target.check_documents("keyturn"),
    ):
        with pytest.raises(TargetUnavailable):
            use()
    place.sandbox.change(unavailable_regions=["sfo3"])
    assert target.list_documents("keyturn") == ("a",)
    assert target.read_document("keyturn/never").text is None


def test_an_incomplete_list_is_an_error() -> None:
    """Fewer names than it says, pages without an end, or a region left out."""
    cases = [
        (listed("a", meta={"page": 1, "pages": 1, "total": 2}), "1 of 2 secrets"),
        (listed("a", unavailable_regions=[REGION]), "could not ask this region"),
        (reply(200, '{"secrets": []}', JSON), "not an answer"),
        (reply(200, "[]", JSON), "not an answer"),
        (reply(200, "<html>", {}), "not an answer"),
    ]
    for answer, said in cases:
        with RawServer(answer) as raw, pytest.raises(TargetUnavailable, match=said):
            at(raw).list_documents("keyturn")


def test_a_document_that_is_only_in_the_list_was_deleted() -> None:
    """If the API hides deleted secrets; one that was created a moment ago is read again."""
    name = _document_name("keyturn/a")
    with RawServer(refused(404), listed(name), refused(404)) as raw, pytest.raises(TargetMisfit, match="deleted"):
        at(raw).read_document("keyturn/a")
    document = found(values={"document": "{}", "path": "keyturn/a"})
    with RawServer(refused(404), listed(name), document) as raw:
        assert at(raw).read_document("keyturn/a").text == "{}"
    with RawServer(refused(404), listed("other")) as raw:
        assert at(raw).read_document("keyturn/a").text is None


def test_a_secret_whose_deletion_is_requested_is_not_delivered_to(place: DoSecretsPlace) -> None:
    """Nor is a new one made in its place: it could be restored over it."""
    path = place.path()
    place.seed(path, {"KEY": OLD.reveal()})
    place.call("DELETE", f"/{path}?region={REGION}")
    for use in (place.target().read, place.target().preflight):
        with pytest.raises(TargetMisfit, match="deletion of this secret is requested"):
            use(path, "KEY")


def test_names_of_documents_have_letters_digits_and_hyphens(place: DoSecretsPlace) -> None:
    """Which others the API takes is not documented; every name of a document comes back from a list."""
    target = place.target()
    names = ("a", "checkout-bot", "UP", "a.b", "=", "-", "--2e", "@+_")
    for name in names:
        target.write_document(f"keyturn/x/{name}", "{}", "0", free)
    assert target.list_documents("keyturn/x") == tuple(sorted(names))
    stored = [name for _, _, name in place.sandbox.state.stored]
    assert len(stored) == len(names)
    assert all(re.fullmatch(r"keyturn-[0-9a-f]{16}-[a-z0-9-]+", name) for name in stored)


def test_a_secret_that_is_not_a_document_is_not_taken_for_one(place: DoSecretsPlace) -> None:
    """Whatever its name; and a document takes no delivery."""
    place.seed(_document_name("keyturn/a"), {"document": "{}"})
    with pytest.raises(TargetMisfit, match="not a keyturn document"):
        place.target().read_document("keyturn/a")
    record = json.dumps({"schema": 1, "owner": "o", "key": "k", "digest_key": "d"})
    place.target().write_document("keyturn/b", record, "0", free)
    with pytest.raises(TargetMisfit, match="holds a record"):
        place.target().read(_document_name("keyturn/b"), "KEY")


# writes


def test_a_secret_without_values_is_no_empty_one() -> None:
    """Taken for one, the next write would replace all its values by our field."""
    hidden = reply(200, json.dumps({"secret": "app", "region": REGION, "version": 3}), JSON)
    for answer in (hidden, found(values=None)):
        with RawServer(answer) as raw:
            for use in (at(raw).read, at(raw).preflight):
                with pytest.raises(TargetUnavailable, match="not an answer about secrets"):
                    use("app", "KEY")
            assert set(verbs(raw)) == {"GET"}
    with RawServer(found(values={}), written(2)) as raw:
        assert at(raw).write("app", "KEY", NEW, None, free) == "2"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refused_update_is_judged_by_reading_again(status: int) -> None:
    """Another version by then: it is merged, and written again. The same version: the content is refused."""
    merged = (found(1), refused(status), found(2, values={"KEY": OLD.reveal(), "other": "new"}))
    with RawServer(*merged, merged[-1], written(3)) as raw:
        assert at(raw).write("app", "KEY", NEW, OLD, free) == "3"
        assert verbs(raw) == ["GET", "PUT", "GET", "GET", "PUT"]
        sent = json.loads(raw.requests[-1].partition(b"\r\n\r\n")[2])
        assert sent == {"region": REGION, "version": 2, "values": {"KEY": NEW.reveal(), "other": "new"}}
    with RawServer(found(1), refused(status), found(1)) as raw:
        with pytest.raises(TargetMisfit, match="refuses its name or its content") as caught:
            at(raw).write("app", "KEY", NEW, OLD, free)
        assert "sk-do-" not in f"{caught.value!r}"


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refused_create_is_judged_by_reading_again(status: int) -> None:
    """Another user made it: their value stays. It is not there: the name is refused, or that of a deleted one."""
    with RawServer(refused(404), refused(status), found(1)) as raw:
        with pytest.raises(Conflict):
            at(raw).write("app", "KEY", NEW, None, free)
        assert verbs(raw) == ["GET", "POST", "GET", "GET"]
    answers = refused(404), refused(status), refused(404)
    with RawServer(*answers) as raw, pytest.raises(TargetMisfit, match="restore the secret"):
        at(raw).write("app", "KEY", NEW, None, free)


def hang_up(_: object) -> None:
    """Close the connection without an answer."""


@pytest.mark.parametrize(
    ("answer", "ambiguous"),
    [
        (hang_up, True),
        (refused(500), True),
        (refused(503), True),
        (refused(429), False),
        (reply(200, "<html>", {}), True),
        (reply(200, "{}", JSON), True),
        (written(0), True),
    ],
)
def test_a_write_without_a_readable_answer_is_ambiguous(answer: bytes | Script, *, ambiguous: bool) -> None:
    """One that was certainly refused is not."""
    with RawServer(found(1), answer) as raw, pytest.raises(TargetError) as caught:
        at(raw).write("app", "KEY", NEW, OLD, free)
    assert isinstance(caught.value, TargetUnavailable)
    assert caught.value.ambiguous is ambiguous
    assert "sk-do-" not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"


@pytest.mark.parametrize(("op", "seeded"), [("secret-update", True), ("secret-create", False)])
@pytest.mark.parametrize("kind", ["lost-response", "dropped-request", "error-500", "truncated-json"])
def test_a_write_whose_answer_is_lost_may_be_repeated(
    place: DoSecretsPlace, op: str, kind: str, *, seeded: bool
) -> None:
    """Whether it happened or not, the same write again ends with the secret in its place, and the others kept."""
    path = place.path()
    if seeded:
        place.seed(path, {"KEY": OLD.reveal(), "other": "kept"})
    place.sandbox.arm(op, kind)
    target = place.target()
    expected = OLD if seeded else None
    with pytest.raises(TargetUnavailable) as caught:
        target.write(path, "KEY", NEW, expected, free)
    assert caught.value.ambiguous
    target.write(path, "KEY", NEW, expected, free)
    assert place.fields(path) == {"KEY": NEW.reveal(), **({"other": "kept"} if seeded else {})}


def test_the_preflight_of_an_absent_secret_asks_for_one_that_is_refused(place: DoSecretsPlace) -> None:
    """A secret without values: the description requires them. An API that takes it has changed."""
    place.target().preflight("app", "KEY")
    posts = [(seen.op, seen.status) for seen in place.sandbox.requests if seen.verb == "POST"]
    assert posts == [("secret-create", 400)]
    with RawServer(refused(404), written(1)) as raw, pytest.raises(TargetMisfit, match="this API has changed"):
        at(raw).preflight("app", "KEY")
    with RawServer(refused(404), refused(404)) as raw, pytest.raises(TargetMisfit, match="has no Secrets Manager"):
        at(raw).preflight("app", "KEY")


def test_a_field_that_an_update_keeps_although_it_was_omitted_is_told() -> None:
    """Whether an update replaces all values or merges them is not documented."""
    with RawServer(found(1), written(2), found(2)) as raw, pytest.raises(TargetMisfit, match="still there"):
        at(raw).remove("app", "KEY", OLD, free)


def test_a_path_is_one_name(place: DoSecretsPlace) -> None:
    """Without slashes; a delivery needs a field."""
    for path in ("apps/report", "_x", "-x"):
        with pytest.raises(InputError, match="not the name of a secret"):
            place.target().read(path, "KEY")
    assert place.sandbox.requests == ()
