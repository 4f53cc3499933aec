"""The client that sends the requests of App Platform, GitHub, Kubernetes and DigitalOcean Secrets Manager."""

from __future__ import annotations

import ssl

import pytest

from keyturn.core.errors import LeaseLost, TargetUnavailable
from keyturn.targets.rest import Client, Endpoint, Request, client_of
from keyturn.targets.servers import Action
from tests.support.raw_http import RawServer, reply

ACTION = Action("target x", "write x")
SECRET = "sk-do-" + "s" * 64


def test_the_guard_is_asked_when_all_else_is_ready() -> None:
    """What takes time comes before it; if it refuses, nothing is sent, and the next request goes out."""
    order: list[str] = []

    def trust() -> ssl.SSLContext:
        order.append("trust")
        return ssl.create_default_context()

    def guard() -> None:
        order.append("guard")
        if order.count("guard") == 1:
            raise LeaseLost("late")

    with RawServer(reply(200, "{}")) as raw:
        client = Client(Endpoint(raw.url, "", 3), {}, trust)
        request = Request("PUT", "/x", guard=guard)
        with pytest.raises(LeaseLost):
            client.send(ACTION, request, {})
        assert raw.requests == []
        assert client.send(ACTION, request, {}).status_code == 200
        client.close()
    assert order == ["trust", "guard", "guard"]


@pytest.mark.parametrize(
    ("body", "headers", "sent", "kind"),
    [
        (None, {}, b"", None),
        ('{"n": 1.0}', {}, b'{"n": 1.0}', b"application/json"),
        ({"n": 1.0, "t": "é"}, {}, '{"n":1.0,"t":"é"}'.encode(), b"application/json"),
        ({}, {"Content-Type": "application/merge-patch+json"}, b"{}", b"application/merge-patch+json"),
    ],
)
def test_a_body_is_sent_as_text_or_encoded(
    body: str | dict[str, object] | None, headers: dict[str, str], sent: bytes, kind: bytes | None
) -> None:
    """A text stays as it is, to the last digit of a number."""
    with RawServer(reply(200)) as raw:
        client = client_of(f"{raw.url}/base/", {}, 3, {"Accept": "text/x"})
        client.send(ACTION, Request("PUT", "/x", {"a": "b"}, body), headers)
        client.close()
    head, _, found = raw.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    told = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
    assert (lines[0], found) == (b"PUT /base/x?a=b HTTP/1.1", sent)
    assert (told.get(b"content-type"), told[b"accept"]) == (kind, b"text/x")


def test_a_lost_answer_is_ambiguous_only_for_a_write() -> None:
    """No cause of the error holds the request."""
    with RawServer(lambda _: None) as raw:
        client = client_of(raw.url, {}, 3, {})
        for guard in (None, lambda: None):
            with pytest.raises(TargetUnavailable) as caught:
                client.send(ACTION, Request("PUT", "/x", body=SECRET, guard=guard), {})
            assert caught.value.ambiguous == (guard is not None)
            assert caught.value.__context__ is None
        client.close()
    assert len(raw.requests) == 2
