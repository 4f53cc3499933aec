"""Following the objects of one kind: on a real API server, and on one that misbehaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from keyturn.kube import watch as module
from keyturn.kube.watch import Ident, Kind, Watch
from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import JSON, Server
from keyturn.targets.rest import Endpoint
from tests.cluster.clients import login_to, server_of
from tests.cluster.control_plane import Cluster
from tests.support.process import wait_until
from tests.support.raw_http import RawServer, Script, reply


class Heard:
    """What a watch told, by object; None for one that is gone."""

    def __init__(self) -> None:
        self.objects: dict[Ident, Mapping[str, object] | None] = {}
        self.times: dict[Ident, int] = {}

    def __call__(self, one: Ident, found: Mapping[str, object] | None) -> None:
        """Note it."""
        self.objects[one] = found
        self.times[one] = self.times.get(one, 0) + 1

    def data(self) -> dict[str, object]:
        """Return the data of what is there, by name."""
        return {name: found.get("data") for (_, name), found in self.objects.items() if found is not None}


@contextmanager
def following(watch: Watch) -> Iterator[Watch]:
    """Let it run in a thread of its own."""
    thread = threading.Thread(target=watch.run, daemon=True)
    thread.start()
    yield watch
    watch.stop()
    thread.join(5)
    assert not thread.is_alive()


@contextmanager
def of_maps(cluster: Cluster, namespace: str, heard: Heard, accept: str = JSON) -> Iterator[Watch]:
    """Follow the ConfigMaps of a namespace."""
    kind = Kind("configmaps", f"/api/v1/namespaces/{namespace}/configmaps", {}, accept)
    server = server_of(cluster)
    with following(Watch(server, login_to(cluster), cluster.origin, kind, heard)) as watch:
        yield watch
    server.close()


def make(cluster: Cluster, namespace: str, name: str, value: str = "1") -> None:
    """Make a ConfigMap."""
    body = {"metadata": {"name": name}, "data": {"v": value}}
    cluster.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


def test_it_tells_what_there_is_and_what_changes(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages; then each change, once."""
    monkeypatch.setattr(module, "PAGE", 3)
    namespace, heard = cluster.namespace(), Heard()
    for number in range(8):
        make(cluster, namespace, f"old-{number}")
    with of_maps(cluster, namespace, heard) as watch:
        assert watch.listed.wait(10)
        assert len(heard.data()) == 8
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        make(cluster, namespace, "new")
        body = {"data": {"v": "2"}}
        cluster.call("PATCH", f"{path}/old-1", body, **{"Content-Type": "application/merge-patch+json"})
        cluster.call("DELETE", f"{path}/old-2")
        wait_until(lambda: (namespace, "old-2") in heard.objects and "old-2" not in heard.data(), "the deletion")
        assert heard.data()["old-1"] == {"v": "2"}
        assert heard.data()["new"] == {"v": "1"}
        assert set(heard.times.values()) <= {1, 2}
        assert watch.trouble == ""


def test_large_objects_are_listed_in_smaller_pages(cluster: Cluster) -> None:
    """Some large objects cannot stop the list for everybody."""
    namespace, heard = cluster.namespace(), Heard()
    for number in range(12):
        make(cluster, namespace, f"large-{number:02}", "x" * 1_000_000)
    for number in range(8):
        make(cluster, namespace, f"small-{number}")
    with of_maps(cluster, namespace, heard) as watch:
        assert watch.listed.wait(30), watch.trouble
        assert len(heard.data()) == 20
        assert set(heard.times.values()) == {1}


def test_metadata_is_enough_where_it_is_asked_for(cluster: Cluster) -> None:
    """So no secret is read."""
    namespace, heard = cluster.namespace(), Heard()
    make(cluster, namespace, "listed", "canary")
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    with of_maps(cluster, namespace, heard, accept) as watch:
        assert watch.listed.wait(10)
        make(cluster, namespace, "watched", "canary")
        wait_until(lambda: (namespace, "watched") in heard.objects, "the event")
        assert (namespace, "listed") in heard.objects
        assert "canary" not in json.dumps(list(heard.objects.values()))


def test_a_missing_right_is_said(cluster: Cluster) -> None:
    """With the verbs to add; and it goes on once they are there."""
    namespace, heard = cluster.namespace(), Heard()
    token = cluster.user({namespace: []})
    kind = Kind("configmaps", f"/api/v1/namespaces/{namespace}/configmaps", {})
    server = server_of(cluster, token)
    with following(Watch(server, login_to(cluster, token), cluster.origin, kind, heard)) as watch:
        wait_until(lambda: watch.trouble != "", "the refusal")
        assert "verbs list and watch on configmaps" in watch.trouble
        assert not watch.listed.is_set()
    server.close()


