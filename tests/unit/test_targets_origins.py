"""Where a target's credential may go."""

from __future__ import annotations

import pytest

from keyturn.core.errors import InputError
from keyturn.targets.base import TargetContext
from keyturn.targets.origins import check_origin


def check(address: str, own: str = "", *allowed: str) -> str:
    """Check an address against VAULT_ADDR and the allowed origins."""
    environment = {"VAULT_ADDR": own} if own else {}
    context = TargetContext(name="v", settings={}, environment=environment, allowed_origins=frozenset(allowed))
    return check_origin(address, "VAULT_ADDR", context)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://vault.example.com", "https://vault.example.com:443/"),
        ("https://VAULT.example.com:8200/", "https://vault.example.com:8200"),
        ("http://127.0.0.1:8200", "http://127.0.0.1:8200/v1"),
        ("http://localhost:8200", "http://localhost:8200"),
        ("http://[::1]:8200", "http://[::1]:8200"),
    ],
)
def test_the_variable_s_own_origin_may_have_it(address: str, own: str) -> None:
    """However the two are spelled."""
    assert check(address, own).startswith(address[:4])


def test_an_allowed_origin_may_have_it() -> None:
    """With or without the vendor's variable."""
    assert check("https://eu.example.com", "", "https://eu.example.com:443") == "https://eu.example.com:443"
    assert check("https://eu.example.com", "https://us.example.com", "https://eu.example.com:443")


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://evil.example.com", "https://vault.example.com"),
        ("https://vault.example.com:8201", "https://vault.example.com:8200"),
        ("https://vault.example.com.evil.example.com", "https://vault.example.com"),
        ("https://vault.example.com", "http://localhost"),
        ("https://vault.example.com", ""),
    ],
)
def test_any_other_origin_is_refused(address: str, own: str) -> None:
    """Exit code 3; the words say what to set."""
    with pytest.raises(InputError, match=r"no credential may go to.*VAULT_ADDR.*KEYTURN_ALLOWED_ORIGINS") as caught:
        check(address, own)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "address",
    [
        "http://vault.example.com",
        "http://127.0.0.1.example.com",
        "https://user:pass-word@vault.example.com",
        "https://vault.example.com/v1",
        "https://vault.example.com?x=pass-word",
        "https://vault.example.com#x",
        "https://vault.example.com\\@evil.example.com",
        "ftp://vault.example.com",
        "vault.example.com:8200",
        "https://",
        "",
        "https://[::1",
        "https://vault.example.com:99999",
    ],
)
def test_an_address_that_is_no_bare_origin_is_refused(address: str) -> None:
    """Even where VAULT_ADDR says the same; what may be a password in it is not repeated."""
    with pytest.raises(InputError) as caught:
        check(address, address)
    assert "pass-word" not in str(caught.value)
