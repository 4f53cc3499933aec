"""Fields that are not this key's: a record that names them, or a secret that is in them, makes them no delivery."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.security.test_records import BOT, Vault

if TYPE_CHECKING:
    from tests.cli.conftest import Stage

FIELD = "MODEL_ACCESS_KEY"
PASSWORD = "pg-Sup3rSecretDbPassw0rd"


@pytest.fixture
def vault(stage: Stage) -> Vault:
    """Both keys at rest."""
    stage.make_keys()
    stage.run("apply", "--yes")
    return Vault(stage)


def _put(stage: Stage, path: str, value: str) -> None:
    """Write a field as its owner does."""
    stage.openbao.call("POST", f"secret/data/{stage.prefix}/{path}", {"data": {FIELD: value}})


def _more(stage: Stage, path: str) -> None:
    """Let the entry of the bot have one more delivery."""
    first = f"path: {stage.prefix}/checkout"
    text = stage.manifest.read_text()
    (line,) = (line for line in text.splitlines() if first in line)
    more = line.replace(first, f"path: {stage.prefix}/{path}")
    stage.manifest.write_text(text.replace(line, f"{line}\n{more}"))


def _held(stage: Stage, path: str) -> str | None:
    found: Any = stage.openbao.call("GET", f"secret/data/{stage.prefix}/{path}")
    value = found["data"]["data"].get(FIELD)
    return value if value is None else str(value)


def _listed(stage: Stage, path: str) -> dict[str, Any]:
    return {"delivery": {"target": "vault", "path": f"{stage.prefix}/{path}", "field": FIELD}}


@pytest.mark.finding(
    "B5",
    before="a record that named a field got it overwritten",
    now="exit 4: a secret of the key was never read there",
)
@pytest.mark.parametrize(
    ("value", "command"), [(PASSWORD, ("rotate", BOT, "--yes")), ("sk-do-of-another-team", ("apply", "--yes"))]
)
def test_a_record_that_names_a_field_does_not_make_it_ours(
    stage: Stage, vault: Vault, value: str, command: tuple[str, ...]
) -> None:
    """Neither copied over by an apply nor by a rotation; the operator is asked."""
    _put(stage, "payments", value)
    vault.forge(lambda record: record["deliveries"].append(_listed(stage, "payments")))
    _more(stage, "payments")
    said = stage.run(*command, code=4).stdout
    assert "--take-over" in said
    assert _held(stage, "payments") == value
    stage.run("apply", "--yes", "--take-over")
    assert _held(stage, "payments") == stage.delivered()


@pytest.mark.finding(
    "B5", before="a record that named a field got it emptied", now="only a secret of the key is removed"
)
def test_a_record_that_names_a_field_does_not_get_it_emptied(stage: Stage, vault: Vault) -> None:
    """The entry never had it, so it is to be cleaned: but it holds no secret of the key."""
    _put(stage, "payments", PASSWORD)
    vault.forge(lambda record: record["deliveries"].append(_listed(stage, "payments")))
    stage.run("apply", "--yes", code=None)
    assert _held(stage, "payments") == PASSWORD


@pytest.mark.finding(
    "B6",
    before="a field that was empty when it was declared was ours for ever",
    now="exit 4 if another team fills it first",
)
def test_a_field_that_another_team_fills_before_the_first_delivery_stays(stage: Stage) -> None:
    """The key is declared and waits for API keys; meanwhile another team uses the field."""
    stage.run("apply", "--yes", code=1)
    _put(stage, "checkout", PASSWORD)
    stage.make_keys()
    said = stage.run("apply", "--yes", code=4).stdout
    assert "[field-in-use]" in said
    assert _held(stage, "checkout") == PASSWORD
    assert _held(stage, "report") not in {None, PASSWORD}
    stage.openbao.call("POST", f"secret/data/{stage.prefix}/checkout", {"data": {"OTHER": "1"}})
    stage.run("apply", "--yes")
    assert stage.alive(str(stage.delivered()))


def test_drift_of_a_delivery_that_was_ours_heals_as_before(stage: Stage, vault: Vault) -> None:
    """Also if it holds no key at all: a secret of this key was read there once."""
    vault.forge(lambda record: record["deliveries"][0].pop("over", None))  # as earlier versions wrote it
    _put(stage, "checkout", "oops")
    stage.run("apply", "--yes", "--verify")
    assert stage.alive(str(stage.delivered()))


def test_what_an_operator_agreed_to_replace_is_this_value_only(stage: Stage, vault: Vault) -> None:
    """A record that copies the agreement for another field, or that makes one up, agrees to nothing."""
    _put(stage, "payments", PASSWORD)
    forged = {**_listed(stage, "payments"), "over": "0" * 16}
    vault.forge(lambda record: record["deliveries"].append(forged))
    _more(stage, "payments")
    stage.run("apply", "--yes", code=4)
    assert _held(stage, "payments") == PASSWORD


@pytest.mark.finding(
    "B1",
    before="`existing` took a secret out of another key's delivery, and the next manifest copied or removed it",
    now="exit 4: another key of these records has it",
)
@pytest.mark.parametrize(
    ("command", "copy"),
    [(("plan",), False), (("apply", "--yes"), True), (("adopt", "thief", "--yes"), False)],
    ids=["plan", "apply-a-copy", "adopt"],
)
def test_existing_takes_nothing_out_of_the_delivery_of_another_key(
    stage: Stage, vault: Vault, command: tuple[str, ...], copy: bool
) -> None:
    """Neither by the field, nor by the secret if it is somewhere else as well."""
    stage.sandbox.panel_create("thief")
    path = "copied" if copy else "checkout"
    if copy:
        _put(stage, path, str(stage.delivered()))
    before = stage.delivered(), vault.text(f"keys/{BOT}")
    stage.manifest.write_text(
        json.dumps(
            {
                "apiVersion": "keyturn/v1",
                "name": "stranger",
                "targets": {"v": {"type": "vault", "address": "${KEYTURN_VAULT}", "mount": "secret"}},
                "records": {"target": "v", "prefix": f"{stage.prefix}/records"},
                "keys": {
                    "thief": {
                        "name": "thief",
                        "adopt": {"secret": "existing"},
                        "deliver": [{"target": "v", "path": f"{stage.prefix}/{path}", "field": FIELD}],
                        "smoke": {"model": "llama3.3-70b-instruct"},
                    }
                },
            }
        )
    )
    answer = stage.run(*command, code=4)
    assert "[claimed]" in answer.stdout + answer.stderr
    assert f"the key '{BOT}' of 'quickstart'" in answer.stdout + answer.stderr
    assert (stage.delivered(), vault.text(f"keys/{BOT}")) == before
