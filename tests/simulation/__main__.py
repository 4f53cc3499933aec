"""`python -m tests.simulation`: play the histories, print the table. SEED replays one history, HISTORIES asks for more.

A SEED is what a violation printed, such as `rotate|alternating|1|here/1/forth|8:late+3/` or `life:157`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict

from tests.simulation import lives, struck
from tests.simulation.beyond import demonstrate
from tests.simulation.decisions import EXPECTED, counting, expected
from tests.simulation.duel import fight, meeting
from tests.simulation.play import Tally, replay
from tests.simulation.suite import MANY, Result, batches, hunts, in_parallel, table

SHOWN = 20
EXAMPLES = "`rotate|alternating|1|here/1/forth|8:late+3/` or `life:157`"


def main() -> int:
    """Return 1 where anything broke or a mutant was missed."""
    if seed := os.environ.get("SEED"):
        try:
            return _again(seed)
        except (KeyError, ValueError):
            print(f"SEED: {seed!r} is no seed; one is what a violation printed, such as {EXAMPLES}", file=sys.stderr)
            return 3
    histories = os.environ.get("HISTORIES") or str(MANY)
    if not histories.isdigit():
        print(f"HISTORIES: {histories!r} is no whole number", file=sys.stderr)
        return 3
    started = time.monotonic()
    totals, rows, decisions = _play(int(histories))
    print(
        f"{'operation':<24}{'strategy':<14}{'kind':<16}{'histories':>11}{'runs':>11}{'effects':>12}{'violations':>12}"
    )
    for (operation, strategy, kind), row in sorted(rows.items()):
        line = f"{row.histories:>11,}{row.runs:>11,}{row.effects:>12,}{len(row.violations):>12,}"
        print(f"{operation:<24}{strategy:<14}{kind:<16}{line}")
    print(
        f"\n{totals.histories:,} histories covered by {totals.runs:,} runs, {totals.effects:,} effects,"
        f" {totals.points:,} cut points, {totals.faults:,} faults, {len(totals.violations):,} violations,"
        f" {time.monotonic() - started:.0f} s"
    )
    for violation in sorted(totals.violations, key=lambda one: len(one.seed))[:SHOWN]:
        print(f"  SEED='{violation.seed}': {'; '.join(violation.what)}")
    broken = _rounds()
    _beyond()
    missed = _mutants()
    differ = _decisions(decisions)
    return 1 if totals.violations or broken or missed or differ else 0


def _play(histories: int) -> tuple[Tally, dict[tuple[str, str, str], Tally], dict[str, str]]:
    totals, rows, decisions = Tally(), defaultdict[tuple[str, str, str], Tally](Tally), dict[str, str]()
    for jobs in batches(histories):
        for result in in_parallel(jobs):
            totals.add(result.tally)
            rows[_row(result)].add(result.tally)
            decisions[str(result.job)] = result.decisions
        if totals.histories >= histories:
            break
    return totals, rows, decisions


def _decisions(found: dict[str, str]) -> list[str]:
    """Compare what the machine decided with what it decided before; DECISIONS=write takes it as it is now."""
    if not counting():
        return []
    if os.environ.get("DECISIONS") == "write":
        EXPECTED.parent.mkdir(exist_ok=True)
        EXPECTED.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    before = expected()
    differ = sorted(job for job in before if found.get(job) != before[job])
    count = sum(int(number.partition(":")[0]) for number in found.values())
    print(
        f"\ndecisions: {count:,} in {len(found)} jobs;"
        f" the machine decides otherwise than before in {len(differ)} of {len(before)}"
    )
    for job in differ[:SHOWN]:
        print(f"  {job}: {before[job]} before, {found.get(job, 'not played')} now")
    return differ


def _row(result: Result) -> tuple[str, str, str]:
    job = result.job
    kind = {1: "one fault", 2: "two faults"}[job.faults] if job.kind == "faults" else job.kind
    return job.operation, job.strategy, kind


def _rounds() -> int:
    """Strike a round of many keys at each effect, and let two processes meet there."""
    hurt = [struck.struck(index, fault) for index, fault in struck.strikes()]
    met = [struck.met(index, seconds) for index in struck.meetings() for seconds in (0.0, struck.SETTLE)]
    wrong = [one for one in (*hurt, *met) if one]
    print(f"\nrounds of many keys: struck {len(hurt)} times, two met {len(met)} times, {len(wrong)} violations")
    for one in wrong[:SHOWN]:
        print(f"  {one.where}: {one.why}")
    return len(wrong)


def _beyond() -> None:
    print("\nbeyond what is assumed (expected to break; --verify heals):")
    for one in demonstrate():
        print(
            f"  {one.assumption:<42}{one.strategy:<14}{one.histories:>4} histories,"
            f" {one.broken} broke, {one.healed} healed"
        )


def _mutants() -> int:
    caught = hunts()
    missed = [one for one in caught if one.by is None]
    print(f"\nmutants caught: {len(caught) - len(missed)}/{len(caught)}")
    for one in caught:
        found = f"{one.by.what[0][:70]:<72}{one.by.seed}" if one.by else "MISSED"
        print(f"  {one.mutant:<52}{found}")
    return len(missed)


def _again(seed: str) -> int:
    """Play one history again and tell what happens."""
    maker, _, number = seed.partition(":")
    if maker in lives.MAKERS:
        begins, events = lives.MAKERS[maker](int(number))
        wrong, _ = lives.judge(begins, events)
        print(begins)
        for event in lives.shrink(begins, events) if wrong else events:
            print(f"  {event}")
    else:
        name, strategy, places, rest = seed.split("|", 3)
        scenario = table(places)[name, strategy]
        if rest.startswith("two: "):
            wrong = fight(scenario, meeting(rest.removeprefix("two: ")))[0].wrong
        else:
            wrong = replay(scenario, rest, print)
    print("\n".join(wrong) or "nothing broke")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
