"""Logging in to a real server, by each method, and again when the login has run out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pytest_httpserver import HTTPServer

from keyturn.core.errors import CredentialError, TargetForbidden
from keyturn.core.secret import Secret
from keyturn.targets.base import TargetContext
from keyturn.targets.vault import VaultTarget
from tests.contract.place_vault import context, documented_policy, login_with
from tests.contract.relay import relay
from tests.contract.test_documents import free
from tests.support.openbao import OpenBao

NEW = Secret("sk-do-new")


@pytest.fixture
def policy(openbao: OpenBao) -> str:
    """The name of the documented policy on the server."""
    name = f"keyturn-{uuid4().hex}"
    openbao.call("PUT", f"sys/policies/acl/{name}", {"policy": documented_policy()})
    return name


@pytest.fixture
def mount(openbao: OpenBao) -> str:
    """A name for an auth mount of this test."""
    return f"login-{uuid4().hex}"


def with_environment(made: TargetContext, environment: Mapping[str, str]) -> TargetContext:
    """Return the context with other credentials, for the same server and mount of the login."""
    auth = made.settings.get("auth", {})
    assert isinstance(auth, dict)
    same = {"VAULT_ADDR": made.environment["VAULT_ADDR"], "VAULT_AUTH_MOUNT": auth.get("mount", "")}
    return replace(made, environment={**same, **environment})


def works(target: VaultTarget) -> bool:
    """Write and read."""
    path = f"apps/{uuid4().hex}"
    target.write(path, "KEY", NEW, None, free)
    return target.read(path, "KEY").secret == NEW


@pytest.fixture
def approle(openbao: OpenBao, policy: str, mount: str) -> Callable[..., TargetContext]:
    """Return a maker of contexts that log in by AppRole, at another address perhaps."""
    openbao.call("POST", f"sys/auth/{mount}", {"type": "approle"})
    role = {"token_policies": [policy], "token_no_default_policy": True, "token_ttl": "1h"}
    openbao.call("POST", f"auth/{mount}/role/keyturn", role)
    role_id = openbao.call("GET", f"auth/{mount}/role/keyturn/role-id")["data"]
    secret_id = openbao.call("POST", f"auth/{mount}/role/keyturn/secret-id")["data"]
    assert isinstance(role_id, dict)
    assert isinstance(secret_id, dict)

    def make(address: str = "", secret: str = "") -> TargetContext:
        made = context(openbao, auth={"method": "approle", "mount": mount})
        address = address or openbao.address
        environment = {
            "VAULT_ADDR": address,
            "VAULT_AUTH_MOUNT": mount,
            "VAULT_ROLE_ID": role_id["role_id"],
            "VAULT_SECRET_ID": secret or secret_id["secret_id"],
        }
        return replace(made, settings={**made.settings, "address": address}, environment=environment)

    return make


def test_approle(approle: Callable[..., TargetContext]) -> None:
    """VAULT_ROLE_ID and VAULT_SECRET_ID log in, and the documented policy is enough."""
    target = VaultTarget(approle())
    assert works(target)
    target.close()


def test_a_refused_login_is_a_credential_error(approle: Callable[..., TargetContext]) -> None:
    """Exit code 5; the words name the variables and show no value."""
    target = VaultTarget(approle(secret="not-the-secret-id"))
    with pytest.raises(CredentialError, match="VAULT_ROLE_ID and VAULT_SECRET_ID") as caught:
        target.read("apps/x", "KEY")
    assert caught.value.exit_code == 5
    assert "not-the-secret-id" not in str(caught.value)
    target.close()


@pytest.fixture
def signer(openbao: OpenBao, policy: str, mount: str) -> Callable[[str], str]:
    """Mount a JWT login that trusts a key of ours; return what signs a token for a subject."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    openbao.call("POST", f"sys/auth/{mount}", {"type": "jwt"})
    openbao.call("POST", f"auth/{mount}/config", {"jwt_validation_pubkeys": [public.decode()]})
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["keyturn"],
        "bound_subject": "pipeline",
        "token_policies": [policy],
        "token_no_default_policy": True,
    }
    openbao.call("POST", f"auth/{mount}/role/ci", role)

    def sign(subject: str) -> str:
        now = int(time.time())
        claims = {"sub": subject, "aud": "keyturn", "iat": now, "exp": now + 600}
        return jwt.encode(claims, key, algorithm="RS256")

    return sign


