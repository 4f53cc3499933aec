"""Who works on an account: a Lease of Kubernetes, by the rules of client-go's leader election.

It saves requests, and nothing else depends on it: that no key is minted twice is the work of the records, whose leases
hold also between an operator and a command line. A holder that was paused and wakes up late begins nothing more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from keyturn.core.errors import KeyturnError
from keyturn.targets.base import unguarded
from keyturn.targets.kubernetes_server import Answer, Request, Server
from keyturn.targets.servers import Action

GROUP = "coordination.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. `lasts`: others wait so long for a sign of life. `renew`: the holder stops so long after its last.

    `retry` is between two tries. `renew` is shorter than `lasts`, so there are never two holders, if clocks run alike.
    """

    lasts: int = 15
    renew: float = 10.0
    retry: float = 2.0


class Lease:
    """One Lease. `turn` is for one thread at a time; `held` and `release` for any."""

    def __init__(
        self,
        server: Server,
        place: tuple[str, str],
        identity: str,
        *,
        uptime: Callable[[], float],
        now: Callable[[], datetime],
        timing: Timing = Timing(),
    ) -> None:
        """`place` is namespace and name. `identity` is this process's own; `uptime` counts seconds, also in sleep."""
        self._server, self._identity, self._timing = server, identity, timing
        self._namespace, self._name = place
        self._uptime, self._now = uptime, now
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._over = False
        self._until = float("-inf")
        self._seen: tuple[str, float] = ("", float("-inf"))
        self.trouble = ""
        """Why the last try failed; empty if it was answered."""

    def held(self) -> bool:
        """Tell whether it is ours, and was renewed recently enough."""
        with self._lock:
            return self._uptime() < self._until

    def turn(self) -> float:
        """Take the Lease if it is free, renew it if it is ours; return the seconds until the next try.

        Raises nothing: others depend on the same thread. After `release` it does nothing.
        """
        with self._asking:
            if not self._over:
                self._try()
        return self._timing.retry

    def _try(self) -> None:
        asked = self._uptime()
        ours: bool | None = None
        try:
            ours = self._take()
            self.trouble = ""
        except Exception as error:  # noqa: BLE001 - told in `trouble`
            self.trouble = _told(error)
        with self._lock:
            if ours:
                self._until = asked + self._timing.renew
            elif ours is False:
                self._until = float("-inf")

    def release(self) -> None:
        """Give it up for good, if it is ours, so that another one need not wait.

        Errors are only noted: then it ends later. A `turn` under way ends first.
        """
        with self._asking:
            self._over = True
            with self._lock:
                held, self._until = self._uptime() < self._until, float("-inf")
            if held:
                self._give_up()

    def _give_up(self) -> None:
        try:
            found = self._read()
            if found and _holder(found) == self._identity:
                self._put(found, {**_spec(found), "holderIdentity": "", "leaseDurationSeconds": 1})
        except Exception as error:  # noqa: BLE001 - told in `trouble`
            self.trouble = _told(error)

    def _take(self) -> bool:
        """Return whether the Lease is ours now. Raises KeyturnError if that is not known."""
        found = self._read()
        if found is None:
            return self._made()
        version, holder, uptime = _version(found), _holder(found), self._uptime()
        if version != self._seen[0]:
            self._seen = (version, uptime)
        if holder not in {"", self._identity} and uptime < self._seen[1] + self._duration(found):
            return False
        return self._put(found, self._mine(found))

    def _mine(self, found: Mapping[str, object] | None) -> dict[str, object]:
        old = _spec(found) if found else {}
        changed = not found or _holder(found) != self._identity
        turns, moment = old.get("leaseTransitions"), _micro(self._now())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._timing.lasts,
            "acquireTime": moment if changed else old.get("acquireTime"),
            "renewTime": moment,
            "leaseTransitions": (turns if isinstance(turns, int) else 0) + (changed and found is not None),
        }

    def _duration(self, found: Mapping[str, object]) -> float:
        """Return how long the present holder may be silent: what it says, within reason."""
        said = _spec(found).get("leaseDurationSeconds")
        return float(min(max(said, 1), 4 * self._timing.lasts)) if isinstance(said, int) else float(self._timing.lasts)

    def _read(self) -> Mapping[str, object] | None:
        answer = self._ask("read", Request("GET", self._path(), {}))
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        self._good(answer, "read")
        return answer.body

    def _made(self) -> bool:
        metadata = {"name": self._name, "namespace": self._namespace}
        body = {"apiVersion": GROUP, "kind": "Lease", "metadata": metadata, "spec": self._mine(None)}
        path = self._path().rpartition("/")[0]
        return self._won(self._ask("create", Request("POST", path, {}, body, guard=unguarded)), "create")

    def _put(self, found: Mapping[str, object], spec: Mapping[str, object]) -> bool:
        body = {**found, "apiVersion": GROUP, "kind": "Lease", "spec": spec}
        return self._won(self._ask("write", Request("PUT", self._path(), {}, body, guard=unguarded)), "write")

    def _won(self, answer: Answer, doing: str) -> bool:
        if answer.status == HTTPStatus.CONFLICT:
            return False
        self._good(answer, doing)
        return True

    def _ask(self, doing: str, request: Request) -> Answer:
        return self._server.ask(self._action(doing), request)

    def _good(self, answer: Answer, doing: str) -> None:
        if not answer.good:
            action = self._action(doing)
            raise KeyturnError(f"could not {action.doing}", where=action.where, evidence=f"status {answer.status}")

    def _action(self, doing: str) -> Action:
        rule = '{apiGroups: ["coordination.k8s.io"], resources: [leases], verbs: [get, create, update]}'
        return Action(f"lease {self._namespace}/{self._name}", f"{doing} the lease", f"Its Role needs: {rule}")

    def _path(self) -> str:
        return f"/apis/{GROUP}/namespaces/{self._namespace}/leases/{self._name}"


def _told(error: Exception) -> str:
    """Return why a try failed. The text of an error that is not ours may hold anything."""
    return str(error) if isinstance(error, KeyturnError) else f"keyturn failed with {type(error).__name__}"


def _spec(found: Mapping[str, object]) -> Mapping[str, object]:
    spec = found.get("spec")
    return spec if isinstance(spec, dict) else {}


def _holder(found: Mapping[str, object]) -> str:
    return str(_spec(found).get("holderIdentity") or "")


def _version(found: Mapping[str, object]) -> str:
    metadata = found.get("metadata")
    return str(metadata.get("resourceVersion", "")) if isinstance(metadata, dict) else ""


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
