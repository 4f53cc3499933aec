"""What the target says of answers that a healthy API server does not give."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from keyturn.core.errors import CredentialError, KeyturnError, TargetForbidden, TargetMisfit, TargetUnavailable
from keyturn.targets.base import unguarded
from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_secrets import Place, Secrets
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.rest import Endpoint
from tests.support.raw_http import RawServer, Script, reply

PLACE = Place("payments", "checkout")
SECRET = "sk-do-" + "s" * 64
STATUS = {"kind": "Status", "message": f"quotes {SECRET}", "reason": "x"}


def answer(status: int, **changes: object) -> bytes:
    """A refusal of the API server, which quotes the secret."""
    return reply(status, json.dumps(STATUS | changes), {"Content-Type": "application/json"})


def found(**changes: object) -> bytes:
    """A Secret."""
    whole = {"kind": "Secret", "type": "Opaque", "metadata": {"name": "checkout", "resourceVersion": "7"}}
    return reply(200, json.dumps(whole | {"data": {"KEY": base64.b64encode(SECRET.encode()).decode()}} | changes))


@contextmanager
def served(*scripts: bytes | Script, tokens: str = "token") -> Iterator[tuple[Secrets, RawServer]]:
    """A cluster that answers so."""
    with RawServer(*scripts) as raw:
        login = Login(Context("here", {}, {"token": tokens}, Path()), {}, 5)
        server = Server(Endpoint(raw.url, "", 3), login, "target cluster")
        yield Secrets(server, "cluster"), raw
        server.close()


def failure(kind: type[KeyturnError], *scripts: bytes | Script, writing: bool = False) -> KeyturnError:
    """The error for these answers; it holds no text of them, nor do its causes."""
    with served(*scripts) as (secrets, _):
        ask = partial(secrets.change, PLACE, "7", {"data": {}}, unguarded) if writing else partial(secrets.read, PLACE)
        with pytest.raises(kind) as caught:
            ask()
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert caught.value.__context__ is None
    return caught.value


def hang_up(_: object) -> None:
    """Close the connection without an answer."""


@pytest.mark.parametrize(
    "script",
    [
        hang_up,
        answer(500),
        answer(429),
        reply(200, "<html>"),
        reply(200, "[]"),
        reply(200, '{"items": []}'),
        reply(200, json.dumps({"kind": "Pod", "metadata": {}})),
        found(data={"KEY": "%%%"}),
        found(metadata={"name": "checkout", "resourceVersion": "7x"}),
        found()[:-20],
    ],
)
@pytest.mark.parametrize("writing", [False, True])
def test_an_answer_that_is_none_may_be_asked_for_again(script: bytes | Script, *, writing: bool) -> None:
    """A write that may have taken effect is ambiguous; one that was refused before is not."""
    error = failure(TargetUnavailable, script, writing=writing)
    assert isinstance(error, TargetUnavailable)
    assert error.ambiguous == (writing and script != answer(429))


def test_a_redirect_is_not_followed() -> None:
    """The token goes nowhere else."""
    with served(reply(307, "", {"Location": "http://127.0.0.1:1/"})) as (secrets, raw):
        with pytest.raises(TargetMisfit, match="redirects"):
            secrets.read(PLACE)
        assert len(raw.requests) == 1


def test_a_refused_token_is_renewed_once() -> None:
    """Then the login is refused, with exit code 5."""
    with served(answer(401), found()) as (secrets, raw):
        assert secrets.read(PLACE).version == "7"
        assert len(raw.requests) == 2
    assert failure(CredentialError, answer(401)).exit_code == 5


def test_a_missing_right_is_named() -> None:
    """As the rule of a Role."""
    error = failure(TargetForbidden, answer(403), writing=True)
    assert error.remedy == (
        'Its Role needs: {apiGroups: [""], resources: [secrets], verbs: [get, patch], resourceNames: [checkout]}.'
    )


def test_an_immutable_secret_is_told_apart_from_other_refusals() -> None:
    """Both are 422."""
    immutable = failure(TargetMisfit, answer(422, message=f"data: field is immutable when … {SECRET}"), writing=True)
    assert "it is immutable" in str(immutable)
    assert "refuses its content" in str(failure(TargetMisfit, answer(422), writing=True))


def test_a_stale_version_is_no_error() -> None:
    """Nor is a Secret that vanished: it is read again."""
    for status in (409, 404):
        with served(answer(status)) as (secrets, _):
            assert secrets.change(PLACE, "7", {"data": {}}, unguarded) is None


@pytest.mark.parametrize("version", ["", "0", "x", "-1", "07", "7 ", "٣"])
def test_a_version_that_the_server_would_ignore_is_never_sent(version: str) -> None:
    """With an empty one or zero the server merges into whatever is there."""
    with served(found()) as (secrets, raw):
        assert secrets.change(PLACE, version, {"data": {}}, unguarded) is None
        assert raw.requests == []


def test_a_create_that_is_refused_becomes_an_apply() -> None:
    """Under a manager of its own, if there is still none; and in a namespace that ends, it does not."""
    with served(answer(403), answer(404), found()) as (secrets, raw):
        assert secrets.create(PLACE, {"data": {}}, unguarded)
        assert [request.partition(b" ")[0] for request in raw.requests] == [b"POST", b"GET", b"PATCH"]
        assert b"fieldManager=keyturn-" in raw.requests[2]
        assert b"force" not in raw.requests[2]
    with served(answer(403), found()) as (secrets, raw):
        assert secrets.create(PLACE, {"data": {}}, unguarded) is None
        assert len(raw.requests) == 2
    ends = answer(403, details={"causes": [{"reason": "NamespaceTerminating"}]})
    with served(ends) as (secrets, raw):
        with pytest.raises(TargetMisfit, match="is being deleted"):
            secrets.create(PLACE, {"data": {}}, unguarded)
        assert len(raw.requests) == 1


def test_a_list_comes_in_pages_and_without_values() -> None:
    """An empty one holds null; one that repeats itself ends."""
    item = {"metadata": {"name": "x", "annotations": {"keyturn.dev/path": "a/b"}}}
    first = {"kind": "PartialObjectMetadataList", "metadata": {"continue": "next"}, "items": [item]}
    last: dict[str, object] = {"kind": "PartialObjectMetadataList", "metadata": {}, "items": None}
    with served(reply(200, json.dumps(first)), reply(200, json.dumps(last))) as (secrets, raw):
        assert secrets.list("payments", "a=b", "keyturn.dev/path") == ("a/b",)
        assert b"continue=next" in raw.requests[1]
        assert all(b"as=PartialObjectMetadataList" in request for request in raw.requests)
    with served(reply(200, json.dumps(first))) as (secrets, raw):
        with pytest.raises(TargetUnavailable, match="does not end"):
            secrets.list("payments", "a=b", "keyturn.dev/path")
        assert len(raw.requests) == 2
