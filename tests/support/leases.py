"""A server that knows Leases only, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import Answer, Request, Server
from keyturn.targets.rest import Endpoint
from keyturn.targets.servers import Action

LOGIN = Login(Context("here", {}, {"token": "t"}, Path()), {}, 1)


class LeaseServer(Server):
    """Stores Leases, and counts what is asked about each. `meanwhile` is called before each answer."""

    def __init__(self, meanwhile: Callable[[str, str], None] = lambda _verb, _name: None) -> None:
        super().__init__(Endpoint("https://127.0.0.1:9", "", 1), LOGIN, "cluster")
        self.meanwhile = meanwhile
        self.leases: dict[str, Mapping[str, Any]] = {}
        self.asked: list[str] = []
        self._version = 0
        self._own = threading.Lock()

    def ask(self, action: Action, request: Request) -> Answer:
        """Read, create or write a Lease."""
        name = request.path.rpartition("/")[2]
        if request.verb == "POST":
            assert request.body is not None
            name = str(request.body["metadata"]["name"])  # type: ignore[index]
        self.meanwhile(request.verb, name)
        with self._own:
            self.asked.append(name)
            if request.body is not None:
                self._version += 1
                metadata = {"name": name, "resourceVersion": str(self._version)}
                self.leases[name] = {**request.body, "metadata": metadata}
            return Answer(200, self.leases[name]) if name in self.leases else Answer(404, {})

    def holder(self, name: str) -> str:
        """Return who has a Lease, empty for nobody."""
        return str(self.leases[name]["spec"]["holderIdentity"]) if name in self.leases else ""
