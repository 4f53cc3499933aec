"""Every fault of the sandbox at every call that a run makes, once and for as long as the run lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from keyturn.sandbox import Sandbox
from tests.real.cuts import KEY, OPERATIONS, Operation
from tests.real.environment import SETTLE, Servers, Site
from tests.real.promise import breaches, noise

LANES = 8
KINDS = (
    "error-401",
    "error-429",
    "error-500",
    "lost-response",
    "dropped-request",
    "late",
    "slow",
    "html-error",
    "truncated-json",
)
WAITED_OUT = "error-429"
"""While the control API says so, a run waits for more than an hour."""
DOCUMENTED = frozenset({0, 1, 4, 5})
_BY_NAME = {str(one): one for one in OPERATIONS}
CALLS = {
    "rotate in-place": ("list", "account", "regenerate", "models", "chat"),
    "rotate alternating": ("list", "regenerate", "models", "chat"),
    "retire alternating": ("list", "regenerate", "models"),
    "create in-place": ("create", "rename"),
    "delete in-place": ("delete",),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A fault at a call of an operation; `lasting`: at each such call of the run."""

    operation: Operation
    call: str
    kind: str
    lasting: bool = False

    def __str__(self) -> str:
        return f"{self.operation}: {self.call} {self.kind}{', lasting' if self.lasting else ''}"


@dataclass(frozen=True, slots=True)
class Struck:
    """How the run ended, and what was wrong in the end."""

    case: str
    code: int
    wrong: tuple[str, ...]


def cases(*operations: str, lasting: tuple[bool, ...] = (False, True)) -> Iterator[Case]:
    """Yield every fault of every call of these operations (none named: of all)."""
    for name in operations or CALLS:
        for call in CALLS[name]:
            for kind in (*KINDS, *(("half-list",) if call == "list" else ())):
                endless = kind == WAITED_OUT and call not in {"models", "chat"}
                yield from (Case(_BY_NAME[name], call, kind, always) for always in lasting if not (always and endless))


def strike(shared: Servers, chosen: Iterable[Case]) -> list[Struck]:
    """Play the cases, each in an account of its own."""
    with ThreadPoolExecutor(LANES) as pool:
        return list(pool.map(lambda case: _strike(shared, case), chosen))


def _strike(shared: Servers, case: Case) -> Struck:
    with Sandbox(create="allowed", seed=1) as sandbox, Site(replace(shared, sandbox=sandbox)) as site:
        case.operation.prepare(site, case.operation.strategy)
        sandbox.arm(case.call, case.kind, times=None if case.lasting else 1, delay=SETTLE / 2)
        run = site.run(*case.operation.command)
        sandbox.clear_faults()
        wrong = [] if run.code in DOCUMENTED else [f"exit code {run.code}"]
        if run.code and case.kind == WAITED_OUT and case.call not in {"models", "chat"}:
            wrong.append(f"exit code {run.code} for a 429")
        if case.operation.strategy == "alternating" and not sandbox.accepts(site.held(KEY) or ""):
            wrong.append("the delivered secret is dead")
        after = site.apply("--allow-delete", "2")
        if after.code != 0:
            wrong.append(f"once the fault was gone, apply ends with {after.code}: {after.out}{after.err}")
        wrong += breaches(site, KEY)
        if loud := noise(site):
            wrong.append(f"a further apply changes {loud}")
        return Struck(str(case), run.wait(), tuple(wrong))
