"""`python -m tests.real [PART]...`: the promise in figures, against real servers; 1 if any is not as promised.

Parts: cuts, kills, consumers, pairs, faults, incident, against an OpenBao; apps: App Platform, GitHub and an OpenBao at
once; kubernetes: the first four again, against a Kubernetes API server; workers: two that run all the time, for two
clusters; operators: two `keyturn operator`; none named: all. KILLS, ROUNDS, PAIRS, STRIKES and ROTATIONS in the
environment change how many.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from statistics import median

from tests.cluster.resources import Resources
from tests.real.apps import DEPLOYMENT, rotate_everywhere
from tests.real.concurrent_runs import concurrent_runs
from tests.real.consumer import REREAD, Served, serve
from tests.real.cuts import OPERATIONS, cuts
from tests.real.environment import Servers, servers
from tests.real.faults import CALLS, cases, strike
from tests.real.incident import incident
from tests.real.operators import LANES, OperatorPlace
from tests.real.random_kills import random_kills
from tests.real.relay import Moment
from tests.real.workers import COMMAND, How, Struck, strikes, two_workers
from tests.support.go_program import NoGo
from tests.support.network import stay_on_loopback
from tests.support.quick_operator import BEAT, RECORD, TAKEN

KEYS = 10


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _say(text: str) -> None:
    print(text, flush=True)


def _wrong(found: Iterable[str]) -> int:
    wrong = list(found)
    for what in wrong:
        _say(f"  WRONG {what}")
    return len(wrong)


def cut_all(shared: Servers) -> int:
    """SIGKILL at each effect of each operation."""
    _say("SIGKILL at each changing request, then one `apply` (before: it never reached the server; after: only the")
    _say("answer was lost; late: it reached the server after its sender had died)")
    _say(f"  {'operation':<32}{'cuts':>6}{'second mints':>14}{'violations':>12}{'seconds':>9}")
    bad = total = 0
    for operation in OPERATIONS:
        start = time.monotonic()
        found = cuts(shared, [operation])
        wrong = [one for one in found if one.wrong]
        again = sum(one.mints > operation.mints for one in found)
        spent = time.monotonic() - start
        _say(f"  {operation!s:<32}{len(found):>6}{again:>14}{len(wrong):>12}{spent:>9.0f}")
        total += len(found)
        bad += _wrong(f"{one.nth} {one.moment} {one.what}: {what}" for one in wrong for what in one.wrong)
    _say(f"  {total} cuts at {total // len(Moment)} effects, {bad} violations")
    return bad


def kill_all(shared: Servers) -> int:
    """Rotations under SIGKILL at varied moments."""
    found = random_kills(shared, _number("KILLS", 200), _number("SEED", 1))
    _say(f"{found.kills} runs killed at random moments, each rotating one key of each strategy, each followed by")
    _say(f"one `apply`; of {found.begun} rotations asked for {found.generations} were committed (a kill before the")
    _say(f"intent leaves none, one during an overlap waits), by {found.mints} mints, retires among them:")
    _say(f"  {len(found.wrong)} lost or orphaned; {found.outage:.3f} s in which the store held a dead secret of an")
    _say(f"  alternating key; {found.seconds:.0f} s")
    return _wrong(found.wrong) + (found.outage > 0)


def serve_all(shared: Servers) -> int:
    """Rotations under live consumers."""
    rounds = _number("ROUNDS", 10)
    good = serve(shared, "alternating", KEYS, rounds)
    _served("alternating", good)
    bad = _wrong(good.wrong) + good.refused + good.other + (good.old_dead != good.rotations)
    outage = serve(shared, "in-place", KEYS // 2, max(1, rounds // 2))
    _served("in-place", outage)
    lasted = sorted(outage.outages) or [0.0]
    _say(f"  outage as a consumer saw it: median {median(lasted):.2f} s, longest {lasted[-1]:.2f} s; of that the store")
    _say(f"  held the dead secret for {outage.store_outage / max(1, outage.rotations):.3f} s, on average")
    return bad + _wrong(outage.wrong)


def _served(strategy: str, served: Served) -> None:
    _say(f"{served.rotations} {strategy} rotations, each key read every {REREAD:g} s and called without pause:")
    _say(f"  {served.calls} calls, {served.refused} refused, {served.other} otherwise failed; {served.old_dead} old")
    _say(f"  secrets dead in the end, {served.proven} of them proven by keyturn itself; {served.seconds:.0f} s")


def pair_all(shared: Servers) -> int:
    """Two applies at once."""
    found = concurrent_runs(shared, _number("PAIRS", 50))
    ends = Counter((one.how, one.codes, one.said_who) for one in found)
    _say(f"{len(found)} times two `keyturn apply` at once, {sum(one.mints for one in found)} mints:")
    for (how, (first, second), said), count in sorted(ends.items()):
        who = "the second said who was working" if said else "they did not meet"
        _say(f"  {count:>4} times exit codes {first} and {second}, {who} ({how})")
    return _wrong(what for one in found for what in one.wrong)


def fault_all(shared: Servers) -> int:
    """Every fault at every call."""
    bad = 0
    _say("Each fault of the sandbox, once and for a whole run, then `apply` without it:")
    _say(f"  {'operation':<24}{'runs':>6}  exit codes while it lasted{'':>10}{'violations':>12}")
    for operation in CALLS:
        found = strike(shared, cases(operation))
        codes = ", ".join(f"{code}: {count}" for code, count in sorted(Counter(one.code for one in found).items()))
        _say(f"  {operation:<24}{len(found):>6}  {codes:<36}{sum(bool(one.wrong) for one in found):>12}")
        bad += _wrong(f"{one.case}: {what}" for one in found for what in one.wrong)
    return bad


def rotate_all(_shared: Servers) -> int:
    """Rotate every key at once under the API's limit: by name, then because every secret leaked."""
    limit = 250
    return _rotated(260, limit) + _rotated(300, limit, "INC-42")


