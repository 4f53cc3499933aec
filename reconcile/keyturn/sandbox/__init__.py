"""A local DigitalOcean that behaves like the real one: the control API and the inference API on one loopback port.

It imports nothing from the rest of keyturn, so that both cannot share a mistake. See docs/sandbox.md.
"""

from keyturn.sandbox.deployments import App, Deployment
from keyturn.sandbox.faults import KINDS, OPS, Fault
from keyturn.sandbox.ready import ReadyKey, load_keys
from keyturn.sandbox.serve import Sandbox, serve
from keyturn.sandbox.service import Seen
from keyturn.sandbox.settings import Settings
from keyturn.sandbox.state import SCOPES, Key, Minted, State, Token

__all__ = [
    "KINDS",
    "OPS",
    "SCOPES",
    "App",
    "Deployment",
    "Fault",
    "Key",
    "Minted",
    "ReadyKey",
    "Sandbox",
    "Seen",
    "Settings",
    "State",
    "Token",
    "load_keys",
    "serve",
]
