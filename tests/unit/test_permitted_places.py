"""Which places the environment permits: the list of origins, namespaces and mounts, prefixes, directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keyturn.core.errors import InputError, ManifestError, TargetMisfit
from keyturn.core.origins import Permitted, allowed_origins
from keyturn.targets.base import TargetContext
from keyturn.targets.do_secrets import DoSecretsSettings
from keyturn.targets.documents import refuse_document
from keyturn.targets.files import root_mistakes
from keyturn.targets.local import LocalTarget
from keyturn.targets.permitted_places import NoPlace
from keyturn.targets.vault import VaultSettings, VaultTarget
from tests.unit.test_target_places import VAULT, load

ORIGIN = "https://vault.example.com:8200"


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("vault=https://v", Permitted("vault", "https://v:443")),
        (" vault=https://V:443/ ,", Permitted("vault", "https://v:443")),
        ("vault=https://v#team-a", Permitted("vault", "https://v:443", "team-a")),
        ("vault=https://v#a/b/auth/c/d", Permitted("vault", "https://v:443", "a/b", "c/d")),
        ("vault=https://v/auth/k8s", Permitted("vault", "https://v:443", "", "k8s")),
        ("vault=https://v/#team", Permitted("vault", "https://v:443", "team")),
        ("aws=http://127.0.0.1:5000", Permitted("aws", "http://127.0.0.1:5000")),
        ("my-kind=https://v", Permitted("my-kind", "https://v:443")),
        ("https://v:8200", Permitted("", "https://v:8200")),
    ],
)
def test_an_entry_of_the_list_is_read(text: str, entry: Permitted) -> None:
    """In one form, in which it is also shown."""
    found = allowed_origins({"KEYTURN_ALLOWED_ORIGINS": text})
    assert found == (entry,)
    assert allowed_origins({"KEYTURN_ALLOWED_ORIGINS": str(entry)}) == found


@pytest.mark.parametrize(
    "text",
    [
        "vault=",
        "vault",
        "vault:https://v",
        "Vault=https://v",
        "=https://v",
        "vault==https://v",
        "vault=https://v/v1",
        "vault=https://v?x",
        "vault=https://v#",
        "vault=https://v#/",
        "vault=https://v#a/",
        "vault=https://v#a//b",
        "vault=https://v#..",
        "vault=https://v#a/../b",
        "vault=https://v#a b",
        "vault=https://v#auth/k8s",
        "vault=https://v#a#b",
        "vault=https://v/auth/",
        "vault=https://v/auth/../x",
        "vault=https://v/x/auth/k8s",
        "vault=https://user:pass-word@v",
        "vault=https://v#a/auth/k8s/",
        "vault=https://v;vault=https://w",
        "aws=https://v#a",
        "https://v#a",
        "connect=https://v/auth/k8s",
        "vault=ftp://v",
    ],
)
def test_an_entry_of_another_form_is_refused(text: str) -> None:
    """The whole list then permits nothing; the entry is not repeated."""
    with pytest.raises(InputError, match="KEYTURN_ALLOWED_ORIGINS") as caught:
        allowed_origins({"KEYTURN_ALLOWED_ORIGINS": f"vault=https://good.example.com,{text}"})
    assert "pass-word" not in str(caught.value)


K8S = {"method": "kubernetes", "role": "x"}
OWN = {"VAULT_ADDR": ORIGIN}
EU = {"EU_VAULT_ADDR": ORIGIN}
LISTED = {"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}"}
LISTED_LOGIN = {"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team/auth/k8s"}


def refused(environment: dict[str, str], **settings: object) -> list[str]:
    """Return the settings that are refused."""
    model = VaultSettings.model_validate({"address": ORIGIN, **settings})
    return [mistake.where for mistake in VaultTarget.origin_mistakes(model, environment)]


@pytest.mark.parametrize(
    ("environment", "settings", "where"),
    [
        (OWN, {}, []),
        (OWN, {"auth": K8S}, []),
        (OWN, {"namespace": "team"}, ["namespace"]),
        ({**OWN, "VAULT_NAMESPACE": "/team/"}, {"namespace": "team"}, []),
        ({**OWN, "BAO_NAMESPACE": "team"}, {"namespace": "team"}, []),
        ({**OWN, "VAULT_NAMESPACE": "team"}, {"namespace": "team/more"}, ["namespace"]),
        ({**OWN, "VAULT_NAMESPACE": "team/more"}, {"namespace": "team"}, ["namespace"]),
        ({**OWN, "VAULT_NAMESPACE": "team"}, {}, ["namespace"]),
        (OWN, {"auth": {**K8S, "mount": "k8s"}}, ["auth.mount"]),
        ({**OWN, "VAULT_AUTH_MOUNT": "k8s"}, {"auth": {**K8S, "mount": "k8s"}}, []),
        ({**OWN, "VAULT_AUTH_MOUNT": "k8s"}, {"auth": K8S}, []),
        ({**OWN, "VAULT_AUTH_MOUNT": "k8s"}, {"auth": {**K8S, "mount": "other"}}, ["auth.mount"]),
        ({**OWN, "VAULT_AUTH_MOUNT": "k8s"}, {"auth": {"method": "token"}}, []),
        (OWN, {"mount": "team/secret"}, ["mount"]),
        ({**OWN, "KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team"}, {"mount": "team/secret"}, []),
        ({**OWN, "VAULT_NAMESPACE": "team"}, {"namespace": "team", "mount": "secret"}, []),
        ({**OWN, "VAULT_NAMESPACE": "team"}, {"namespace": "team", "mount": "x/secret"}, ["mount"]),
        (LISTED, {}, []),
        (
            {"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}", "VAULT_NAMESPACE": "team"},
            {"namespace": "team"},
            ["namespace"],
        ),
        ({"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team"}, {}, ["namespace"]),
        ({"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team"}, {"namespace": "team", "auth": K8S}, []),
        (
            {"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team/auth/k8s"},
            {"namespace": "team", "auth": K8S},
            ["auth.mount"],
        ),
        (
            {"KEYTURN_ALLOWED_ORIGINS": f"vault={VAULT}#team/auth/k8s"},
            {"namespace": "team", "auth": {**K8S, "mount": "k8s"}},
            [],
        ),
        ({"KEYTURN_ALLOWED_ORIGINS": f"aws={VAULT}"}, {}, ["address"]),
        ({"KEYTURN_ALLOWED_ORIGINS": VAULT}, {}, ["address"]),
        ({"EU_VAULT_ADDR": ORIGIN}, {"auth": {"env_prefix": "EU_"}}, ["auth.env_prefix"]),
        (
            {"EU_VAULT_ADDR": ORIGIN, "KEYTURN_ALLOWED_PREFIXES": "U_,EU"},
            {"auth": {"env_prefix": "EU_"}},
            ["auth.env_prefix"],
        ),
        ({"EU_VAULT_ADDR": ORIGIN, "KEYTURN_ALLOWED_PREFIXES": "US_, EU_"}, {"auth": {"env_prefix": "EU_"}}, []),
        (
            {"EU_VAULT_ADDR": ORIGIN, "KEYTURN_ALLOWED_PREFIXES": "EU_", "VAULT_NAMESPACE": "team"},
            {"namespace": "team", "auth": {"env_prefix": "EU_"}},
            ["namespace"],
        ),
    ],
)
@pytest.mark.finding(
    "H6", before="namespace, mount and prefix are the manifest's words", now="the environment permits each"
)
def test_a_login_goes_only_where_the_environment_permits_it(
    environment: dict[str, str], settings: dict[str, object], where: list[str]
) -> None:
    """An entry permits one namespace and one mount; a prefix has variables of its own."""
    assert refused(environment, **settings) == where


@pytest.mark.finding("L7", before="a refusal shows the value of a variable", now="the variable's name")
@pytest.mark.parametrize(
    "settings",
    [
        {"auth": {**K8S, "mount": "${KEYTURN_MOUNT}"}},
        {"auth": {**K8S, "mount": "x/${KEYTURN_MOUNT}"}},
        {"mount": "${KEYTURN_MOUNT}/kv"},
        {"mount": "b/${KEYTURN_MOUNT}", "namespace": "nowhere"},
    ],
)
def test_a_refusal_shows_no_value_of_a_variable(settings: dict[str, object]) -> None:
    """Neither in its sentence nor in the line to type."""
    with pytest.raises(ManifestError, match="no credential may be sent to") as caught:
        load({"v": {"type": "vault", "address": VAULT, **settings}})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("listed", "permitted"),
    [
        ("", False),
        ("do-secrets=nyc3/bot", True),
        ("app-platform=*, do-secrets=nyc3/b*", True),
        ("do-secrets=ams3/bot,app-platform=nyc3/bot,do-secrets=nyc3", False),
    ],
)
def test_a_secret_of_the_account_is_permitted_by_its_region_and_name(listed: str, permitted: bool) -> None:
    """The account token reaches every secret of every region, so the environment lists those of a manifest."""
    settings = DoSecretsSettings(region="nyc3", preview=True)
    found = list(settings.delivery_mistakes("bot", "KEY", {"KEYTURN_ALLOWED_PLACES": listed}))
    assert [one.entry for one in found if isinstance(one, NoPlace)] == ([] if permitted else ["do-secrets=nyc3/bot"])


@pytest.mark.parametrize(
    ("path", "field", "where"),
    [("bot/web", "KEY", "path"), ("-bot", "KEY", "path"), ("a b", "KEY", "path"), ("bot", "", "field")],
)
def test_what_cannot_be_a_secret_of_the_account_is_found_without_it(path: str, field: str, where: str) -> None:
    """By `validate`, beside what is not permitted."""
    settings = DoSecretsSettings(region="nyc3", preview=True)
    found = list(settings.delivery_mistakes(path, field, {"KEYTURN_ALLOWED_PLACES": "do-secrets=*"}))
    assert [mistake.where for mistake in found] == [where]


def test_a_directory_is_permitted_by_its_real_path(tmp_path: Path) -> None:
    """Below the manifest's directory, or below a listed one."""
    base, other = tmp_path / "base", tmp_path / "other"
    for folder in (base / "in", other / "in", tmp_path / "other-too"):
        folder.mkdir(parents=True)
    (base / "link").symlink_to(other)
    (tmp_path / "listed").symlink_to(other)

    def ok(root: str, *listed: Path | str) -> bool:
        environment = {"KEYTURN_ALLOWED_ROOTS": os.pathsep.join(map(str, listed))}
        return not list(root_mistakes("root", root, base, environment))

    assert ok(".")
    assert ok("in")
    assert ok("not/there/yet")
    assert ok(str(base / "in"))
    assert not ok("..")
    assert not ok("in/../../other")
    assert not ok("link")
    assert not ok("link/in")
    assert not ok(str(other))
    assert ok(str(other), "/nowhere", other)
    assert ok("link/in", other)
    assert ok(str(other / "in"), tmp_path / "listed")
    assert not ok("../other-too", other)
    assert not ok("../other", "../other")
    assert not ok("../other", "other")


