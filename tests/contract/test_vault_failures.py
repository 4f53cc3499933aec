"""A server that is sealed, gone, slow, cut off or not itself: what is said, and whether a write may have happened."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from keyturn.core.errors import TargetError, TargetMisfit, TargetUnavailable
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.vault import VaultTarget
from tests.contract.place_vault import VaultPlace, VaultRecords, context
from tests.contract.relay import Fault, Judge, is_write, relay
from tests.contract.test_documents import free
from tests.support.openbao import OpenBao
from tests.support.process import free_port
from tests.support.raw_http import RawServer, reply

OLD, NEW = Secret("sk-do-old"), Secret("sk-do-new")
JSON = {"Content-Type": "application/json", "Connection": "close"}


def at(address: str, token: str = "hvs.example") -> TargetContext:
    """Return what a target of this address is made from."""
    environment = {"VAULT_ADDR": address, "VAULT_TOKEN": token}
    return TargetContext(name="vault", settings={"address": address}, environment=environment, request=2)


def test_a_sealed_server_is_named(openbao_on_disk: OpenBao) -> None:
    """Reading says sealed; so does a write that meets the seal half-way, which may have happened. Then all works."""
    target = VaultTarget(context(openbao_on_disk))
    target.write("apps/x", "KEY", OLD, None, free)
    with pytest.raises(TargetUnavailable, match="sealed") as caught:
        target.write("apps/x", "KEY", NEW, OLD, openbao_on_disk.seal)
    assert caught.value.ambiguous
    with pytest.raises(TargetUnavailable, match="sealed") as caught:
        target.write("apps/x", "KEY", NEW, OLD, free)
    assert not caught.value.ambiguous
    openbao_on_disk.unseal()
    target.write("apps/x", "KEY", NEW, OLD, free)
    assert target.read("apps/x", "KEY").secret == NEW
    target.close()


def test_a_server_that_stops_and_comes_back(openbao_on_disk: OpenBao) -> None:
    """A write whose connection cannot be made did not happen; afterwards what was acknowledged is there."""
    target = VaultTarget(context(openbao_on_disk))
    target.write("apps/x", "KEY", OLD, None, free)
    target.write_document("keyturn/x", "{}", "0", free)
    with pytest.raises(TargetUnavailable, match="could not connect") as caught:
        target.write("apps/x", "KEY", NEW, OLD, openbao_on_disk.stop)
    assert not caught.value.ambiguous
    openbao_on_disk.restart()
    openbao_on_disk.unseal()
    assert target.read("apps/x", "KEY").secret == OLD
    assert target.read_document("keyturn/x").text == "{}"
    target.close()


def test_a_server_that_stands_still_is_waited_for_as_long_as_a_request_may_take(openbao_on_disk: OpenBao) -> None:
    """Then a read is simply unavailable, and a write ambiguous."""
    target = VaultTarget(replace(context(openbao_on_disk), request=1.0))
    target.write("apps/x", "KEY", OLD, None, free)
    with openbao_on_disk.paused():
        began = time.monotonic()
        with pytest.raises(TargetUnavailable, match="no answer") as reading:
            target.read("apps/x", "KEY")
        assert time.monotonic() - began < 2
        with pytest.raises(TargetUnavailable) as writing:
            target.write_document("keyturn/x", "{}", "0", free)
    assert not reading.value.ambiguous
    assert writing.value.ambiguous
    target.close()


def once(fault: Fault | bytes) -> Judge:
    """Judge the first write so, and pass everything else on."""
    left = [fault]
    return lambda request: left.pop() if is_write(request) and left else None


FAULTS: list[Fault | bytes] = [
    Fault.LOST_ANSWER,
    Fault.DROPPED,
    reply(500, '{"errors": ["sk-do-new"]}', JSON),
    reply(502, "<html>sk-do-new</html>", {"Connection": "close"}),
    reply(503, "", {"Connection": "close"}),
    reply(200, "<html>sk-do-new</html>", {"Connection": "close"}),
    reply(200, '{"data": {"sk-do-new": 1}}', JSON),
    reply(200, "[]", JSON),
    reply(204, "", {"Connection": "close"}),
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{",
    b"nonsense\r\n\r\n",
]


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
def test_a_write_without_a_readable_answer_is_ambiguous_and_may_be_repeated(
    openbao: OpenBao, fault: Fault | bytes
) -> None:
    """Whether it happened or not, the same write again ends with the secret in its place; nothing shows it."""
    place = VaultPlace(openbao)
    path = place.path()
    place.seed(path, {"KEY": OLD.reveal(), "other": "kept"})
    with relay(openbao.address, once(fault)) as server:
        target = VaultTarget(at(server.url, openbao.root_token))
        with pytest.raises(TargetUnavailable) as caught:
            target.write(path, "KEY", NEW, OLD, free)
        target.write(path, "KEY", NEW, OLD, free)
        target.close()
    assert caught.value.ambiguous
    assert NEW.reveal() not in f"{caught.value} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert place.fields(path) == {"KEY": NEW.reveal(), "other": "kept"}


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, reply(500, "", {"Connection": "close"})], ids=["lost", "500"])
def test_a_document_whose_answer_was_lost_is_ambiguous(openbao: OpenBao, fault: Fault | bytes) -> None:
    """The next reader sees what is true."""
    records = VaultRecords(openbao)
    path = records.path()
    with relay(openbao.address, once(fault)) as server:
        target = VaultTarget(at(server.url, openbao.root_token))
        with pytest.raises(TargetUnavailable) as caught:
            target.write_document(path, "{}", "0", free)
        assert caught.value.ambiguous
        assert target.read_document(path).text == ("{}" if fault is Fault.LOST_ANSWER else None)
        target.close()


@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (reply(429, '{"errors": []}', JSON), TargetUnavailable, "later"),
        (reply(412, '{"errors": []}', JSON), TargetUnavailable, "later"),
        (reply(413, '{"errors": ["sk-do-new"]}', JSON), TargetMisfit, "too large"),
        (reply(400, '{"errors": ["sk-do-new"]}', JSON), TargetMisfit, "refuses"),
        (reply(307, "", {"Location": "https://evil.example.com/", "Connection": "close"}), TargetMisfit, "redirects"),
    ],
    ids=["429", "412", "413", "400", "307"],
)
def test_a_definite_no_is_not_ambiguous(openbao: OpenBao, answer: bytes, kind: type[TargetError], match: str) -> None:
    """Nothing was written, and the words say why, without the server's own."""
    place = VaultPlace(openbao)
    path = place.path()
    with relay(openbao.address, once(answer)) as server:
        target = VaultTarget(at(server.url, openbao.root_token))
        with pytest.raises(kind, match=match) as caught:
            target.write(path, "KEY", NEW, None, free)
        target.close()
    assert not caught.value.ambiguous
    assert NEW.reveal() not in str(caught.value)
    assert place.fields(path) is None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The credential stays with the origin that it belongs to."""
    with RawServer(reply(200)) as elsewhere:
        answer = reply(status, "", {"Location": f"{elsewhere.url}/v1/secret/data/x", "Connection": "close"})
        with RawServer(answer) as server:
            target = VaultTarget(at(server.url))
            with pytest.raises(TargetMisfit, match="redirects"):
                target.read("apps/x", "KEY")
            target.close()
        assert elsewhere.requests == []


def test_a_server_that_is_not_there() -> None:
    """Nothing listens at the port."""
    target = VaultTarget(at(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(TargetUnavailable, match="could not connect") as caught:
        target.write_document("keyturn/x", "{}", "0", free)
    assert not caught.value.ambiguous
    target.close()


def test_something_that_is_not_vault() -> None:
    """A web page instead of an API."""
    with RawServer(reply(200, "<html>", {"Connection": "close"})) as server:
        target = VaultTarget(at(server.url))
        with pytest.raises(TargetUnavailable, match="not an answer of Vault"):
            target.read("apps/x", "KEY")
        target.close()


@pytest.mark.parametrize("body", ['{"data": null}', '{"data": {"data": {}, "metadata": {"version": "new"}}}', "{}"])
def test_an_answer_of_another_shape_is_unavailable(openbao: OpenBao, body: str) -> None:
    """A read that cannot be understood is never taken for an absent field."""

    def judge(request: bytes) -> bytes | None:
        return reply(200, body, JSON) if request.startswith(b"GET /v1/secret/data/") else None

    with relay(openbao.address, judge) as server:
        target = VaultTarget(at(server.url, openbao.root_token))
        with pytest.raises(TargetUnavailable, match="not an answer of a KV engine"):
            target.read("apps/x", "KEY")
        target.close()
