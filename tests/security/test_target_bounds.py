"""M4: a target's server that sends slowly, without end, compressed, or what no real server sends."""

from __future__ import annotations

import gzip
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from keyturn.core.errors import KeyturnError, TargetUnavailable
from keyturn.targets.bounded_http import BODY_LIMIT
from tests.security.vendors import NEW, VENDORS, uses
from tests.support.process import run
from tests.support.raw_http import RawServer, reply

SECONDS = 0.6
"""The deadline of a request here."""

HEADS = {
    "head": b"",
    "body": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
    "body without a length": b"HTTP/1.1 200 OK\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.finding(
    "M4", before="a server that sends a byte now and then is waited for", now="the whole answer has a deadline"
)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_the_deadline_is_for_the_whole_answer(vendor: str, head: str) -> None:
    """Whatever part of the answer is sent slowly: it is cut off at the deadline, and said so."""

    def drip(connection: socket.socket) -> None:
        connection.sendall(HEADS[head])
        while not server.stopped.wait(0.05):
            connection.sendall(
                HEADS[head] if head == "interim answers" else b"1\r\n1\r\n" if head == "chunks" else b"H"
            )

    server = RawServer(drip)
    with server:
        target = VENDORS[vendor](server.url, SECONDS)
        began = time.monotonic()
        with pytest.raises(TargetUnavailable, match=rf"no answer within {SECONDS:g} s") as caught:
            target.read("app", "KEY")
        assert time.monotonic() - began < 20  # without a deadline: for ever
        assert not caught.value.ambiguous
        target.close()


