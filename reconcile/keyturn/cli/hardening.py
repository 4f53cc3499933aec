"""Keeps secrets in the memory of this process.

There is no core dump, no debugger of the same user, no log of TLS keys, and no plugin of pydantic. A plugin is told of
all that is parsed, also of the answer with a new secret; logging services offer such plugins.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import MutableMapping
from contextlib import suppress

KEY_LOG = "SSLKEYLOGFILE"
PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
"""Pydantic loads the plugins of all installed packages unless this says otherwise."""
_PR_SET_DUMPABLE = 4  # linux/prctl.h


def harden(environment: MutableMapping[str, str]) -> bool:
    """Protect this process, as far as the system can. Return whether SSLKEYLOGFILE was set; it is removed.

    Programs that this process starts inherit the limit of core dumps, but may be debugged again.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library without prctl
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    environment[PLUGINS] = "__all__"
    return environment.pop(KEY_LOG, None) is not None
