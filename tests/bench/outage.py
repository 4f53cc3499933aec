"""The outage of an in-place rotation: from the answer with the new secret until the first target has it.

Beside it stands one bare write to the same vault over the same link. What comes between both is the rotation's own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import hvac

from tests.bench.figures import Figure, at_most, interleaved
from tests.bench.site import Site, site

ROUNDS = 9
LIMIT = 1.15
KEY = "key-00000"
DELIVERY = f"/v1/secret/data/apps/{KEY} "


def rotated(at: Site) -> float:
    """Rotate the key; return the seconds between the two answers, as the link saw them arrive."""
    before = len(at.answers())
    at.keyturn("rotate", KEY, "--reason", "bench", "--yes", "--quiet")
    answers = at.answers()[before:]
    minted = next(moment for moment, request in answers if "/regenerate " in request)
    held = (
        moment
        for moment, request in answers
        if moment > minted and DELIVERY in request and request.startswith(("POST", "PUT"))
    )
    return next(held) - minted


def measure() -> Sequence[Figure]:
    """Rotate and write in turn."""
    rotation, write = "mint to first target", "one vault write"
    with site(1) as at:
        at.far()
        vault = hvac.Client(url=at.environment["VAULT_ADDR"], token=at.environment["VAULT_TOKEN"])
        vault.secrets.kv.v2.read_configuration()  # opens the connection, as a run has done by then

        def written() -> float:
            began = time.perf_counter()
            vault.secrets.kv.v2.create_or_update_secret("bench", secret={"field": "value"})
            return time.perf_counter() - began

        times = interleaved(ROUNDS, {rotation: lambda: rotated(at), write: written})
        vault.session.close()
    return [at_most("outage of in-place", LIMIT, times, rotation, write)]
