"""Two `keyturn operator` on one account, killed, paused for longer than their Lease, and cut off from the API server.

They have one service account with the documented rights, and a token of it each. Keys are rotated by their annotation
again and again. The times of `quick_operator` are shorter than those of the product. Once all is at rest, the command
line works on the same keys by a manifest, and may change nothing.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.cluster.operating import Cell, by_type
from tests.cluster.resources import Resources
from tests.real.environment import FIELD, Servers
from tests.real.relay import Gate, Relay
from tests.real.run import Run
from tests.real.stores import KubernetesStore
from tests.real.workers import KEYS, OVERLAP, How, Workplace
from tests.support.process import bare_environment, wait_until
from tests.support.quick_operator import BEAT, RECORD, TAKEN

LATE = 10.0
"""Seconds after that in which another operator has it, even on a busy machine."""
LANES = 8
"""Accounts that are worked on side by side: a struck operator leaves the machine to others for most of the time."""
AGAIN = 3.0
"""Seconds between two orders to rotate."""
TAIL = 2000
"""Characters of what an operator said last, where something is wrong."""
REST = 8 * (RECORD + BEAT)
"""Seconds within which the operators finish what was begun."""


class OperatorPlace(Workplace):
    """An account of its own, with keys in one namespace. Each is delivered to two Secrets."""

    longest = RECORD + 2 * BEAT

    def __init__(self, resources: Resources, shared: Servers) -> None:
        """Make the namespaces, the account and the rights."""
        self._home, space = resources.cluster.namespace(), resources.cluster.namespace()
        super().__init__(
            shared, store=KubernetesStore(resources.cluster, {space: space, "keyturn.records": self._home})
        )
        self._cell = Cell(resources, self.sandbox, self.folder, self._home)
        self._cell.prepare()
        self._cell.allow(space)
        self._tenant = self._cell.tenant_of(space, limits={"rotationsPerRound": 10_000})
        self.id, self.prefix, self.timing = self._tenant.account, "keyturn", {}
        self._orders, self._next = 0, 0.0
        self._hands: list[float] = []
        self._missed: list[str] = []

    def name(self, key: str) -> str:
        """Return the name that follows from namespace and name."""
        return key.replace(".", "-")

    def path(self, key: str) -> str:
        """Return the name of its first Secret."""
        return key.rpartition(".")[2]

    def lasts(self, how: How, chance: random.Random) -> float:
        """Return how long: shorter and longer than a Lease; one pause in four outlasts the lease of a record, too."""
        if how is not How.PAUSE:
            return chance.uniform(0, 2 * TAKEN)
        return chance.uniform(*(RECORD + 5, RECORD + 15) if chance.random() < 0.25 else (TAKEN + 3, 3 * TAKEN))

    def prepare(self) -> None:
        """Make keys at rest by the command line, then their resources."""
        for name, strategy in KEYS.items():
            key = f"{self._tenant.name}.{name}"
            self.existing(key, strategy)
            self.keys[key]["deliver"].append(self.delivery(f"{name}-too"))
        self.come_to_rest(OVERLAP)
        for key, entry in self.keys.items():
            rotation = dict(entry["rotation"])
            if key not in self.steady:
                del rotation["overlap"]
            deliver = [{"secret": {"name": place["path"], "key": FIELD}} for place in entry["deliver"]]
            self._tenant.make(self.path(key), made=False, rotation=rotation, deliver=deliver)

    def starting(self, name: str, gate: Gate) -> Callable[[], Run]:
        """Return how one is started: its own way to the API, and its own token for the API server."""
        api = self.enter(Relay(self.sandbox.url, gate)).url
        token = self._cell.resources.cluster.login(self._home, self._cell.user)
        self.gate.others[token] = gate
        logins = self.store.environment(self.route.store, self.folder, token)
        runtime = self.folder / name
        runtime.mkdir(mode=0o700)
        env = bare_environment(
            **logins,
            KEYTURN_API_URL=api,
            KEYTURN_INFERENCE_URL=api,
            XDG_RUNTIME_DIR=str(runtime),
            POD_NAMESPACE=self._home,
            POD_NAME=name,
        )
        return lambda: self.launch(("operator", "--account", self.id), env)

    def urge(self) -> None:
        """Order a rotation of each key every few seconds."""
        self._annotate(1)

    def _annotate(self, orders: int) -> None:
        """Order so many rotations more, or have the keys looked at; not too often."""
        now = time.monotonic()
        if now > self._next:
            self._next, self._orders = now + AGAIN, self._orders + orders
            for key in self.keys:
                self._tenant.annotate(self.path(key), rotate=self._order, looked=f"{now:.3f}")

    def meanwhile(self, struck: str, seconds: float) -> None:
        """Go on with orders, and see whether another operator takes the Lease of the one that is struck."""
        began, holds = time.monotonic(), self._tenant.holder() == struck
        while (passed := time.monotonic() - began) < seconds:
            if holds and self._tenant.holder() not in {struck, ""}:
                self._hands.append(passed)
                holds = False
            self.urge()
            time.sleep(0.1)
        if holds and seconds > TAKEN + LATE:
            self._missed.append(f"for {seconds:.0f} s nobody took over from {struck}")

    def calm(self) -> Iterator[str]:
        """Wait until the last order is carried out, nothing is under way, and all keys are Ready."""
        yield from self._missed
        try:
            for key in self.keys:
                wait_until(partial(self._rests, key), f"{key} is at rest", seconds=REST, every=0.5)
        except TimeoutError as error:
            yield "\n".join((str(error), *self._evidence()))

    def _evidence(self) -> Iterator[str]:
        """Yield what was asked for, what came of it, who works, and the end of what each operator said."""
        yield f"{self._order!r} has the trigger {self._trigger}; {self._tenant.holder()!r} has the Lease"
        for key in self.keys:
            record, found = self.record(key), self._tenant.read(self.path(key))
            asked = found["metadata"].get("annotations")
            yield f"{key}: annotations {asked}, conditions {found.get('status', {}).get('conditions')}, {record}"
        yield from (f"{run.pid} said: {run.err[-TAIL:]}" for run in self.runs if run.alive)

    @property
    def _order(self) -> str:
        return f"order {self._orders}"

    @property
    def _trigger(self) -> str:
        """What a record notes of the last order."""
        return hashlib.sha256(self._order.encode()).hexdigest()[:16]

    def _rests(self, key: str) -> bool:
        self._annotate(0)
        record, found = self.record(key), self._tenant.read(self.path(key))
        if record is None or record.intent or record.retire or record.requested:
            return False
        return (
            record.trigger == self._trigger
            and by_type(found.get("status", {})).get("Ready", {}).get("status") == "True"
        )

    def changes_of_hands(self) -> tuple[float, ...]:
        """Return how long it took each time until another operator had the Lease."""
        return tuple(self._hands)
