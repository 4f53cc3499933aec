"""How full the pools of spare API keys are."""

from __future__ import annotations

from collections.abc import Iterable

from keyturn.core.results import PoolState
from keyturn.report.lines import Line, Span, Tone, count, line


def pool_text(pool: PoolState) -> str:
    """Return one sentence, with what to make if there are few."""
    text = f"The pool {pool.prefix!r} has {count(pool.left, 'spare')}"
    if pool.left < pool.wanted:
        short = pool.wanted - pool.left
        return f"{text} for {count(pool.wanted, 'missing API key')}: make {short} more, or the named keys instead."
    return f"{text}, fewer than {pool.low}: make some more." if pool.few else f"{text}."


def pool_lines(pools: Iterable[PoolState]) -> list[Line]:
    """Return one line per pool."""
    return [line(Span(pool_text(pool), Tone.WARN if pool.few else Tone.PLAIN)) for pool in pools]
