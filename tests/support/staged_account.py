"""An account with one key, as an operator has it, on an API server that is made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from keyturn.core.errors import KeyturnError
from keyturn.core.model import Desired, SlotName, Strategy
from keyturn.core.reasons import Reason
from keyturn.core.results import End, KeyStatus
from keyturn.core.secret import Secret
from keyturn.engine.rounds import Told
from keyturn.kube.account import KubeAccount, Setting
from keyturn.kube.api import Api
from keyturn.kube.cache import Cache
from keyturn.kube.resources import CLUSTER_ACCOUNT
from keyturn.kube.tenants import Name, SecretFacts
from tests.support.custom_resources import IN_POD, UUID, cluster_account_object, key_object

NOW = datetime(2026, 11, 29, 12, 0, 0, tzinfo=UTC)
BOT, TEAM = ("payments", "bot"), ("", "team")
FINALIZER = ["keyturn.dev/keys"]


class FakeApi(Api):
    """Stores what is patched, as the API server would, and counts it."""

    def __init__(self) -> None:
        self.objects: dict[Name, dict[str, Any]] = {}
        self.patches: list[tuple[Name, str]] = []
        self.events: list[str] = []
        self.conflicts = 0
        self.refused: set[Name] = set()

    def facts(self, name: Name) -> SecretFacts | None:
        """Return that there is none."""
        return None

    def token(self, name: Name, key: str) -> Secret:
        """Return a token."""
        return Secret("dop_v1_x")

    def patch(self, kind: str, name: Name, body: Mapping[str, object], part: str = "") -> Mapping[str, object] | None:
        """Merge, and raise the version."""
        if name in self.refused:
            raise KeyturnError("could not write modelaccesskeys", evidence="status 422")
        if self.conflicts:
            self.conflicts -= 1
            return None
        found = self.objects[name]
        wanted = body.get("metadata", {})
        assert isinstance(wanted, dict)
        if wanted.get("resourceVersion", found["metadata"]["resourceVersion"]) != found["metadata"]["resourceVersion"]:
            return None
        self.patches.append((name, part))
        merged = _merged(found, body)
        merged["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)
        self.objects[name] = merged
        return merged

    def event(self, namespace: str, body: Mapping[str, object]) -> None:
        """Note its reason."""
        self.events.append(str(body["reason"]))


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(below)
    for name, value in above.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name, {}), value) if isinstance(value, dict) else value
    return found


class Stage:
    """An account with one key, as an operator has it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.cache, self.api = Cache(lambda _: None), FakeApi()
        self.cache.namespace(("", "payments"), {"metadata": {"name": "payments"}})
        self.put(TEAM, cluster_account_object())
        self.put(BOT, key_object())
        setting = Setting(IN_POD, "keyturn-system", "https://kubernetes.default.svc", "pod-a", lambda: NOW, self.say)
        self.held = True
        self.account = KubeAccount("team", self.cache, self.api, setting, lambda: self.held)

    def say(self, text: str) -> None:
        """Note it."""
        self.said.append(text)

    def put(self, name: Name, whole: dict[str, Any], **metadata: object) -> None:
        """Store an object, and let the watch tell of it."""
        version = int(
            self.api.objects.get(name, {"metadata": {"resourceVersion": "10"}})["metadata"]["resourceVersion"]
        )
        whole["metadata"] |= {"uid": f"uid-{name[1]}", "resourceVersion": str(version + 1), **metadata}
        self.api.objects[name] = whole
        self.heard(name)

    def change(self, name: Name, **metadata: object) -> None:
        """Change the metadata of an object."""
        found = self.api.objects[name]
        self.put(name, {**found, "metadata": {**found["metadata"]}}, **metadata)

    def heard(self, name: Name) -> None:
        """Let the watch tell of an object."""
        if name == TEAM:
            self.cache.account(CLUSTER_ACCOUNT, name, self.api.objects[name])
        else:
            self.cache.key(name, self.api.objects[name])

    def desired(self) -> Desired:
        """Translate."""
        return self.account.desired()

    def tell(self, *keys: KeyStatus, **more: Any) -> None:  # noqa: ANN401 - fields of Told
        """Translate, and tell of a round."""
        self.desired()
        self.account.tell(Told(NOW, NOW, keys, **more))

    def finalizers(self) -> object:
        """Return those of the key."""
        return self.api.objects[BOT]["metadata"].get("finalizers", [])


def shown(code: Reason = Reason.AT_REST, why: str = "", **more: Any) -> KeyStatus:  # noqa: ANN401 - fields of KeyStatus
    """Return the status of the key, which has an API key."""
    end = End(code, why)
    base: dict[str, Any] = {
        "live": SlotName.A,
        "uuids": ((SlotName.A, UUID),),
        "generation": 1,
        "conditions": (end,),
    }
    return KeyStatus("payments.bot", "payments-bot", end.condition, why, Strategy.IN_PLACE, code, **{**base, **more})