def _rotated(keys: int, limit: int, leaked: str = "") -> int:
    came = incident(keys, limit, alternating=keys // 2, used=limit, leaked=leaked)
    how = f"rotate --all --compromised --reason {leaked}" if leaked else "rotate KEY …"
    _say(f"`keyturn {how}`: {keys} keys, half of them of two slots, {limit} requests per minute, and all of this")
    _say("minute's used up by someone else:")
    _say(f"  exit code {came.code}, {came.mints} mints, {len(came.behind)} keys left behind; {came.requests} requests,")
    _say(f"  {came.refused} of them answered with 429; {came.said} lines say how long it waits; {came.seconds:.0f} s")
    # A compromised key of two slots is regenerated twice: a new secret, and the old one killed at once.
    mints = keys + keys // 2 if leaked else keys
    wrong = [f"{name} was left behind" for name in came.behind]
    wrong += [f"exit code {came.code}"] * (came.code != 0) + [f"not {mints} mints"] * (came.mints != mints)
    if leaked:
        _say(f"  {len(came.alive)} old secrets alive; the history of {keys - len(came.untold)} keys names {leaked}")
        wrong += [f"the old secret of {name} lives" for name in came.alive]
        wrong += [f"the history of {name} does not name {leaked}" for name in came.untold]
    return _wrong(wrong)


def apps_all(shared: Servers) -> int:
    """Rotations of keys in App Platform, GitHub and OpenBao at once."""
    found = rotate_everywhere(shared, _number("ROTATIONS", 100), 4)
    _say(f"{found.rotations} alternating rotations of keys that are in App Platform, GitHub and OpenBao at once; a")
    _say(f"deployment takes {DEPLOYMENT:g} s, and {found.failed_deployments} of them failed and were repaired by hand:")
    for store, counts in found.calls.items():
        _say(f"  {store:<13}{counts.total():>9} calls, {counts['refused']} refused, {counts['other']} otherwise failed")
    _say(f"  {found.deployments} deployments were followed, {found.workflows} workflows run;")
    _say(f"  {found.old_dead} old secrets dead in the end; {found.seconds:.0f} s")
    return _wrong(found.wrong) + sum(counts["refused"] + counts["other"] for counts in found.calls.values())


Part = Callable[[Servers], int]
PARTS: dict[str, Part] = {
    "cuts": cut_all,
    "kills": kill_all,
    "consumers": serve_all,
    "pairs": pair_all,
    "faults": fault_all,
    "incident": rotate_all,
    "apps": apps_all,
}
KUBERNETES: tuple[Part, ...] = (cut_all, kill_all, serve_all, pair_all)


def on_kubernetes() -> int:
    """Play the parts that depend on the store again, with deliveries and records in a Kubernetes API server."""
    bad = 0
    for part in KUBERNETES:
        with servers(kubernetes=True) as shared:
            _say("With deliveries and records in a Kubernetes API server:")
            bad += part(shared)
    return bad


def strike_all() -> int:
    """Two workers on the same keys, of which one is always in trouble."""
    seed = _number("SEED", 1)
    with servers(kubernetes=True) as shared:
        found = two_workers(shared, strikes(_number("STRIKES", 100), seed), seed=seed)
    _say(f"Two `keyturn {' '.join(COMMAND)}` on the same keys, delivered to two clusters, with records in one OpenBao;")
    return _struck(found)


def operate_all() -> int:
    """Two operators on the same keys, of which one is always in trouble."""
    seed = _number("SEED", 1)
    with servers(kubernetes=True) as shared:
        assert shared.cluster
        resources = Resources(shared.cluster)
        resources.install()
        place = partial(OperatorPlace, resources)
        found = two_workers(shared, strikes(_number("STRIKES", 100), seed), place, seed=seed, lanes=LANES)
    _say("Two `keyturn operator` on the same account, whose keys are rotated all the time by their annotation, with")
    _say(f"Leases of {TAKEN} s, leases of records of {RECORD:g} s and a beat of {BEAT:g} s:")
    bad = _struck(found)
    hands = found.changes_of_hands or (0.0,)
    _say(f"  {len(found.changes_of_hands)} times another one took the Lease while the struck one had it: after")
    _say(f"  {median(hands):.1f} s in the median, {max(hands):.1f} s at the longest")
    return bad


def _struck(found: Struck) -> int:
    _say(f"{len(found.strikes)} times one of the two was struck:")
    for how in How:
        at = Counter(one.where for one in found.strikes if one.how is how)
        _say(f"  {how}: {', '.join(f'{count} {where}' for where, count in sorted(at.items()))}")
    _say(f"  {found.generations} rotations by {found.mints} mints, retires among them; {found.twice} mints without a")
    _say(
        f"  write of the record before them that allowed it; {found.calls} calls of the consumers of alternating keys,"
    )
    _say(f"  {found.refused} refused; {found.outage:.3f} s in which a delivery of such a key held a dead secret;")
    _say(f"  {found.seconds:.0f} s")
    return _wrong(found.wrong) + found.refused + (found.outage > 0)


CLUSTERED: dict[str, Callable[[], int]] = {"kubernetes": on_kubernetes, "workers": strike_all, "operators": operate_all}
ALL = (*PARTS, *CLUSTERED)


def main(names: list[str]) -> int:
    """Print the figures of these parts; return 1 where one is not as promised."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        _say(f"no such part: {', '.join(unknown)}; there are {', '.join(ALL)}")
        return 3
    stay_on_loopback()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end, too
    start, bad = time.monotonic(), 0
    for name in names or ALL:
        bad += _part(name)
        _say("")
    _say(f"{bad} violations; {time.monotonic() - start:.0f} s")
    return 1 if bad else 0


def _part(name: str) -> int:
    """Play a part, and return how much was wrong. What needs Go is left out without it; with CI set that is wrong."""
    try:
        if name in PARTS:
            with servers() as shared:
                return PARTS[name](shared)
        return CLUSTERED[name]()
    except NoGo as error:
        _say(f"*** {name} was left out: {error} ***")
        return int(bool(os.environ.get("CI")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
