"""A login of the tests to the control plane, as the operator uses it."""

from __future__ import annotations

import base64
from pathlib import Path

from keyturn.targets.kubernetes_login import Context, Login
from keyturn.targets.kubernetes_server import Server
from keyturn.targets.rest import Endpoint
from tests.cluster.control_plane import Cluster


def login_to(cluster: Cluster, token: str = "") -> Login:
    """Log in with a token, or as the administrator."""
    authority = base64.b64encode(cluster.authority.encode()).decode()
    context = Context("test", {"certificate-authority-data": authority}, {"token": token or cluster.admin}, Path())
    return Login(context, {}, 5)


def server_of(cluster: Cluster, token: str = "", *, request: float = 10) -> Server:
    """Return a client. `request` is the deadline of a request in seconds."""
    return Server(Endpoint(cluster.origin, "", request), login_to(cluster, token), "the test's cluster")
