"""To which cluster a credential may go: the pod's own, or one that a permitted context of the kubeconfig leads to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keyturn.core.errors import CredentialError, InputError
from keyturn.targets import kubernetes_login
from keyturn.targets.base import NoConsent
from keyturn.targets.kubernetes_login import IN_CLUSTER, login, login_mistakes, server_of

HERE = "https://here.example.com:6443"
THERE = "https://there.example.com"
TOKEN = "sixteen-characters"


def config(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a JSON value
    """A kubeconfig with the contexts `here`, which is the current one, and `there`."""
    return {
        "current-context": "here",
        "clusters": [
            {"name": "one", "cluster": {"server": HERE, **changes.pop("cluster", {})}},
            {"name": "two", "cluster": {"server": f"{THERE}/"}},
            {"name": "odd", "cluster": {"server": f"{THERE}/k8s/clusters/c-1"}},
        ],
        "users": [{"name": "me", "user": changes.pop("user", {"token": TOKEN})}],
        "contexts": [
            {"name": "here", "context": {"cluster": "one", "user": "me"}},
            {"name": "there", "context": {"cluster": "two", "user": "me"}},
            {"name": "odd", "context": {"cluster": "odd", "user": "me"}},
        ],
        **changes,
    }


def environment(folder: Path, *configs: object, **more: str) -> dict[str, str]:
    """The variables of an operator with these kubeconfigs."""
    files = []
    for number, whole in enumerate(configs or (config(),)):
        files.append(folder / f"config-{number}")
        files[-1].write_text(whole if isinstance(whole, str) else json.dumps(whole))
    return {"KUBECONFIG": ":".join(map(str, files)), **more}


def refused(address: str, known: dict[str, str]) -> InputError:
    """The one mistake of this address."""
    (mistake,) = login_mistakes("address", address, known)
    assert mistake.where == "address"
    return mistake


def test_the_current_context_leads_to_its_own_server(tmp_path: Path) -> None:
    """And its token goes there."""
    known = environment(tmp_path)
    assert list(login_mistakes("address", HERE, known)) == []
    assert login(HERE, known, 5).token() == TOKEN
    assert server_of(HERE, known) == HERE
    assert TOKEN not in repr(login(HERE, known, 5))


def test_another_cluster_of_the_operator_needs_consent(tmp_path: Path) -> None:
    """The refusal names the context and the line to type."""
    known = environment(tmp_path)
    mistake = refused(THERE, known)
    assert isinstance(mistake, NoConsent)
    assert mistake.evidence == f"here leads to {HERE}"
    assert mistake.remedy == "If it is right, type: export KEYTURN_ALLOWED_CONTEXTS='there'"
    known["KEYTURN_ALLOWED_CONTEXTS"] = "elsewhere, there"
    assert list(login_mistakes("address", THERE, known)) == []
    assert login(THERE, known, 5).token() == TOKEN


def test_a_stranger_gets_nothing(tmp_path: Path) -> None:
    """No context leads to an address of a stranger, nor to a path behind a known host."""
    known = environment(tmp_path, KEYTURN_ALLOWED_CONTEXTS="there,odd")
    assert isinstance(refused("https://stranger.example.com", known), NoConsent)
    assert isinstance(refused("https://here.example.com", known), NoConsent)
    assert not isinstance(refused("https://here.example.com:6443/k8s", known), NoConsent)
    assert not isinstance(refused("http://127.0.0.1:6443", known), NoConsent)
    assert not isinstance(refused("https://me:secret@here.example.com", known), NoConsent)


def test_without_a_kubeconfig_there_is_no_credential() -> None:
    """The file below the home directory is not read unasked."""
    mistake = refused(HERE, {"HOME": "/root"})
    assert isinstance(mistake, NoConsent)
    assert "KUBECONFIG is not set" in str(mistake)


@pytest.mark.parametrize("text", ["", "- list", "a: [", "{", "\x00", "a: &a [*a]", "x" * (2 << 20)])
def test_a_damaged_kubeconfig_is_one_mistake(tmp_path: Path, text: str) -> None:
    """Whatever it holds, and without its text."""
    assert isinstance(refused(HERE, environment(tmp_path, text)), NoConsent)


def test_a_kubeconfig_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A directory, and one that is missing."""
    for file in (tmp_path, tmp_path / "missing"):
        assert "cannot be read" in str(refused(HERE, {"KUBECONFIG": str(file)}))


def test_of_several_files_the_first_entry_counts(tmp_path: Path) -> None:
    """As for kubectl: neither the current context nor an entry is replaced by a later file."""
    second = config(user={"token": "of-the-second"}, **{"current-context": "there"})
    known = environment(tmp_path, config(), second)
    assert login(HERE, known, 5).token() == TOKEN
    assert isinstance(refused(THERE, known), NoConsent)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cluster": {"insecure-skip-tls-verify": True}}, "insecure-skip-tls-verify"),
        ({"cluster": {"proxy-url": "http://proxy"}}, "proxy-url"),
        ({"cluster": {"tls-server-name": "other"}}, "tls-server-name"),
        ({"user": {"token": TOKEN, "as": "admin"}}, "as"),
        ({"user": {"username": "me", "password": "secret"}}, "username"),
    ],
)
def test_what_is_not_supported_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    """Ignoring it would send a credential in another way than the operator asked for."""
    with pytest.raises(InputError, match=f"does not support {named}"):
        login(HERE, environment(tmp_path, config(**changes)), 5)


def test_the_token_of_a_file_is_read_again_if_it_is_refused(tmp_path: Path) -> None:
    """The kubelet and login tools renew it; the path is relative to the kubeconfig."""
    (tmp_path / "token").write_text("first\n")
    found = login(HERE, environment(tmp_path, config(user={"tokenFile": "token"})), 5)
    assert found.token() == "first"
    (tmp_path / "token").write_text("second\n")
    assert found.token() == "first"
    assert found.token(refused="first") == "second"


@pytest.mark.parametrize("user", [{}, {"token": ""}, {"token": "two words"}, {"tokenFile": "missing"}, {"token": "ä"}])
def test_a_login_without_a_credential_is_told(tmp_path: Path, user: dict[str, str]) -> None:
    """By the name of the context, without the value."""
    with pytest.raises(CredentialError, match="the context 'here' of KUBECONFIG") as caught:
        login(HERE, environment(tmp_path, config(user=user)), 5).token()
    assert "two words" not in str(caught.value)


def test_a_pod_uses_its_own_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It connects to the address that the kubelet names, in brackets if it is one of IPv6."""
    monkeypatch.setattr(kubernetes_login, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text(TOKEN)
    assert isinstance(refused(IN_CLUSTER, {}), NoConsent)
    known = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert list(login_mistakes("address", IN_CLUSTER, known)) == []
    assert server_of(IN_CLUSTER, known) == "https://10.0.0.1:6443"
    assert server_of(IN_CLUSTER, {"KUBERNETES_SERVICE_HOST": "fd00::1"}) == "https://[fd00::1]:443"
    assert login(IN_CLUSTER, known, 5).token() == TOKEN


@pytest.mark.parametrize("part", ["certificate-authority-data", "certificate-authority"])
def test_a_broken_authority_is_one_sentence(tmp_path: Path, part: str) -> None:
    """In base64 or in a file that is missing."""
    found = login(HERE, environment(tmp_path, config(cluster={part: "%%%"})), 5)
    with pytest.raises(InputError, match="a certificate or key cannot be used"):
        found.trust()
