"""`python -m tests.fuzz`: try the parsers for SECONDS (600), from SEED (0) on; print what broke, and the counts."""

from __future__ import annotations

import os
import sys
import time

from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.properties import PROPERTIES

EACH = 500
"""Inputs of each parser in one round."""


def tried(name: str, *, seed: int, examples: int) -> None:
    """Try one property with so many inputs. Raises what the property raises, for the smallest input that breaks it."""
    inputs, holds = PROPERTIES[name]
    limits = settings(
        max_examples=examples, deadline=5000, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    _seed(seed)(limits(given(inputs)(holds)))()


_seed = seed


def main() -> int:
    """Return 1 if a property broke, else 0."""
    first, seconds = int(os.environ.get("SEED") or 0), float(os.environ.get("SECONDS") or 600)
    until = time.monotonic() + seconds
    number, broken = first, 0
    while number == first or time.monotonic() < until:
        for name in PROPERTIES:
            try:
                tried(name, seed=number, examples=EACH)
            except Exception as error:  # noqa: BLE001 - whatever a parser lets out is what is looked for
                broken += 1
                print(f"{name}, SEED={number}: {error!r}", *getattr(error, "__notes__", ()), sep="\n  ")
            if number > first and time.monotonic() > until:
                break
        number += 1
    print(f"{len(PROPERTIES)} parsers, {number - first} rounds of {EACH} inputs each, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