@pytest.mark.finding("M2", before="records in a directory of another user", now="refused, nothing read")
def test_a_directory_of_records_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is this user, or the one who owns the manifest's directory as well."""
    folder = tmp_path / ".keyturn"
    folder.mkdir()
    target = LocalTarget(TargetContext("records", {}, base=str(tmp_path)))
    assert target.read_document("keyturn/keys/bot").text is None
    owner = folder.stat()
    monkeypatch.setattr(Path, "lstat", lambda _: os.stat_result((*owner[:4], owner.st_uid + 1, *owner[5:10])))
    with pytest.raises(TargetMisfit, match=r"cannot be trusted.*belongs to another user"):
        target.read_document("keyturn/keys/bot")


@pytest.mark.parametrize(
    ("value", "document"),
    [
        ('{"schema": 1, "owner": "me", "key": "bot", "digest_key": ""}', True),
        (' {"uuid":"1","schema":2,"owner":"","key":"x"}', True),
        ('{"schema": 1, "owner": "me"}', False),
        ('["schema", "owner", "key"]', False),
        ('{"a": {"schema": 1, "owner": "me", "key": "bot"}}', False),
        ('"schema" "owner" "key"', False),
        ("[" * 5000 + '"schema" "owner" "key"', False),
        ("sk-do-secret", False),
        (None, False),
        ({"schema": 1, "owner": "me", "key": "bot"}, False),
    ],
)
def test_a_keyturn_document_is_no_place_for_a_secret(value: dict[str, object] | str | None, document: bool) -> None:
    """A record and a claim are told by the fields that both have."""
    if document:
        with pytest.raises(TargetMisfit, match="holds a record of keyturn"):
            refuse_document(value, "here")
    else:
        refuse_document(value, "here")
