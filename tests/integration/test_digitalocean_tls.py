"""TLS: certificates are checked as usual, and the deadline and the guard hold there too."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keyturn.core.errors import Ambiguous, LeaseLost, NotAccepted
from keyturn.core.secret import Secret
from keyturn.live.digitalocean.http import HttpClient
from tests.support.raw_http import reply

TOKEN = Secret("dop_v1_" + "5" * 64)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keyturn test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def serve(certificate: Path) -> Iterator[Callable[[Callable[[ssl.SSLSocket], None]], str]]:
    """Serve one TLS connection with a script, and return the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    threads: list[threading.Thread] = []

    def start(script: Callable[[ssl.SSLSocket], None]) -> str:
        def run() -> None:
            with suppress(OSError):
                plain, _ = listener.accept()
                plain.settimeout(5)
                with plain, context.wrap_socket(plain, server_side=True) as connection:
                    script(connection)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join(5)
    listener.close()


Serve = Callable[[Callable[[ssl.SSLSocket], None]], str]


def trusting(url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch, seconds: float = 5) -> HttpClient:
    """A client that trusts the certificate by the usual variable."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return HttpClient(url, seconds=seconds, user_agent="keyturn/test")


def test_an_unknown_certificate_is_a_definite_no(serve: Serve) -> None:
    """Without trust nothing is sent, and the error says why."""
    client = HttpClient(serve(lambda connection: None), seconds=5, user_agent="keyturn/test")
    with pytest.raises(NotAccepted, match="certificate verify failed"):
        client.send("GET", "/", TOKEN)


def test_http_and_https_that_are_mixed_up_are_named(serve: Serve) -> None:
    """An http server at an https address is a definite no, and an https server at an http address stays unclear."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(reply(400))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(NotAccepted, match="does not speak TLS on this port"):
            HttpClient(url, seconds=5, user_agent="keyturn/test").send("GET", "/", TOKEN)
        thread.join(5)
    client = HttpClient(serve(lambda connection: None).replace("https:", "http:"), seconds=5, user_agent="keyturn/test")
    with pytest.raises(Ambiguous, match="the address has to begin with https"):
        client.send("GET", "/", TOKEN)


def test_a_trusted_certificate_works(serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE is honoured, as in every tool."""

    def answer(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(reply(200, "{}"))

    assert trusting(serve(answer), certificate, monkeypatch).send("GET", "/", TOKEN).body == b"{}"


def test_the_deadline_cuts_a_dripping_answer(serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte now and then does not keep a request alive beyond its deadline."""

    def drip(connection: ssl.SSLSocket) -> None:
        connection.recv(65536)
        for _ in range(60):
            connection.sendall(b"H")
            time.sleep(0.05)

    client = trusting(serve(drip), certificate, monkeypatch, 0.5)
    started = time.monotonic()
    with pytest.raises(Ambiguous, match=r"no complete answer within 0\.5 s"):
        client.send("PUT", "/", TOKEN)
    assert time.monotonic() - started < 2.5


def test_the_guard_runs_after_the_handshake(serve: Serve, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease lost during the handshake: the server reads the end of the connection, and nothing before it."""
    read: list[bytes] = []
    ended = threading.Event()

    def listen(connection: ssl.SSLSocket) -> None:
        with suppress(OSError):
            read.append(connection.recv(65536))
        ended.set()

    calls: list[int] = []

    def guard() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise LeaseLost("too late")

    client = trusting(serve(listen), certificate, monkeypatch)
    with pytest.raises(LeaseLost):
        client.send("PUT", "/", TOKEN, guard=guard)
    assert ended.wait(5)
    assert read in ([], [b""])
