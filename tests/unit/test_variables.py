"""The variables that keyturn reads are known by name; one that is not read is told with the one that may be meant."""

from __future__ import annotations

import re
from pathlib import Path

import keyturn
from keyturn.core.variables import FAMILIES, GIVEN, OWN, account_token, strange

SOURCES = Path(keyturn.__file__).parent
NOT_READ = {"KEYTURN_COMPLETE", "KEYTURN_NAME", "KEYTURN_PENDING", "KEYTURN_VAULT"}
"""A part of the variable by which shells complete, and placeholders, variables and labels of other programs."""


def test_every_variable_that_the_code_names_is_known() -> None:
    """Otherwise `keyturn doctor` would take it for a misspelt one."""
    text = "".join(file.read_text(encoding="utf-8") for file in SOURCES.rglob("*.py"))
    named = set(re.findall(r"KEYTURN_[A-Z_]*[A-Z]", text)) - NOT_READ
    unknown = {
        name
        for name in named
        if name not in (*OWN, *GIVEN) and not name.startswith(tuple(one[:-1] for one in FAMILIES))
    }
    assert unknown == set()


def test_the_account_token_is_in_the_first_variable_that_is_set() -> None:
    """Blanks around it do not count, and a variable with nothing else is not set."""
    both = {"DIGITALOCEAN_TOKEN": " first\n", "DIGITALOCEAN_ACCESS_TOKEN": "second"}
    assert account_token(both) == ("DIGITALOCEAN_TOKEN", "first")
    assert account_token({**both, "DIGITALOCEAN_TOKEN": " "}) == ("DIGITALOCEAN_ACCESS_TOKEN", "second")
    assert account_token({"DIGITALOCEAN_TOKEN": ""}) == ("", "")


def test_what_is_set_and_not_read() -> None:
    """A near name is meant; a variable of a manifest or of a family is read; one of another program has its own."""
    environment = {
        "KEYTURN_POLICI": "x",
        "KEYTURN_SOMETHING": "x",
        "KEYTURN_VAULT": "x",
        "KEYTURN_NOTIFY_OPS_URL": "x",
        "KEYTURN_RECORD_KEY": "x",
        "BAO_TOKEN": "x",
        "BAO_ADDR": "x",
        "VAULT_ADDR": "x",
        "HOME": "x",
    }
    assert list(strange(environment, {"KEYTURN_VAULT"})) == [
        ("BAO_TOKEN", "VAULT_TOKEN"),
        ("KEYTURN_POLICI", "KEYTURN_POLICY"),
        ("KEYTURN_SOMETHING", ""),
    ]
