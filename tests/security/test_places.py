"""A stranger's manifest names places: of logins, of files, of records. What the stranger gets is nothing."""

from __future__ import annotations

import json
import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.contract.test_vault_surroundings import authority, encrypted
from tests.support.raw_http import RawServer, reply

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

    from tests.cli.conftest import Stage

__all__ = ["authority", "encrypted"]  # fixtures

DOCS = Path(__file__).parents[2] / "docs/targets.md"


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of a pod, which OpenBao passes on: its signature is for the cluster to check."""
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:ci:keyturn",
        "kubernetes.io/serviceaccount/namespace": "ci",
        "kubernetes.io/serviceaccount/secret.name": "keyturn-token",
        "kubernetes.io/serviceaccount/service-account.name": "keyturn",
        "kubernetes.io/serviceaccount/service-account.uid": "1",
    }
    token = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    (tmp_path / "pod").write_text(token)
    monkeypatch.setenv("VAULT_JWT_FILE", str(tmp_path / "pod"))
    return token


def write(stage: Stage, targets: dict[str, Any], *deliveries: str, name: str = "stranger", **more: object) -> None:
    """Write a manifest with one key; a delivery is `target:path#field`."""
    places = []
    for one in deliveries:
        target, _, rest = one.partition(":")
        path, _, field = rest.partition("#")
        places.append({"target": target, "path": path, "field": field})
    bot = {
        "adopt": {"secret": "regenerate"},
        "rotation": {"strategy": "in-place", "every": "90d"},
        "smoke": {"model": "llama3.3-70b-instruct"},
        "deliver": places,
    }
    timing = {"settle": "1s", "request": "1s", "lease": "10s", "propagation": "5s", "delivery": "20s"}
    manifest = {"apiVersion": "keyturn/v1", "name": name, "targets": targets, "keys": {"bot": bot}, "timing": timing}
    stage.manifest.write_text(json.dumps({**manifest, "records": {"target": "local"}, **more}))


def vault(stage: Stage, **settings: object) -> dict[str, Any]:
    """Return a Vault target of the stage."""
    return {"v": {"type": "vault", "address": stage.openbao.address, **settings}}


def permit(monkeypatch: pytest.MonkeyPatch, printed: str) -> None:
    """Do what the refusal says, as a shell would."""
    variable, value = re.findall(r"type: export (\w+)=['\"]?([^'\"\s]+)", printed)[-1]
    monkeypatch.setenv(variable, value.replace(f"${variable}", os.environ.get(variable, "")))


@pytest.mark.finding(
    "H6", before="the pod's token at the stranger's Kubernetes host", now="nothing: exit 3, the line to export"
)
@pytest.mark.parametrize("way", ["namespace", "mount"])
def test_a_pod_s_token_goes_to_no_stranger_s_kubernetes(
    stage: Stage, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, pod: str, way: str
) -> None:
    """Who administers a namespace, or a mount, chooses who reviews the tokens. The operator's permission sends it."""
    name = f"attacker-{uuid.uuid4().hex[:8]}"
    prefix, mount = (f"{name}/", "kubernetes") if way == "namespace" else ("", name)
    if way == "namespace":
        stage.openbao.call("POST", f"sys/namespaces/{name}")
    stage.openbao.call("POST", f"{prefix}sys/auth/{mount}", {"type": "kubernetes"})
    host = {"kubernetes_host": httpserver.url_for("").rstrip("/"), "disable_local_ca_jwt": True}
    stage.openbao.call("POST", f"{prefix}auth/{mount}/config", {**host, "kubernetes_ca_cert": "plain http"})
    role = {"bound_service_account_names": ["*"], "bound_service_account_namespaces": ["*"]}
    stage.openbao.call("POST", f"{prefix}auth/{mount}/role/x", role)
    auth = {"method": "kubernetes", "role": "x"}
    settings = {"namespace": name, "auth": auth} if way == "namespace" else {"auth": {**auth, "mount": name}}
    write(stage, vault(stage, **settings), f"v:{stage.prefix}/bot#KEY")
    stage.make_keys("bot")
    assert "no credential may be sent to" in stage.run("apply", "--yes", code=3).stderr
    done = stage.run("plan", code=3)
    assert name in done.stderr
    assert httpserver.log == []
    assert stage.run("validate").exit_code == 0
    permit(monkeypatch, done.stderr)
    stage.run("plan", code=None)
    assert pod in httpserver.log[0][0].get_data(as_text=True)