def test_jwt(openbao: OpenBao, mount: str, signer: Callable[[str], str], tmp_path: Path) -> None:
    """The file that VAULT_JWT_FILE names logs in; it is read again for each login."""
    file = tmp_path / "token"
    file.write_text(f"{signer('someone-else')}\n")
    made = context(openbao, auth={"method": "jwt", "role": "ci", "mount": mount})
    target = VaultTarget(with_environment(made, {"VAULT_JWT_FILE": str(file)}))
    with pytest.raises(CredentialError, match="by jwt"):
        target.read("apps/x", "KEY")
    file.write_text(f"{signer('pipeline')}\n")
    assert works(target)
    target.close()


def test_kubernetes(openbao: OpenBao, policy: str, mount: str, httpserver: HTTPServer, tmp_path: Path) -> None:
    """A service-account token logs in; the server asks the cluster (a stand-in for its TokenReview) about it."""
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:ci:keyturn",
        "kubernetes.io/serviceaccount/namespace": "ci",
        "kubernetes.io/serviceaccount/secret.name": "keyturn-token",
        "kubernetes.io/serviceaccount/service-account.name": "keyturn",
        "kubernetes.io/serviceaccount/service-account.uid": "1",
    }
    token = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    user = {"username": "system:serviceaccount:ci:keyturn", "uid": "1"}
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    httpserver.expect_request("/apis/authentication.k8s.io/v1/tokenreviews", method="POST").respond_with_json(
        {**review, "status": {"authenticated": True, "user": user}}
    )
    openbao.call("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
    host = httpserver.url_for("").rstrip("/")
    config = {"kubernetes_host": host, "disable_local_ca_jwt": True, "kubernetes_ca_cert": "plain http"}
    openbao.call("POST", f"auth/{mount}/config", config)
    role = {
        "bound_service_account_names": ["keyturn"],
        "bound_service_account_namespaces": ["ci"],
        "token_policies": [policy],
        "token_no_default_policy": True,
    }
    openbao.call("POST", f"auth/{mount}/role/keyturn", role)
    file = tmp_path / "token"
    file.write_text(token)
    made = context(openbao, auth={"method": "kubernetes", "role": "keyturn", "mount": mount})
    target = VaultTarget(with_environment(made, {"VAULT_JWT_FILE": str(file)}))
    assert works(target)
    httpserver.check_assertions()
    target.close()


def test_a_pod_without_a_service_account_is_told_which_file_is_missing(openbao: OpenBao) -> None:
    """The usual mounted path is named."""
    made = context(openbao, auth={"method": "kubernetes", "role": "keyturn"})
    target = VaultTarget(with_environment(made, {}))
    with pytest.raises(CredentialError, match=r"/var/run/secrets/kubernetes\.io/serviceaccount/token"):
        target.read("apps/x", "KEY")
    target.close()


@pytest.mark.parametrize("method", ["approle", "jwt", "kubernetes"])
def test_a_login_mount_that_is_not_there_is_a_credential_error(openbao: OpenBao, method: str, tmp_path: Path) -> None:
    """The server answers 403 to it; the words say what to check."""
    file = tmp_path / "token"
    file.write_text("abc")
    auth = {"method": method, "mount": "nope", **({} if method == "approle" else {"role": "r"})}
    environment = {"VAULT_ROLE_ID": "a", "VAULT_SECRET_ID": "b", "VAULT_JWT_FILE": str(file)}
    target = VaultTarget(with_environment(context(openbao, auth=auth), environment))
    with pytest.raises(CredentialError, match="auth/nope"):
        target.read("apps/x", "KEY")
    target.close()


@pytest.mark.parametrize("token", ["hvs.wrong", "", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_bad_token_is_a_credential_error(openbao: OpenBao, token: str) -> None:
    """Wrong, missing or no token at all: VAULT_TOKEN is named, its value is not shown."""
    target = VaultTarget(with_environment(context(openbao), {"VAULT_TOKEN": token}))
    with pytest.raises(CredentialError, match="VAULT_TOKEN") as caught:
        target.write("apps/x", "KEY", NEW, None, free)
    assert not token.strip() or token not in str(caught.value)
    target.close()


def test_a_second_set_of_credentials(openbao: OpenBao, policy: str) -> None:
    """`env_prefix: EU_` reads EU_VAULT_TOKEN and holds it against EU_VAULT_ADDR."""
    made = context(openbao, auth={"env_prefix": "EU_"})
    environment = {
        "VAULT_ADDR": "https://other.example.com",
        "VAULT_TOKEN": "hvs.other",
        "EU_VAULT_ADDR": openbao.address,
        "EU_VAULT_TOKEN": openbao.token(policy),
        "KEYTURN_ALLOWED_PREFIXES": "US_, EU_",
    }
    target = VaultTarget(replace(made, environment=environment))
    assert works(target)
    target.close()


def test_a_token_that_was_revoked_meanwhile_is_a_credential_error(openbao: OpenBao) -> None:
    """Nobody can log in again for an operator's token."""
    token = login_with(openbao, documented_policy())
    target = VaultTarget(context(openbao, token))
    assert works(target)
    openbao.call("POST", "auth/token/revoke", {"token": token})
    with pytest.raises(CredentialError, match="VAULT_TOKEN"):
        target.write("apps/x", "KEY", NEW, None, free)
    target.close()


@pytest.fixture
def watched(openbao: OpenBao, approle: Callable[..., TargetContext]) -> Iterator[tuple[VaultTarget, list[str]]]:
    """A target that logged in by AppRole through a relay, and the tokens that it sent, in order."""
    sent: list[str] = []

    def watch(request: bytes) -> None:
        head = request.partition(b"\r\n\r\n")[0].decode()
        sent.append(next((line[15:] for line in head.split("\r\n") if line.startswith("X-Vault-Token: ")), "login"))

    with relay(openbao.address, watch) as server:
        target = VaultTarget(approle(server.url))
        yield target, sent
        target.close()


def test_a_login_that_has_run_out_is_made_again_once(openbao: OpenBao, watched: tuple[VaultTarget, list[str]]) -> None:
    """A write in between is sent again, with the guard asked again; threads that meet the refusal log in once."""
    target, sent = watched
    assert works(target)
    openbao.call("POST", "auth/token/revoke", {"token": sent[-1]})
    asked: list[int] = []

    def write(number: int) -> str:
        return target.write(f"apps/{uuid4().hex}", "KEY", NEW, None, lambda: asked.append(number))

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(write, range(4)))) == 4
    assert sent.count("login") == 2
    revoked = sent[-1]
    openbao.call("POST", "auth/token/revoke", {"token": revoked})
    path = f"apps/{uuid4().hex}"
    target.write(path, "KEY", NEW, None, lambda: asked.append(9))
    assert sent.count("login") == 3


def test_the_guard_is_asked_before_each_sending(openbao: OpenBao, watched: tuple[VaultTarget, list[str]]) -> None:
    """The token dies right before a write: the write is sent twice, and guarded twice."""
    target, sent = watched
    assert works(target)
    asked: list[int] = []

    def revoke() -> None:
        asked.append(1)
        if len(asked) == 1:
            openbao.call("POST", "auth/token/revoke", {"token": sent[-1]})

    target.write(f"apps/{uuid4().hex}", "KEY", NEW, None, revoke)
    assert len(asked) == 2


def test_a_forbidden_path_does_not_log_in_again(watched: tuple[VaultTarget, list[str]]) -> None:
    """A 403 to a good token is about the policy: one more question tells."""
    target, sent = watched
    for _ in range(3):
        with pytest.raises(TargetForbidden):
            target.read("elsewhere/x", "KEY")
    assert sent.count("login") == 1


def test_a_login_without_a_token_in_its_answer_is_refused(httpserver: HTTPServer) -> None:
    """A 200 that says nothing is no login."""
    httpserver.expect_request("/v1/auth/approle/login").respond_with_data(
        json.dumps({"auth": {"client_token": ""}}), content_type="application/json"
    )
    address = httpserver.url_for("").rstrip("/")
    target = VaultTarget(
        TargetContext(
            name="vault",
            settings={"address": address, "auth": {"method": "approle"}},
            environment={"VAULT_ADDR": address, "VAULT_ROLE_ID": "a", "VAULT_SECRET_ID": "b"},
        )
    )
    with pytest.raises(CredentialError, match="status 200"):
        target.read("apps/x", "KEY")
    target.close()