@pytest.mark.finding("M4", before="an endless answer fills the memory", now="8 MiB of a body are read at most")
@pytest.mark.parametrize("length", [True, False], ids=["announced", "endless"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_no_more_than_eight_mebibytes_are_read(vendor: str, *, length: bool) -> None:
    """Then the connection is closed: the server cannot send the rest."""
    sent = [0]

    def stream(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 4000000000\r\n" if length else b"") + b"\r\n")
        while not server.stopped.is_set():
            sent[0] += connection.send(b" " * 65536)

    server = RawServer(stream)
    with server:
        target = VENDORS[vendor](server.url, 20)
        with pytest.raises(TargetUnavailable, match="the answer is larger than 8 MiB"):
            target.read("app", "KEY")
        target.close()
    assert sent[0] < 4 * BODY_LIMIT  # what the buffers of the kernel hold is sent, but not read


@pytest.mark.finding("M4", before="4 MB of gzip fill 4 GB of memory", now="a compressed answer is not unpacked")
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_compressed_answer_is_not_unpacked(vendor: str) -> None:
    """It is not asked for, and refused if it comes."""
    body = gzip.compress(b" " * 2**20)
    with RawServer(reply(200, body, {"Content-Encoding": "gzip", "Connection": "close"})) as server:
        target = VENDORS[vendor](server.url, 5)
        with pytest.raises(TargetUnavailable, match="the answer is compressed"):
            target.read("app", "KEY")
        target.close()
        assert all(b"\r\naccept-encoding: identity\r\n" in request.lower() for request in server.requests)


BIGGEST = """
import sys
from pathlib import Path
from keyturn.core.errors import TargetUnavailable
from tests.security.vendors import VENDORS
for name, vendor in VENDORS.items():
    target = vendor(sys.argv[1], 20.0)
    try:
        target.read("app", "KEY")
    except TargetUnavailable:
        print(name)
# Not ru_maxrss, which includes the size of the process that started this one.
print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) // 1024)
"""


@pytest.mark.finding("M4", before="2.9 GiB and more", now="under 300 MB")
def test_the_memory_that_an_endless_answer_takes() -> None:
    """All clients one after the other in a process of their own."""

    def stream(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.stopped.is_set():
            connection.sendall(b'{"a":' * 20_000)

    server = RawServer(stream)
    with server:
        ended = run([sys.executable, "-c", BIGGEST, server.url], cwd=None)
    *lines, most = ended.stdout.split("\n")[:-1]
    assert lines == list(VENDORS), ended.stderr
    assert int(most) < 300


DEEP = "[" * 200_000
BODIES: dict[str, bytes] = {
    "empty": b"",
    "html": b"<html><body>sk-do-" + b"x" * 60 + b"</body></html>",
    "a number": b"1",
    "a huge number": b"9" * 5000,
    "not a number": b"NaN",
    "text": b'"text"',
    "null": b"null",
    "a list": b"[]",
    "a list of lists": b"[[[]]]",
    "a list of numbers": b"[1, 2]",
    "an object": b"{}",
    "cut off": b'{"data": {',
    "deep": DEEP.encode(),
    "deep in an object": b'{"data":' + DEEP.encode(),
    "latin-1": b'{"data": "\xff\xfe"}',
    "utf-16": '{"data": {}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"data": {}}',
    "a lone surrogate": b'{"data": {"data": {"KEY": "\\ud800"}, "metadata": {"version": 1}}}',
    "duplicate names": b'{"data": {}, "data": [], "data": null}',
    "errors of another type": b'{"errors": {"a": 1}}',
    "errors of numbers": b'{"errors": [1, null, {}]}',
    "wrong types": b'{"data": {"data": [1], "metadata": "x", "keys": 7, "type": 1, "path": [], "options": 3}}',
    "huge version": b'{"data": {"data": {}, "metadata": {"version": 1e999}}}',
    "huge integer": b'{"data": {"data": {}, "metadata": {"version": ' + b"9" * 5000 + b"}}}",
    "a kv mount": b'{"data": {"type": "kv", "path": "secret/", "options": {"version": "2"}, "metadata": {}}}',
    "no version": b'{"SecretString": "x"}',
    "wrong types of AWS": b'{"SecretString": 1, "VersionId": {}, "SecretList": 3, "NextToken": [], "CreatedDate": "x"}',
    "list of AWS": b'{"SecretList": [1, null, {"Name": 3}, {}], "CreatedDate": 1e400}',
    "error of AWS": b'{"__type": 7, "message": {"a": 1}, "Code": []}',
    "same page again": b'{"SecretList": [], "NextToken": "x"}',
    "items of Connect": b'[{"id": 1, "name": [], "title": null, "fields": 3, "vault": "x", "version": "y"}]',
    "an item of Connect": b'{"id": "a", "name": "v", "title": "x", "fields": [1, {"label": 2}], "version": 1}',
    "NUL": b'{"data": "\\u0000\x00"}',
}
STATUSES = (101, 200, 201, 204, 206, 299, 300, 302, 307, 400, 401, 403, 404, 405, 409, 412, 413, 418, 422, 429, 499)
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00",
    "HTTP/0.9": b"hello\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "a length of 5000 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a wrong chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\n{}",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 60_000,
    "a long line": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 300_000,
    "a NUL in the head": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n{}",
    "cut off": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    "unknown encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
    "odd charset": b"HTTP/1.1 200 OK\r\nContent-Type: text/x; charset=nonsense\r\nContent-Length: 2\r\n\r\n{}",
    "bad cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff\xfe=;;;\r\nContent-Length: 2\r\n\r\n{}",
}


def answers() -> Iterator[tuple[str, bytes]]:
    """Yield every odd answer, with what it is."""
    for what, body in BODIES.items():
        for status in (200, 400, 404, 500):
            yield f"{status}, {what}", reply(status, body, {"Connection": "close"})
    for status in STATUSES:
        yield f"{status}", reply(status, b"{}", {"Connection": "close", "Location": "https://evil.example/"})
    yield from BROKEN.items()


@pytest.mark.finding(
    "L11", before="an answer that cannot be decoded is told as a mistake of keyturn", now="the target is unavailable"
)
@pytest.mark.parametrize("vendor", VENDORS)
def test_whatever_a_server_answers_only_documented_errors_come_of_it(vendor: str) -> None:
    """Each use of each target, with each odd answer to all its requests; no message repeats what was sent or held."""
    odd = dict(answers())
    tried = 0
    with RawServer(lambda connection: connection.sendall(current[0])) as server:
        current = [b""]
        target = VENDORS[vendor](server.url, 0.3)
        for what, answer in odd.items():
            current[0] = answer
            for use, act in uses(target).items():
                began = time.monotonic()
                try:
                    act()
                except KeyturnError as error:
                    told = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
                    assert NEW.reveal() not in told, (what, use)
                    assert "xxxxxx" not in told, (what, use)
                except Exception as error:
                    raise AssertionError(f"{vendor}, {use}, {what}: {error!r}") from error
                assert time.monotonic() - began < 20, (what, use)
                tried += 1
        target.close()
    assert tried == len(odd) * len(uses(target))
    assert len(odd) > 150
