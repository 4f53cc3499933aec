"""Names in resources: none leads to another object than the one that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keyturn.core.errors import InputError
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache
from keyturn.kube.resources import (
    ACCOUNT,
    CLUSTER_ACCOUNT,
    KEY,
    AccountResource,
    ClusterAccountResource,
    KeyResource,
    read,
)
from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.rest import Endpoint
from tests.support.custom_resources import account, cluster_account, cluster_account_object, key, key_object

CLIMBS = "../../keyturn-system/secrets/do-token"
ELSEWHERE = [CLIMBS, "..", ".", "a?b", "a#b", "a%2fb", "a\\b", "a\nb", "a\n", "a\x00b", ""]
WRONG = [*ELSEWHERE, "a/b", "a..b", "Team", "-a", "a-"]
GOOD = ["team", "a", "a.b-c.d", "0"]


class Silent(Login):
    """A login that must not be asked."""

    def token(self, refused: str = "") -> str:
        """Fail."""
        pytest.fail(f"a request was under way {refused}")


def own(name: str, token_key: str = "token") -> dict[str, Any]:
    """Return a KeyturnAccount that names a Secret."""
    metadata = {"name": "own", "namespace": "payments"}
    return {"kind": ACCOUNT, "metadata": metadata, "spec": {"tokenSecretRef": {"name": name, "key": token_key}}}


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    """Of an account, of a Secret, and of its namespace; the error names the field, not the value."""
    with pytest.raises(InputError, match=r"^spec\.accountRef\.name: "):
        read(KeyResource, key_object(accountRef={"name": name}))
    with pytest.raises(InputError, match=r"^spec\.deliver\.0\.secret\.name: "):
        read(KeyResource, key_object(deliver=[{"secret": {"name": name}}]))
    with pytest.raises(InputError, match=r"^spec\.tokenSecretRef\.name: "):
        read(AccountResource, own(name))
    for place in ({"namespace": "keyturn-system", "name": name}, {"namespace": name, "name": "do-token"}):
        with pytest.raises(InputError, match=r"^spec\.tokenSecretRef\.name(space)?: "):
            read(ClusterAccountResource, cluster_account_object(tokenSecretRef=place))


@pytest.mark.parametrize("found", ["a/b", "a\n", "a b", ""])
def test_a_key_of_a_secret_that_is_none_is_refused(found: str) -> None:
    """Of a token and of a delivery."""
    with pytest.raises(InputError, match=r"tokenSecretRef\.key: "):
        read(AccountResource, own("do-token", found))
    with pytest.raises(InputError, match=r"secret\.key: "):
        read(KeyResource, key_object(deliver=[{"secret": {"name": "a", "key": found}}]))


@pytest.mark.parametrize("name", GOOD)
def test_names_of_kubernetes_are_read(name: str) -> None:
    """A namespace has no dot."""
    assert key(accountRef={"name": name}).spec.account_ref.name == name
    assert account(tokenSecretRef={"name": name}).spec.token_secret_ref.name == name
    assert cluster_account(tokenSecretRef={"namespace": "a-0", "name": name}).spec.token_secret_ref.name == name
    with pytest.raises(InputError, match="namespace"):
        cluster_account(tokenSecretRef={"namespace": "a.b", "name": name})


def test_what_is_stored_already_is_named_and_stops_nothing() -> None:
    """A definition of an earlier version let it in. The others of its account are read, and it may go."""
    heard: list[object] = []
    cache = Cache(heard.append)
    wrong, climbs = ("payments", "wrong"), ("payments", "own")
    cache.key(wrong, key_object("wrong", accountRef={"name": "a\nb"}))
    cache.account(ACCOUNT, climbs, own(CLIMBS))
    assert heard == []
    assert cache.owners() == frozenset()
    assert "spec.accountRef.name" in cache.unread[KEY, wrong]
    assert "spec.tokenSecretRef.name" in cache.unread[ACCOUNT, climbs]
    cache.account(CLUSTER_ACCOUNT, ("", "team"), cluster_account_object())
    cache.key(("payments", "bot"), key_object())
    assert list(cache.view("team").keys) == [("payments", "bot")]
    cache.key(wrong, None)
    cache.account(ACCOUNT, climbs, None)
    assert cache.unread == {}


@pytest.mark.parametrize("name", [*ELSEWHERE, "a b", "é"])
def test_a_path_that_leads_elsewhere_is_never_sent(name: str) -> None:
    """Whatever asked for it: not even the login is asked for a token."""
    server = Server(Endpoint("http://127.0.0.1:9", "", 1), Silent(Context("x", {}, {}, Path()), {}, 1), "cluster")
    for one in (("payments", name), (name, "do-token")):
        with pytest.raises(InputError, match="this name is not one of Kubernetes") as caught:
            Api(server).token(one, "token")
        assert "\n" not in str(caught.value)