@pytest.mark.finding("H6", before="any X_VAULT_TOKEN of the job is used", now="only with a prefix that is permitted")
def test_another_login_of_the_job_is_not_used(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix of variables is the operator's word."""
    with RawServer(reply(500, "{}")) as server:
        monkeypatch.setenv("DEPLOY_VAULT_ADDR", server.url)
        monkeypatch.setenv("DEPLOY_VAULT_TOKEN", "hvs.deploy")
        target = {"v": {"type": "vault", "address": server.url, "auth": {"env_prefix": "DEPLOY_"}}}
        write(stage, target, f"v:{stage.prefix}/bot#KEY")
        done = stage.run("plan", code=3)
        assert "export KEYTURN_ALLOWED_PREFIXES='DEPLOY_'" in done.stderr
        assert server.requests == []
        permit(monkeypatch, done.stderr)
        stage.run("plan", code=None)
        assert b"hvs.deploy" in b"".join(server.requests)


@pytest.mark.finding("H6", before="secrets are delivered into a stranger's namespace", now="exit 3, nothing delivered")
def test_no_secret_is_delivered_into_a_stranger_s_namespace(stage: Stage) -> None:
    """Also with a token that the namespace accepts, and by a mount whose path begins with the namespace."""
    name = f"attacker-{uuid.uuid4().hex[:8]}"
    stage.openbao.call("POST", f"sys/namespaces/{name}")
    stage.openbao.call("POST", f"{name}/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    stage.make_keys("bot")
    write(stage, vault(stage, namespace=name), "v:bot#KEY")
    assert f"#{name}'" in stage.run("apply", "--yes", code=3).stderr
    write(stage, vault(stage, mount=f"{name}/secret"), "v:bot#KEY")
    assert f"#{name}'" in stage.run("apply", "--yes", code=3).stderr
    with pytest.raises(Exception, match="404"):
        stage.openbao.call("GET", f"{name}/secret/data/bot")
    assert not any("regenerate" in str(request) for request in stage.sandbox.requests)


@pytest.mark.finding("M5", before="an origin listed for AWS got the Vault token", now="each kind has its own entries")
@pytest.mark.parametrize("kind", ["aws=", "connect=", ""])
def test_an_origin_is_permitted_for_one_kind_of_credential(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An entry of earlier versions names no kind: it permits nothing, and the refusal says what to write."""
    with RawServer(reply(500, "{}")) as server:
        monkeypatch.setenv("KEYTURN_ALLOWED_ORIGINS", f"{kind}{server.url}")
        write(stage, {"v": {"type": "vault", "address": server.url}}, "v:bot#KEY")
        done = stage.run("plan", code=3)
        assert f"vault={server.url}" in done.stderr
        assert ("lists it without a kind" in done.stderr) == (not kind)
        assert server.requests == []
        monkeypatch.setenv("KEYTURN_ALLOWED_ORIGINS", f"vault={server.url}")
        stage.run("plan", code=None)
        assert len(server.requests) > 0


CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "root": ({"root": "public"}, "the target env: root was safe and is public"),
    "format": ({"format": "json"}, "the target env: format was dotenv and is json"),
    "records": ({}, "the records: prefix was keyturn and is mine"),
    "timing": ({}, "timing: settle was 1.0 and is 2.0"),
}


@pytest.mark.finding(
    "H4", before="a reviewed plan delivers to a directory that nobody reviewed", now="exit 4: what changed"
)
@pytest.mark.parametrize("what", CHANGES)
def test_a_reviewed_plan_is_applied_to_what_was_reviewed(stage: Stage, what: str) -> None:
    """Neither another directory nor other records or timing; the plan as it was is applied."""
    for folder in ("safe", "public"):
        (stage.folder / folder).mkdir()
    stage.make_keys("bot")
    changed, told = CHANGES[what]

    def manifest(**settings: object) -> dict[str, Any]:
        return {"env": {"type": "dotenv", "root": "safe", **settings}}

    write(stage, manifest(), "env:app.env#KEY")
    reviewed = stage.manifest.read_text()
    stage.run("plan", "--out", "p.json")
    write(stage, manifest(**changed), "env:app.env#KEY")
    if what == "records":
        stage.edit('"target": "local"}', '"target": "local", "prefix": "mine"}')
    if what == "timing":
        stage.edit('"settle": "1s"', '"settle": "2s"')
    done = stage.run("apply", "--plan", "p.json", "--yes", code=4)
    assert told in done.stderr
    assert list((stage.folder / "public").iterdir()) == list((stage.folder / "safe").iterdir()) == []
    stage.manifest.write_text(reviewed)
    stage.run("apply", "--plan", "p.json", "--yes")
    assert "KEY=sk-do-" in (stage.folder / "safe/app.env").read_text()


def test_a_plan_of_an_earlier_version_says_so(stage: Stage) -> None:
    """It holds no configuration, so its digest differs although nothing changed."""
    stage.make_keys("bot")
    write(stage, {"env": {"type": "dotenv", "root": "."}}, "env:app.env#KEY")
    stage.run("plan", "--out", "p.json")
    saved = json.loads((stage.folder / "p.json").read_text())
    for run in saved["runs"]:
        del run["configuration"]
        run["digest"] = "0" * 64
    (stage.folder / "p.json").write_text(json.dumps(saved))
    assert "an earlier version of keyturn saved it" in stage.run("apply", "--plan", "p.json", "--yes", code=4).stderr


@pytest.mark.finding("H4", before="a saved plan is applied with another login", now="exit 4: which setting changed")
def test_a_reviewed_plan_binds_the_login(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two logins of one store have one home; the plan knows them apart."""
    stage.make_keys("bot")
    write(stage, vault(stage), f"v:{stage.prefix}/bot#KEY")
    stage.run("plan", "--out", "p.json")
    for name in ("ADDR", "TOKEN"):
        monkeypatch.setenv(f"OTHER_VAULT_{name}", os.environ[f"VAULT_{name}"])
    monkeypatch.setenv("KEYTURN_ALLOWED_PREFIXES", "OTHER_")
    write(stage, vault(stage, auth={"env_prefix": "OTHER_"}), f"v:{stage.prefix}/bot#KEY")
    done = stage.run("apply", "--plan", "p.json", "--yes", code=4)
    assert "the target v: auth.env_prefix was not set and is OTHER_" in done.stderr


@pytest.mark.finding(
    "H4", before="no plan shows where a target is", now="text, markdown and JSON begin with the places"
)
@pytest.mark.finding("L7", before="a variable's value stands in a plan", now="its name")
def test_the_plan_shows_the_places_and_no_value_of_a_variable(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that a variable names is shown by the variable, also in the errors of the target."""
    monkeypatch.setenv("KEYTURN_HOOK", "hush-hush")
    stage.make_keys("bot")
    write(stage, vault(stage, mount="${KEYTURN_HOOK}"), f"v:{stage.prefix}/bot#KEY")
    place = f"vault, address {stage.openbao.address}, mount ${{KEYTURN_HOOK}}, auth.method token, auth.mount token"
    text = stage.run("plan", code=None).stdout
    assert f"target   v  {place}" in text
    assert "records     local, prefix keyturn" in text
    assert "there is no mount '${KEYTURN_HOOK}'" in text
    assert f"| target | `v` | `{place}` |" in stage.run("plan", "--format", "markdown", code=None).stdout
    found = stage.json("plan", code=None)["runs"][0]["configuration"]
    assert found["targets"][0]["place"]["mount"] == "${KEYTURN_HOOK}"
    assert found["records"] == {"target": "local", "prefix": "keyturn"}
    stage.run("status", code=None)
    stage.run("smoke", code=None)
    assert "hush-hush" not in "".join(stage.printed)


@pytest.mark.finding(
    "M2", before="files anywhere on the machine are written", now="below the manifest only, by real path"
)
@pytest.mark.parametrize("root", ["absolute", "parent", "link"])
def test_a_directory_outside_of_the_checkout_is_not_reached(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    """However it is spelled. The operator may permit it."""
    outside = tmp_path_factory.mktemp("home")
    (stage.folder / "link").symlink_to(outside)
    relative = os.path.relpath(outside, stage.folder)
    roots = {"absolute": str(outside), "parent": relative, "link": "link"}
    stage.make_keys("bot")
    write(
        stage,
        {"env": {"type": "dotenv", "root": roots[root], "format": "shell"}},
        "env:.bashrc#PATH",
    )
    done = stage.run("apply", "--yes", code=3)
    assert f"export KEYTURN_ALLOWED_ROOTS='{outside}'" in done.stderr
    assert list(outside.iterdir()) == []
    permit(monkeypatch, done.stderr)
    stage.run("apply", "--yes")
    assert [file.name for file in outside.iterdir()] == [".bashrc"]


@pytest.mark.finding(
    "M2", before="records are written through a link .keyturn", now="a link, or another user's, is refused"
)
def test_records_stay_in_the_checkout(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Git keeps symbolic links, so a pull request may bring one."""
    outside = tmp_path_factory.mktemp("home")
    (stage.folder / ".keyturn").symlink_to(outside)
    stage.make_keys("bot")
    write(stage, {"env": {"type": "dotenv"}}, "env:app.env#KEY")
    done = stage.run("apply", "--yes", code=None)
    assert done.exit_code != 0
    assert "this directory of records cannot be trusted" in done.stdout + done.stderr
    assert list(outside.iterdir()) == []
    assert not (stage.folder / "app.env").exists()


@pytest.mark.finding("M9", before="a pull request brings its own authority", now="VAULT_CACERT comes first")
def test_the_manifest_s_authority_does_not_replace_the_operator_s(
    stage: Stage, encrypted: tuple[str, list[str]], authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that only the manifest vouches for is not asked; without VAULT_CACERT the manifest's file counts."""
    address, seen = encrypted
    (stage.folder / "ca.pem").write_bytes((authority / "ca.pem").read_bytes())
    (stage.folder / "operator.pem").write_text(_another_authority())
    monkeypatch.setenv("VAULT_ADDR", address)
    write(stage, {"v": {"type": "vault", "address": address, "ca_cert": "ca.pem"}}, "v:bot#KEY")
    monkeypatch.setenv("VAULT_CACERT", str(stage.folder / "operator.pem"))
    assert "its certificate is not trusted" in stage.run("plan", code=None).stdout
    assert seen == []
    monkeypatch.delenv("VAULT_CACERT")
    stage.run("plan", code=None)
    assert len(seen) > 0


def _another_authority() -> str:
    import certifi

    return Path(certifi.where()).read_text(encoding="utf-8")


@pytest.mark.finding(
    "L3", before="a FIFO waits for ever; a wrong file is told as a lost answer", now="a sentence of its own"
)
@pytest.mark.finding("M9", before="any file of the machine is looked for", now="only files below the manifest")
@pytest.mark.parametrize(
    ("file", "code", "told"),
    [
        ("pipe", None, "it is not a regular file"),
        ("wrong.pem", None, "it holds no certificate in PEM format"),
        ("empty.pem", None, "it holds no certificate in PEM format"),
        ("huge.pem", None, "it is not a regular file of at most 1048576 bytes"),
        ("none.pem", None, "No such file or directory"),
        ("/dev/stdin", 3, "a certificate file has to be below the directory of the manifest"),
        ("/etc/shadow", 3, "a certificate file has to be below the directory of the manifest"),
        ("../none.pem", 3, "a certificate file has to be below the directory of the manifest"),
    ],
)
def test_a_wrong_certificate_file_is_told_at_once(stage: Stage, file: str, code: int | None, told: str) -> None:
    """Whether a file elsewhere exists is not told."""
    os.mkfifo(stage.folder / "pipe")
    (stage.folder / "wrong.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    (stage.folder / "empty.pem").write_text("")
    (stage.folder / "huge.pem").write_bytes(b"#" * (1 << 20) + b"#")
    write(stage, vault(stage, ca_cert=file), "v:bot#KEY")
    done = stage.run("plan", code=code)
    assert done.exit_code != 0
    assert told in done.stdout + done.stderr


@pytest.mark.finding(
    "L12", before="the endpoint of the documentation is refused", now="accepted, by the target's one rule"
)
def test_the_documented_endpoint_is_accepted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that is the operator's own."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER"):
        monkeypatch.delenv(name, raising=False)
    documented = re.findall(r"endpoint: (https://vpce-\S+)", DOCS.read_text())
    assert documented
    for endpoint in documented:
        write(
            stage, {"aws": {"type": "aws-secrets-manager", "region": "eu-central-1", "endpoint": endpoint}}, "aws:bot#K"
        )
        assert stage.run("validate").stderr == ""
    own = "https://aws.example.com:8443"
    write(stage, {"aws": {"type": "aws-secrets-manager", "endpoint": f"{own}/"}}, "aws:bot#K")
    assert "no credential may be sent" in stage.run("validate").stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", own)
    assert stage.run("validate").stderr == ""


@pytest.mark.finding(
    "M3", before="another spelling of the server overwrites records", now="nothing: records are no places"
)
def test_no_record_is_overwritten_by_a_secret(stage: Stage) -> None:
    """Neither one's own, by another spelling of the server, nor that of another owner."""
    victim = f"{stage.prefix}/records"
    stage.make_keys("bot", "other")
    write(stage, vault(stage), f"v:{stage.prefix}/bot#KEY", name="victim", records={"target": "v", "prefix": victim})
    stage.run("apply", "--yes")
    record = f"secret/data/{victim}/keys/bot"
    before = stage.openbao.call("GET", record)
    spelling = {"w": {"type": "vault", "address": f"{stage.openbao.address}/", "mount": "/secret/"}}
    write(stage, vault(stage) | spelling, f"w:{victim}/keys/bot#document", records={"target": "v", "prefix": victim})
    assert "is below the prefix of the records" in stage.run("apply", "--yes", code=3).stderr
    for field in ("document", "KEY"):
        write(stage, vault(stage) | spelling, f"w:{victim}/keys/bot#{field}")
        stage.edit('"keys": {"bot"', '"keys": {"other"')
        done = stage.run("apply", "--yes", code=None)
        assert done.exit_code != 0
        assert "this path holds a record of keyturn" in done.stdout
    assert stage.openbao.call("GET", record)["data"] == before["data"]
