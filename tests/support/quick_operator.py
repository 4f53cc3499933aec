"""`python -m tests.support.quick_operator OPTIONS`: `keyturn operator` in times that suit tests.

What follows what, and what is written before what, is as it is in the product.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from unittest.mock import patch

TAKEN, RECORD, BEAT = 5, 30.0, 2.0
"""In seconds: how long a Lease lasts, how long the record of a key says that a run has it, and the beat of timed looks.

Those of the product are 15, 90 and 30.
"""
AGAIN = timedelta(seconds=5)
"""Before the same key is rotated again by an order, and after the first failure. In the product: a minute, 15 s."""


def hasten() -> None:
    """Shorten the times of operators, for as long as this process lives."""
    from keyturn.cli import operating
    from keyturn.core import rounds
    from keyturn.core.model import Desired
    from keyturn.kube.account import KubeAccount, Setting
    from keyturn.kube.lease import Timing

    beat = timedelta(seconds=BEAT)
    pace = rounds.Pace(between=AGAIN, beat=beat, rest=beat / 4, spread=beat)
    setting = partial(Setting, pace=pace, lease=Timing(lasts=TAKEN, renew=TAKEN * 2 / 3, retry=TAKEN / 8))
    translated = KubeAccount.desired

    def desired(account: KubeAccount) -> Desired:
        found = translated(account)
        timing = replace(found.timing, request=RECORD / 3, settle=RECORD / 3, lease=RECORD)
        return replace(found, timing=timing, keys=tuple(replace(key, timing=timing) for key in found.keys))

    for where, name, value in (
        (operating, "Setting", setting),
        (operating, "LEASE", TAKEN / 3),
        (rounds, "CALM", beat),
        (rounds, "FIRST_RETRY", AGAIN),
        (KubeAccount, "desired", desired),
    ):
        patch.object(where, name, value).start()


if __name__ == "__main__":
    from keyturn.cli import main

    hasten()
    sys.argv = ["keyturn", "operator", *sys.argv[1:]]
    main()
