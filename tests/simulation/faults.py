"""What can go wrong at one effect, and the shorthand in which a history is printed and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Killed(BaseException):
    """The process died; nothing of its memory is left."""


@dataclass(frozen=True, slots=True)
class Token:
    """The account token of one run: whether it may read its team, and whether it is of another team than the key."""

    reads_team: bool = True
    foreign: bool = False


OWN = Token()


class Class(StrEnum):
    """What kind of effect a point is: decides which faults it can suffer."""

    LIST = "list"
    READ = "read"
    ASK = "ask"
    MINT = "mint"
    CHANGE = "change"
    DELIVER = "deliver"
    WRITE = "write"


class Kind(StrEnum):
    """One fault. Each is one letter in a printed history."""

    CUT = "cut"
    """The process dies before the effect."""
    CUT_AFTER = "cut-after"
    """The process dies after the effect, its answer unseen."""
    CUT_LATE = "cut-late"
    """The process dies with the request on its way: it takes effect later."""
    LOST = "lost"
    """The effect takes place, its answer is lost."""
    LATE = "late"
    """The answer is a timeout, and the effect takes place later."""
    NEVER = "never"
    """The answer is a timeout, and the effect never takes place: a 500."""
    NO = "no"
    """A definite no: refused, or a compare-and-set lost."""
    LIMIT = "limit"
    """The API answers 429, this once, and lets the next call through a few seconds later."""
    LIMITS = "limits"
    """The API answers 429 to this call and to the next ones, and each time the wait outlasts a lease."""
    DOWN = "down"
    """What is called answers no more until the run is over."""
    REFUSED = "refused"
    """The inference API says 401 for the rest of the run, whatever the secret."""
    ONCE = "once"
    """The inference API says 401 this once."""
    SLOW = "slow"
    """The answer takes as long as a request may take."""
    STALL = "stall"
    """The process stands still for longer than its lease before the call's last check."""
    SPREADS = "spreads"
    """A new secret takes a while to be accepted everywhere, an old one to be refused."""
    FLAPS = "flaps"
    """The same, and where it is asked first the new one is accepted at once, and the old one refused."""
    MUTE = "mute"
    """Each mint from here on takes effect, and its answer is lost; or each write to a delivery."""
    UNDEAD = "undead"
    """The API answers 200 to a regenerate, and the old secret lives on."""
    FEIGNS = "feigns"
    """The same, and where it is asked first the old secret is refused."""
    FORWARD = "forward"
    """From here on this machine's wall clock is two hours ahead."""
    BACK = "back"
    """From here on this machine's wall clock is two hours behind."""
    STOP = "stop"
    """A signal asks the run to stop."""
    STOP_ASLEEP = "stop-asleep"
    """The same, when the run waits the next time."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault; `after`: how many effects later a late request lands, 0 for as late as can be."""

    kind: Kind
    after: int = 0

    def __str__(self) -> str:
        """Show as `late+3`."""
        return f"{self.kind}+{self.after}" if self.after else str(self.kind)


def parse(text: str) -> Fault:
    """Read what `str` of a fault shows."""
    kind, _, after = text.partition("+")
    return Fault(Kind(kind), int(after or 0))


_SOON = (1, 2, 3, 4, 6, 8, 11, 15, 0)
_BY_CLASS: dict[Class, tuple[Kind, ...]] = {
    Class.LIST: (Kind.CUT, Kind.NO, Kind.LIMIT, Kind.LIMITS, Kind.DOWN, Kind.STALL),
    Class.READ: (Kind.CUT, Kind.NO, Kind.DOWN, Kind.STALL, Kind.FORWARD, Kind.BACK),
    Class.ASK: (Kind.CUT, Kind.DOWN, Kind.NO, Kind.REFUSED, Kind.ONCE, Kind.STOP),
    Class.MINT: (
        Kind.CUT, Kind.CUT_AFTER, Kind.CUT_LATE, Kind.LOST, Kind.LATE, Kind.NEVER,
        Kind.NO, Kind.LIMIT, Kind.LIMITS, Kind.DOWN, Kind.SLOW, Kind.STALL, Kind.SPREADS, Kind.FLAPS, Kind.MUTE,
        Kind.UNDEAD, Kind.FEIGNS, Kind.FORWARD, Kind.BACK, Kind.STOP,
    ),
    Class.CHANGE: (
        Kind.CUT, Kind.CUT_AFTER, Kind.CUT_LATE, Kind.LOST, Kind.LATE, Kind.NEVER,
        Kind.NO, Kind.LIMIT, Kind.LIMITS, Kind.STALL,
    ),
    Class.DELIVER: (
        Kind.CUT, Kind.CUT_AFTER, Kind.CUT_LATE, Kind.LOST, Kind.LATE, Kind.NEVER,
        Kind.NO, Kind.DOWN, Kind.SLOW, Kind.STALL, Kind.MUTE, Kind.STOP,
    ),
    Class.WRITE: (
        Kind.CUT, Kind.CUT_AFTER, Kind.CUT_LATE, Kind.LOST, Kind.LATE, Kind.NEVER,
        Kind.NO, Kind.DOWN, Kind.SLOW, Kind.STALL, Kind.FORWARD, Kind.BACK, Kind.STOP, Kind.STOP_ASLEEP,
    ),
}  # fmt: skip
FINE = frozenset({
    Kind.SLOW, Kind.STALL, Kind.NO, Kind.LIMIT, Kind.LIMITS, Kind.ONCE, Kind.SPREADS, Kind.FLAPS,
    Kind.UNDEAD, Kind.FEIGNS, Kind.FORWARD, Kind.BACK, Kind.STOP,
})  # fmt: skip
"""Left out where faults come in pairs, or beside many others."""
LIMITS = frozenset({Kind.LIMIT, Kind.LIMITS})
"""They hold a run up, and change nothing else."""
STOPS = frozenset({Kind.STOP, Kind.STOP_ASLEEP})
"""They end a run in order."""
LATE_KINDS = frozenset({Kind.CUT_LATE, Kind.LATE})


def faults_at(kind: Class, *, coarse: bool = False) -> Iterator[Fault]:
    """Return every fault that a point of this class can suffer; `coarse` leaves out the kin of another one."""
    for one in _BY_CLASS[kind]:
        if coarse and one in FINE:
            continue
        if one in LATE_KINDS:
            yield from (Fault(one, after) for after in ((1, 3, 6, 0) if coarse else _SOON))
        else:
            yield Fault(one)
