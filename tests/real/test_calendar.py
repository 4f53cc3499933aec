"""Two weeks of a virtual clock, with an `apply` in each hour: a key rotates in its windows and at no other time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from keyturn.core.results import Options
from keyturn.core.world import World
from keyturn.engine.run_lock import Runs
from keyturn.engine.runner import Runner
from keyturn.live.live_world import LiveWorld, open_world
from keyturn.manifest import load_all
from tests.real.environment import Site
from tests.real.promise import breaches

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 10, 17, 8, tzinfo=UTC)  # a Saturday; Berlin's clocks go back on the 25th
HOUR = timedelta(hours=1)


@dataclass
class Later:
    """The real world at another time: its clocks are virtual, and sleeping is quick."""

    world: LiveWorld
    moment: datetime = START
    slept: float = field(default=0.0)

    def now(self) -> datetime:
        """Return the virtual time."""
        return self.moment + timedelta(seconds=self.slept)

    def uptime(self) -> float:
        """Return the same time on the other clock."""
        return (self.now() - START).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.slept += max(seconds, 0.001)
        time.sleep(0)

    def __getattr__(self, name: str) -> Callable[..., object]:
        return cast("Callable[..., object]", getattr(self.world, name))


def test_keys_rotate_exactly_in_their_windows(site: Site) -> None:
    """Two weeks and a day; the clocks change in a window's own hours.

    `sunday` may rotate on Sundays from 2 to 4 in Berlin, `weekend` on Saturdays and Sundays; both every 7 days. The
    old secret of `weekend` dies in the run 24 hours later, which waits for the seconds that are left.
    """
    window = {"cron": "0 2 * * SUN", "duration": "2h", "timezone": "Europe/Berlin"}
    weekend = {"cron": "0 0 * * SAT", "duration": "48h", "timezone": "Europe/Berlin"}
    site.existing("sunday")
    site.keys["sunday"]["rotation"] |= {"every": "7d", "window": window}
    site.existing("weekend", "alternating", overlap="24h")
    site.keys["weekend"]["rotation"] |= {"every": "7d", "window": weekend}
    seen = _live_through(site, days=15)
    assert seen["sunday"] == [
        (START, 1),  # adopted
        (_berlin(10, 25, 2), 2),  # not on the 18th: one day old
        (_berlin(11, 1, 2), 3),
    ]
    assert seen["weekend"] == [
        (START, 1),
        (START + 24 * HOUR, -1),
        (START + 7 * 24 * HOUR, 2),
        (START + 8 * 24 * HOUR, -2),
        (START + 14 * 24 * HOUR + HOUR, 3),
    ]
    assert [what for key in site.keys for what in breaches(site, key)] == []


def _berlin(month: int, day: int, hour: int) -> datetime:
    """Return a local hour of 2026; the first of the two where the clocks go back."""
    return datetime(2026, month, day, hour, tzinfo=BERLIN).astimezone(UTC)


def _live_through(site: Site, days: int) -> dict[str, list[tuple[datetime, int]]]:
    """Apply in each hour; return per key when each generation began and, as its negative, when its old secret died."""
    env = site.environment(site.direct)
    [desired] = load_all(site.write(site.direct), env)
    seen: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    with open_world(desired, env, site.folder) as reality:
        later = Later(reality)
        runner = Runner(cast("World", later), desired, lambda _: None, runs=Runs([site.folder / "here"]))
        for hour in range(days * 24):
            later.moment, later.slept = START + hour * HOUR, 0.0
            report = runner.apply((), Options())
            assert report.exit_code == 0, report
            for key in report.reports:
                if key.done:
                    record = site.record(key.key)
                    assert record is not None
                    retired = any(change.change == "retire" for change in key.done)
                    seen[key.key].append((later.moment, -record.generation if retired else record.generation))
    return seen
