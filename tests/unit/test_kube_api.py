"""Which values of a Secret are taken for an account token."""

from __future__ import annotations

import base64

import pytest

from keyturn.core.errors import CredentialError
from keyturn.core.secret import Secret
from keyturn.kube.api import Api
from keyturn.targets.kubernetes_server import Answer, Request, Server
from keyturn.targets.servers import Action

PLACE = ("payments", "do-token")
TOKEN = "dop_v1_" + "0f" * 32


class One(Server):
    """A server that has one Secret, with one value."""

    def __init__(self, value: bytes) -> None:
        self._data = {"token": base64.b64encode(value).decode()}

    def ask(self, action: Action, request: Request) -> Answer:
        """Return it."""
        del action, request
        return Answer(200, {"kind": "Secret", "data": self._data})


@pytest.mark.parametrize("value", [TOKEN, f"{TOKEN}\n", f" {TOKEN} "])
def test_an_account_token_is_read(value: str) -> None:
    """Without the line break that an editor leaves."""
    assert Api(One(value.encode())).token(PLACE, "token") == Secret(TOKEN)


@pytest.mark.parametrize(
    "value",
    [
        "hunter2",
        "0f" * 32,
        "sk-do-" + "x" * 64,
        "doo_v1_" + "0f" * 32,
        "dop_v1_ 0f",
        f"password {TOKEN}",
        f"DIGITALOCEAN_TOKEN={TOKEN}",
        f"{TOKEN}\nPASSWORD=hunter2",
    ],
)
def test_no_other_value_is_sent_as_one(value: str) -> None:
    """It could be the password of anything. The error holds no part of it, nor do its causes."""
    with pytest.raises(CredentialError, match="this is not an account token") as caught:
        Api(One(value.encode())).token(PLACE, "token")
    assert caught.value.where == "secret payments/do-token"
    assert value not in f"{caught.value!r} {caught.value} {caught.value.__context__!r}"


@pytest.mark.parametrize(("value", "key"), [(b"\xff\xfe", "token"), (b"", "token"), (TOKEN.encode(), "other")])
def test_what_is_not_there_is_named(value: bytes, key: str) -> None:
    """By its key."""
    with pytest.raises(CredentialError, match="there is no account token"):
        Api(One(value)).token(PLACE, key)
