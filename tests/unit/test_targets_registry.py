"""How targets are found, and what is said where one is missing."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from keyturn.core.errors import InputError
from keyturn.targets import registry
from keyturn.targets.base import TargetContext
from keyturn.targets.vault import VaultTarget

CONTEXT = TargetContext(
    name="v", settings={"address": "https://v.example.com"}, environment={"VAULT_ADDR": "https://v.example.com"}
)


def test_installed_kinds_are_found_by_entry_point() -> None:
    """The package's own ones are there."""
    assert "vault" in registry.kinds()
    assert registry.find("vault") is VaultTarget
    assert isinstance(registry.make("vault", CONTEXT), VaultTarget)


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    """A typing error is easily fixed."""
    with pytest.raises(InputError, match=r"'vualt'.*vault.*Did you mean vault\?"):
        registry.find("vualt")


@pytest.mark.parametrize("make", [registry.find, lambda kind: registry.make(kind, CONTEXT)])
def test_a_missing_library_is_answered_with_what_to_type(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the libraries that an extra of keyturn brings; for others their name."""
    assert callable(make)
    entries = {
        "ours": (EntryPoint("ours", "boto3_is_missing:Target", registry.GROUP),),
        "theirs": (EntryPoint("theirs", "someone.elses:Target", registry.GROUP),),
    }
    monkeypatch.setattr(registry, "_entries", lambda: entries)
    monkeypatch.setitem(registry.EXTRAS, "boto3_is_missing", "aws")
    with pytest.raises(InputError, match=r"Install keyturn\[aws\],"):
        make("ours")
    with pytest.raises(InputError, match="Install someone"):
        make("theirs")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("keyturn.targets.vault:Nothing", "AttributeError"),
        ("keyturn.targets.vault:VaultTarget", "it is not a class with kind = 'mine'"),
        ("keyturn.targets.vault:check_path", "it is not a class"),
        ("keyturn.core.secret:Secret", "it is not a class"),
    ],
)
def test_a_plug_in_that_is_no_target_is_named(value: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made for another version of keyturn, or wrongly registered: the words say where it comes from."""
    monkeypatch.setattr(registry, "_entries", lambda: {"mine": (EntryPoint("mine", value, registry.GROUP),)})
    with pytest.raises(InputError, match=f"type mine cannot be used.*{why}.*Update or uninstall keyturn"):
        registry.find("mine")


def test_a_plug_in_that_does_not_say_where_its_credential_may_go_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a manifest could send that anywhere."""
    silent = type("Silent", (), {**vars(VaultTarget), "kind": "mine", "origin_mistakes": None})
    monkeypatch.setattr("keyturn.targets.vault.Silent", silent, raising=False)
    entry = EntryPoint("mine", "keyturn.targets.vault:Silent", registry.GROUP)
    monkeypatch.setattr(registry, "_entries", lambda: {"mine": (entry,)})
    with pytest.raises(InputError, match=r"type mine cannot be used.*origin_mistakes"):
        registry.find("mine")


def test_no_package_takes_the_place_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that offer one kind are refused, for the secrets would go to whichever comes first."""
    ours = EntryPoint("vault", "keyturn.targets.vault:VaultTarget", registry.GROUP)
    theirs = EntryPoint("vault", "evil_vault:Target", registry.GROUP)
    monkeypatch.setattr(registry, "_entries", lambda: {"vault": (theirs, ours)})
    with pytest.raises(InputError, match=r"several packages offer .* vault .*evil_vault.*Uninstall"):
        registry.make("vault", CONTEXT)
    monkeypatch.setattr(registry, "_entries", lambda: {"vault": (ours, ours)})
    assert registry.find("vault") is VaultTarget


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({}, "address"),
        ({"address": "https://v.example.com", "token": "hvs.literal"}, "token: Extra inputs"),
        ({"address": "https://v.example.com", "mount": "../sys"}, "mount"),
        ({"address": "https://v.example.com", "namespace": "a//b"}, "namespace"),
        ({"address": "https://v.example.com", "auth": {"method": "ldap"}}, r"auth\.method"),
        ({"address": "https://v.example.com", "auth": {"method": "kubernetes"}}, "needs a role"),
        ({"address": "https://v.example.com", "auth": {"role": "r"}}, "has no role"),
        ({"address": "https://v.example.com", "auth": {"mount": "a/../../sys"}}, r"auth\.mount"),
        ({"address": "https://v.example.com", "auth": {"env_prefix": "eu-"}}, r"auth\.env_prefix"),
    ],
)
def test_settings_that_do_not_fit_are_named_without_their_values(settings: dict[str, object], match: str) -> None:
    """Each mistake with its field; a literal credential is not repeated."""
    with pytest.raises(InputError, match=match) as caught:
        VaultTarget(TargetContext(name="v", settings=settings, environment=CONTEXT.environment))
    assert "hvs.literal" not in str(caught.value)
