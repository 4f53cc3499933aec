"""What a Vault target takes from its surroundings, and what it must not."""

from __future__ import annotations

import ipaddress
import ssl
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keyturn.core.errors import CredentialError, InputError, TargetUnavailable
from keyturn.targets.base import TargetContext, proxy_for
from keyturn.targets.vault import VaultTarget
from tests.support.raw_http import RawServer, reply

ABSENT = reply(404, '{"errors": []}', {"Content-Type": "application/json", "Connection": "close"})


def made_from(
    address: str, environment: Mapping[str, str] | None = None, *, base: Path | None = None, **settings: object
) -> VaultTarget:
    """Return a target of this address."""
    return VaultTarget(
        TargetContext(
            name="vault",
            settings={"address": address, **settings},
            environment={"VAULT_ADDR": address, "VAULT_TOKEN": "hvs.mine"} if environment is None else environment,
            base=str(base or "."),
            request=3,
        )
    )


def test_nothing_of_this_process_s_surroundings_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token, namespace, proxy, netrc or certificate store of os.environ and the home directory."""
    (tmp_path / ".vault-token").write_text("hvs.home")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password netrc-password\n")
    (tmp_path / ".netrc").chmod(0o600)
    surroundings = {
        "HOME": str(tmp_path),
        "VAULT_TOKEN": "hvs.ambient",
        "VAULT_NAMESPACE": "ambient",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "REQUESTS_CA_BUNDLE": str(tmp_path / "nothing.pem"),
    }
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    mounts = reply(
        200, '{"data": {"type": "kv", "path": "secret/", "options": {"version": "2"}}}', {"Connection": "close"}
    )
    with RawServer(mounts, ABSENT) as server:
        target = made_from(server.url)
        assert target.read("apps/x", "KEY").secret is None
        target.close()
        sent = b"".join(server.requests).decode()
    assert "X-Vault-Token: hvs.mine" in sent
    for word in ("hvs.ambient", "hvs.home", "Authorization", "Namespace", "ambient"):
        assert word not in sent


def test_a_missing_token_is_not_looked_for_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is sent at all."""
    (tmp_path / ".vault-token").write_text("hvs.home")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAULT_TOKEN", "hvs.ambient")
    with RawServer(ABSENT) as server:
        target = made_from(server.url, {"VAULT_ADDR": server.url})
        with pytest.raises(CredentialError, match="VAULT_TOKEN is not set"):
            target.read("apps/x", "KEY")
        assert server.requests == []


class _Absent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.wfile.write(ABSENT)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key, in one folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keyturn test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return tmp_path


@pytest.fixture
def encrypted(authority: Path) -> Iterator[tuple[str, list[str]]]:
    """An https server on loopback with that certificate: its address, and the paths that were asked."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    server = HTTPServer(("127.0.0.1", 0), _Absent)
    seen: list[str] = []
    server.seen = seen  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_a_certificate_that_nobody_vouches_for_is_refused(encrypted: tuple[str, list[str]]) -> None:
    """Nothing was sent: not the token, and no write; the words name `ca_cert`."""
    address, seen = encrypted
    target = made_from(address)
    with pytest.raises(TargetUnavailable, match=r"certificate is not trusted.*ca_cert") as caught:
        target.write_document("keyturn/x", "{}", "0", lambda: None)
    assert not caught.value.ambiguous
    assert seen == []
    target.close()


@pytest.mark.parametrize("how", ["setting", "variable", "prefixed variable"])
def test_a_named_authority_is_trusted(encrypted: tuple[str, list[str]], authority: Path, how: str) -> None:
    """`ca_cert`, looked for beside the manifest, or VAULT_CACERT; the server is then really asked."""
    address, seen = encrypted
    prefix = "EU_" if how == "prefixed variable" else ""
    environment = {
        f"{prefix}VAULT_ADDR": address,
        f"{prefix}VAULT_TOKEN": "hvs.mine",
        "KEYTURN_ALLOWED_PREFIXES": prefix,
    }
    settings: dict[str, object] = {"auth": {"env_prefix": prefix}}
    if how == "setting":
        settings["ca_cert"] = "ca.pem"
    else:
        environment[f"{prefix}VAULT_CACERT"] = str(authority / "ca.pem")
    target = made_from(address, environment, base=authority, **settings)
    with pytest.raises(Exception, match="no mount"):
        target.read("apps/x", "KEY")
    assert seen == ["/v1/sys/internal/ui/mounts/secret"]
    target.close()


def test_an_authority_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    """It is said before anything is sent."""
    with pytest.raises(InputError, match=r"certificate file cannot be used.*nope\.pem, No such file"):
        made_from("https://vault.example.com", base=tmp_path, ca_cert="nope.pem")


@pytest.mark.parametrize(
    ("origin", "environment", "proxy"),
    [
        ("https://v.example.com:443", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://v.example.com:443", {"https_proxy": "http://p:1"}, "http://p:1"),
        ("https://v.example.com:443", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, ""),
        ("https://v.example.com:443", {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, ""),
        ("https://v.example.com:443", {"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, ""),
        ("http://127.0.0.1:8200", {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1"}, ""),
    ],
)
def test_a_proxy_is_taken_for_https_only(origin: str, environment: Mapping[str, str], proxy: str) -> None:
    """Through it everything stays encrypted; what NO_PROXY names goes straight."""
    assert proxy_for(origin, environment) == proxy


def test_what_goes_through_a_proxy_is_a_tunnel() -> None:
    """The proxy sees the name of the server, and never the token; one that refuses leaves nothing written."""
    with RawServer(reply(403, "", {"Connection": "close"})) as proxy:
        target = made_from(
            "https://vault.example.com:8200",
            {"VAULT_ADDR": "https://vault.example.com:8200", "VAULT_TOKEN": "hvs.mine", "HTTPS_PROXY": proxy.url},
        )
        with pytest.raises(TargetUnavailable):
            target.read("apps/x", "KEY")
        target.close()
        assert proxy.requests
        assert proxy.requests[0].startswith(b"CONNECT vault.example.com:8200")
        assert b"hvs.mine" not in b"".join(proxy.requests)