def item(name: str, version: str = "1") -> dict[str, object]:
    """An object."""
    return {"kind": "X", "metadata": {"name": name, "resourceVersion": version}}


def listing(*names: str) -> bytes:
    """An answer to a list."""
    return reply(200, json.dumps({"kind": "XList", "metadata": {"resourceVersion": "5"}, "items": [*map(item, names)]}))


def events(*found: tuple[str, Mapping[str, object]]) -> bytes:
    """An answer to a watch, which then ends."""
    return reply(200, "".join(json.dumps({"type": kind, "object": body}) + "\n" for kind, body in found))


@contextmanager
def served(heard: Heard, *scripts: bytes | Script) -> Iterator[tuple[Watch, RawServer]]:
    """Follow a server that answers so."""
    with RawServer(*scripts) as raw:
        login = Login(Context("here", {}, {"token": "token"}, Path()), {}, 5)
        server = Server(Endpoint(raw.url, "", 3), login, "cluster")
        with following(Watch(server, login, raw.url, Kind("things", "/things", {}), heard)) as watch:
            yield watch, raw
        server.close()


def silent(connection: object) -> None:
    """Close the connection without an answer."""


GONE = {"kind": "Status", "code": 410}


@pytest.mark.parametrize("expired", [events(("ERROR", GONE)), reply(410, json.dumps(GONE))], ids=["event", "status"])
def test_after_an_expired_version_it_lists_again(expired: bytes) -> None:
    """And tells of what went away meanwhile."""
    heard = Heard()
    after = events(("BOOKMARK", item("", "9")))
    with served(heard, listing("stays", "goes"), expired, listing("stays"), after) as (_, raw):
        wait_until(lambda: len(raw.requests) > 4, "the watch after the second list")
        assert heard.objects[("", "goes")] is None
        assert heard.objects[("", "stays")] is not None
        assert b"resourceVersion=9" in raw.requests[4]


@pytest.mark.parametrize(
    "answer",
    [
        silent,
        reply(500, "{}"),
        reply(302, "", {"Location": "http://127.0.0.1:9/"}),
        events(("ERROR", {"code": 500, "message": "quotes a secret"})),
        reply(200, "no json\n"),
        reply(200, "[" * 100_000 + "\n"),
    ],
    ids=["silent", "500", "redirect", "error", "text", "deep"],
)
def test_a_failure_is_noted_and_tried_again_from_the_same_version(answer: bytes | Script) -> None:
    """Without a second list, and without a hot loop."""
    heard = Heard()
    with served(heard, listing("one"), answer, answer, events(("ADDED", item("two", "6")))) as (watch, raw):
        wait_until(lambda: watch.trouble != "" and len(raw.requests) > 1, "the failure")
        assert "secret" not in watch.trouble
        wait_until(lambda: ("", "two") in heard.objects, "the event after the failures")
        assert all(b"watch=1" in request and b"resourceVersion=5" in request for request in raw.requests[1:4])
        assert heard.times[("", "one")] == 1


def test_after_a_broken_watch_nothing_is_told_again() -> None:
    """It goes on behind the last event: an object told of as it was before would look like a change back."""
    whole = events(("MODIFIED", item("one", "6")), ("MODIFIED", item("one", "7")))
    broken = whole.replace(b"Content-Length: ", b"Content-Length: 9")  # more than comes
    heard = Heard()
    with served(heard, listing("one"), broken, events(("ADDED", item("two", "8")))) as (_, raw):
        wait_until(lambda: ("", "two") in heard.objects, "the event after the break")
        assert b"resourceVersion=7" in raw.requests[2]
        assert heard.times[("", "one")] == 3


def test_a_certificate_authority_that_cannot_be_read_is_said_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the failure is, the watch goes on."""
    heard, left, client = Heard(), [OSError("/run/secrets"), ValueError()], Watch._client

    def broken(self: Watch) -> httpx.Client:
        if left:
            raise left.pop()
        return client(self)

    monkeypatch.setattr(Watch, "_client", broken)
    with served(heard, listing("one"), listing("one"), listing("one"), events(("ADDED", item("two", "6")))) as (
        watch,
        _,
    ):
        wait_until(lambda: watch.trouble != "", "the failure")
        assert "/run" not in watch.trouble
        wait_until(lambda: ("", "two") in heard.objects, "the event after the failures")


def test_an_event_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound."""
    monkeypatch.setattr(module, "LARGEST", 1000)
    with served(Heard(), listing(), reply(200, "x" * 5000)) as (watch, _):
        wait_until(lambda: "larger than" in watch.trouble, "the bound")


def test_a_server_that_ends_each_watch_at_once_is_asked_seldom() -> None:
    """The pause grows."""
    with served(Heard(), listing(), reply(200, "")) as (_, raw):
        threading.Event().wait(2)
        assert 2 <= len(raw.requests) <= 6
