"""A Connect server that is gone, slow, cut off, redirecting or not itself, and tokens that are no good."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from keyturn.core.errors import CredentialError, InputError, TargetError, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.onepassword import OnePasswordTarget
from tests.contract.place_onepassword import VAULT, OnePasswordPlace
from tests.contract.relay import Fault, Judge, relay
from tests.contract.test_documents import free
from tests.support.connect import Connect
from tests.support.process import free_port
from tests.support.raw_http import RawServer, reply

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
JSON = {"Content-Type": "application/json", "Connection": "close"}
TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.mine"


@pytest.fixture
def place() -> Iterator[OnePasswordPlace]:
    """A vault of its own server."""
    with Connect() as connect:
        made = OnePasswordPlace(connect)
        yield made
        made.close()


def variables(address: str, token: str = TOKEN) -> dict[str, str]:
    """Return the environment of an operator who trusts this address."""
    return {"OP_CONNECT_HOST": address, "OP_CONNECT_TOKEN": token}


def at(address: str, environment: Mapping[str, str] | None = None, **settings: object) -> TargetContext:
    """Return what a target of this address is made from."""
    return TargetContext(
        name="op",
        settings={"host": address, "vault": VAULT, "create": True, **settings},
        environment=variables(address) if environment is None else environment,
        request=2,
    )


def once(fault: Fault | bytes) -> Judge:
    """Judge the first write so, and pass everything else on."""
    left = [fault]
    return lambda request: left.pop() if request.startswith((b"PATCH", b"POST")) and left else None


FAULTS: list[Fault | bytes] = [
    Fault.LOST_ANSWER,
    Fault.DROPPED,
    reply(500, '{"status": 500, "message": "sk-do-new"}', JSON),
    reply(502, "<html>sk-do-new</html>", {"Connection": "close"}),
    reply(200, "<html>sk-do-new</html>", {"Connection": "close"}),
    reply(200, '{"sk-do-new": 1}', JSON),
    reply(200, "[]", JSON),
    reply(204, "", {"Connection": "close"}),
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("seeded", [True, False], ids=["changed", "made"])
@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
def test_a_write_without_a_readable_answer_is_ambiguous_and_may_be_repeated(
    place: OnePasswordPlace, fault: Fault | bytes, seeded: bool
) -> None:
    """Whether it happened or not, the same write again ends with the secret in its place; nothing shows it."""
    path = place.path()
    if seeded:
        place.seed(path, {"KEY": OLD.reveal(), "other": "kept"})
    with relay(place.connect.address, once(fault)) as server:
        target = OnePasswordTarget(replace(at(server.url, variables(server.url, place.token)), request=0.6))
        with pytest.raises(TargetUnavailable) as caught:
            target.write(path, "KEY", NEW, OLD if seeded else None, free)
        target.write(path, "KEY", NEW, OLD if seeded else None, free)
        target.close()
    assert caught.value.ambiguous
    assert NEW.reveal() not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert place.fields(path) == {"KEY": NEW.reveal()} | ({"other": "kept"} if seeded else {})


def test_an_item_is_not_made_twice_where_the_answer_was_lost(place: OnePasswordPlace) -> None:
    """The copy does not show it yet: the same write again waits for it, and then finds its work done."""
    place.connect.state.lag = 0.5
    with relay(place.connect.address, once(Fault.LOST_ANSWER)) as server:
        target = OnePasswordTarget(at(server.url, variables(server.url, place.token)))
        with pytest.raises(TargetUnavailable):
            target.write("bot", "KEY", NEW, None, free)
        target.write("bot", "KEY", NEW, None, lambda: pytest.fail("sent again"))
        target.close()
    assert place.fields("bot") == {"KEY": NEW.reveal()}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(429, '{"status": 429, "message": "Too many"}', JSON), "asks to try again later"),
        (reply(503, "", {"Connection": "close"}), r"is failing.*status 503"),
        (reply(200, "<html>hello</html>", {"Connection": "close"}), r"not an answer of 1Password Connect.*not JSON"),
        (reply(200, '{"an": "object"}', JSON), "not an answer of 1Password Connect"),
        (reply(302, "", {"Location": "https://example.com/", "Connection": "close"}), "redirects"),
        (reply(413, "", {"Connection": "close"}), "too large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n[", "the connection was lost"),
    ],
    ids=["429", "503", "html", "object", "302", "413", "cut off"],
)
def test_a_read_says_what_is_wrong(answer: bytes, words: str) -> None:
    """In keyturn's words; it is never ambiguous, and a token goes to no other origin."""
    with RawServer(answer) as server:
        target = OnePasswordTarget(at(server.url))
        with pytest.raises(TargetError, match=words) as caught:
            target.read("bot", "KEY")
        target.close()
        assert len(server.requests) == 1
    assert not caught.value.ambiguous


