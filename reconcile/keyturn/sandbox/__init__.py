"""A local DigitalOcean that behaves like the real one: the control and the inference API on one loopback port.

It imports nothing of the rest of keyturn, so that it cannot agree with it by accident. See docs/sandbox.md.
"""

from .faults import KINDS, OPS, Fault
from .ready import ReadyKey, load_keys
from .serve import Sandbox, serve
from .service import Seen
from .settings import Settings
from .state import SCOPES, Key, Minted, State, Token

__all__ = [
    "KINDS",
    "OPS",
    "SCOPES",
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