def test_a_refused_creation_is_for_a_person(place: OnePasswordPlace) -> None:
    """Connect does not take what the item would hold; nothing was made."""
    with relay(place.connect.address, once(reply(400, '{"status": 400, "message": "sk-do-new"}', JSON))) as server:
        target = OnePasswordTarget(at(server.url, variables(server.url, place.token)))
        with pytest.raises(TargetMisfit, match=r"could not create this item: .*Create it in 1Password") as caught:
            target.write("bot", "KEY", NEW, None, free)
        target.close()
    assert not caught.value.ambiguous
    assert NEW.reveal() not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    """No connection could be made: nothing was sent, so a write did not happen."""
    target = OnePasswordTarget(at(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(TargetUnavailable, match="could not connect") as caught:
        target.write("bot", "KEY", NEW, None, free)
    assert not caught.value.ambiguous


def test_a_server_that_stands_still_is_waited_for_as_long_as_a_request_may_take() -> None:
    """Then it is unavailable."""

    def stand_still(_: socket.socket) -> None:
        server.stopped.wait(5)

    with RawServer(stand_still) as server:
        target = OnePasswordTarget(replace(at(server.url), request=0.6))
        with pytest.raises(TargetUnavailable, match=r"no answer within 0\.6 s"):
            target.read("bot", "KEY")
        target.close()


@pytest.mark.parametrize("token", ["", "  ", "two words", "ключ"])
def test_a_missing_or_odd_token_is_not_sent(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is another one looked for in this process's surroundings."""
    monkeypatch.setenv("OP_CONNECT_TOKEN", "eyJambient")
    with RawServer(reply(200, "[]", JSON)) as server:
        target = OnePasswordTarget(at(server.url, variables(server.url, token)))
        with pytest.raises(CredentialError, match="OP_CONNECT_TOKEN"):
            target.read("bot", "KEY")
        assert server.requests == []


def test_a_refused_token_names_its_variable(place: OnePasswordPlace) -> None:
    """With the prefix of the second server; exit code 5."""
    environment = {"EU_OP_CONNECT_HOST": place.connect.address, "EU_OP_CONNECT_TOKEN": TOKEN}
    environment |= {"KEYTURN_ALLOWED_PREFIXES": "EU_"}
    target = OnePasswordTarget(at(place.connect.address, environment, auth={"env_prefix": "EU_"}))
    with pytest.raises(CredentialError, match="set a new one in EU_OP_CONNECT_TOKEN") as caught:
        target.read("bot", "KEY")
    target.close()
    assert TOKEN not in str(caught.value)


def test_a_token_goes_only_to_its_own_origin() -> None:
    """Another host has to be allowed by the person who runs keyturn, not by the manifest."""
    with pytest.raises(
        InputError, match=r"no credential may be sent to https://evil\.example\.com:443.*OP_CONNECT_HOST"
    ):
        OnePasswordTarget(at("https://evil.example.com", {"OP_CONNECT_HOST": "https://op.example.com"}))
    allowed = at("https://eu.example.com", {"KEYTURN_ALLOWED_ORIGINS": "connect=https://eu.example.com"})
    OnePasswordTarget(allowed).close()


def test_nothing_of_this_process_s_surroundings_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host, token, timeout or proxy of os.environ."""
    surroundings = {
        "OP_CONNECT_HOST": "http://127.0.0.1:9",
        "OP_CONNECT_TOKEN": "eyJambient",
        "OP_CONNECT_CLIENT_REQ_TIMEOUT": "None",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    with RawServer(reply(200, "[]", JSON)) as server:
        target = OnePasswordTarget(at(server.url))
        with pytest.raises(TargetMisfit, match="no vault"):
            target.read("bot", "KEY")
        target.close()
        [request] = server.requests
    assert f"Authorization: Bearer {TOKEN}".encode() in request
    assert b"ambient" not in request


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_certificate_file_that_cannot_be_used_is_a_mistake(
    tmp_path_factory: pytest.TempPathFactory, content: str | None
) -> None:
    """It is said before anything is sent."""
    folder = tmp_path_factory.mktemp("ca")
    if content:
        (folder / "ca.pem").write_text(content)
    with pytest.raises(InputError, match=r"certificate file cannot be used.*ca\.pem"):
        OnePasswordTarget(replace(at("https://op.example.com", ca_cert="ca.pem"), base=str(folder)))
