"""Shared by the commands that work on manifests: load, open, plan, confirm, apply."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.cli.console import Screen
from keyturn.cli.files import named as names
from keyturn.cli.files import policy_of, sources
from keyturn.cli.root import fail_document
from keyturn.cli.stopping import Stopping, ended, leave
from keyturn.core.configuration import differences
from keyturn.core.errors import InputError, OwnershipError, PolicyError
from keyturn.core.limits import Allowed, Consent
from keyturn.core.model import Desired, DesiredKey
from keyturn.core.reasons import Reason, mixed
from keyturn.core.results import End, KeyReport, Options, RunPlan, RunReport, by_urgency
from keyturn.engine.runner import Runner
from keyturn.engine.signals import Heard, Signals
from keyturn.live.live_world import LiveWorld, open_world
from keyturn.manifest import base_of, expand, load_all
from keyturn.report.plan import plan_lines
from keyturn.report.run import run_lines

if TYPE_CHECKING:
    from keyturn.live.notices import Notices
    from keyturn.report.documents import SavedRun

BRIEF = 20
"""With `--yes`, the plans of more keys than this are shown with one line per key."""

NOT_AGREED = End(Reason.NOT_AGREED, "the plan was not confirmed; nothing was changed")


@dataclass(frozen=True, slots=True)
class Opened:
    """One manifest with its world, its runner, and the keys of the command; none means all."""

    desired: Desired
    world: LiveWorld
    runner: Runner
    keys: tuple[str, ...]

    @property
    def notices(self) -> Notices:
        """The notices of this manifest."""
        from keyturn.live.notices import Notices

        return Notices(self.desired, self.world.notebook(self.desired.owner), os.environ)

    def begin(self) -> None:
        """Note what was told so far, before anything is done."""
        if self.desired.receivers:
            self.notices.begin(lambda key: self.world.read_record(key).record)

    def told(self, report: RunReport) -> RunReport:
        """Tell the receivers what a run came to, and return its report with what could not be told."""
        return self.notices.end(report, whole=not self.keys) if self.desired.receivers else report

    def among(self, keys: Iterable[str]) -> tuple[str, ...]:
        """Return those of `keys` that belong to this manifest."""
        known = {key.id for key in self.desired.keys}
        return tuple(key for key in keys if key in known)

    def entries(self) -> tuple[DesiredKey, ...]:
        """Return the entries of the command's keys."""
        return tuple(key for key in self.desired.keys if not self.keys or key.id in self.keys)


@dataclass(frozen=True, slots=True)
class Order:
    """The request of a command that changes keys."""

    options: Options
    consent: Consent = Consent()
    yes: bool = False
    wait: bool = False
    reviewed: tuple[SavedRun, ...] = ()
    """The plans of a saved plan; none if nothing was saved."""
    warning: str = ""
    """A warning that is shown before the confirmation."""
    given: bool = False
    """Standard input was read to its end for something else, such as a secret: it holds no answer."""
    command: str = ""
    """The command, if the next apply does not do what it was to do: an order that nothing has recorded yet."""


@contextmanager
def opened(
    screen: Screen, file: str | Sequence[str], named: Sequence[str] = (), keys: Sequence[str] = ()
) -> Iterator[tuple[Opened, ...]]:
    """Load the manifests of all `-f`, check that all keys in `named` exist, and open those that have one of `keys`.

    Each is opened with a world and a runner. No `keys` means all.

    Raises InputError for a key that no manifest has, PolicyError for what a policy does not allow.
    """
    screen.log()
    files = expand(sources(file))
    every = load_all(files, os.environ, policy=policy_of(screen))
    known = [key.id for desired in every for key in desired.keys]
    for key in (*named, *keys):
        if key not in known:
            raise InputError(
                f"there is no key {key!r} in the manifest", where=names(file), remedy=_did_you_mean(key, known)
            )
    with ExitStack() as stack:
        result: list[Opened] = []
        world = None  # one token, so one rate budget
        for desired, base in zip(every, map(base_of, files), strict=True):
            mine = tuple(key.id for key in desired.keys if key.id in keys)
            if mine or not keys:
                world = open_world(desired, os.environ, base, beside=world, hear=screen.progress)
                stack.enter_context(world)
                result.append(Opened(desired, world, Runner(world, desired, screen.progress), mine))
        yield tuple(result)


def plan_all(manifests_: Sequence[Opened], order: Order) -> list[RunPlan]:
    """Plan each manifest. Raises PolicyError for a program that may not be run."""
    consent = order.consent
    for one in manifests_:
        check_programs(one.desired)
    return [
        one.runner.plan(
            one.keys,
            order.options,
            allow_delete=consent.allow_delete,
            allow_rotations=consent.allow_rotations,
            allowed=Allowed(consent.allow_removals, consent.allow_unproven),
            unpark=one.among(consent.unpark),
        )
        for one in manifests_
    ]


def check_programs(desired: Desired) -> None:
    """Raise PolicyError for a program that may not be run.

    A receiver that is not set up stops nothing: its notices wait, and the report says so.
    """
    if desired.unpermitted:
        raise PolicyError(desired.unpermitted)


def change(screen: Screen, manifests_: Sequence[Opened], order: Order) -> int:
    """Plan, show the plan, confirm, apply and report. Return the exit code. Raises like `check_programs`."""
    for one in manifests_:
        check_programs(one.desired)
    plans = plan_all(manifests_, order)
    asks = not order.yes and _askable(given=order.given)
    changed = sum(1 for plan in plans for key in plan.plans if key.changes)
    brief = order.yes and not screen.verbose and changed > BRIEF
    screen.inform(plan_lines(plans, before_apply=True, whole=screen.verbose > 0, brief=brief), needed=asks)
    _check_reviewed(order.reviewed, plans)
    changes = changed > 0
    code = mixed(plan.exit_code for plan in plans)
    pairs = list(zip(manifests_, plans, strict=True))
    soon = order.yes and any(one.runner.retires_soon(plan) for one, plan in pairs)
    if not (changes or order.wait or soon) and (code == 0 or not order.yes):
        return report(screen, [one.told(_not_applied(plan)) for one, plan in pairs])
    if order.warning and changes:
        screen.say(order.warning)
    if not order.yes and not confirmed(screen, "Apply this plan? [y/N]", given=order.given):
        screen.error("Nothing was changed: the plan was not confirmed. Review it, and run again with `--yes`.")
        return report(screen, [_not_applied(plan) for plan in plans])
    # After a prompt, pin the digest of the confirmed plan. `--yes` accepts the plan as it is at apply time.
    binding = order.reviewed or (() if order.yes else plans)
    digests = {plan.owner: plan.digest for plan in binding}
    stopping = Stopping(screen, [one.desired.timing for one in manifests_], partial(fail_document, screen), leave)
    reports, stopped = apply_once(manifests_, order, digests, stopping.answer, planned_now=order.yes)
    code = report(screen, reports)
    if stopped is None:
        return code
    screen.error(ended(stopped, reports, command=order.command))
    return 128 + stopped


def apply_once(
    manifests_: Sequence[Opened],
    order: Order,
    digests: Mapping[str, str],
    heard: Heard | None = None,
    *,
    planned_now: bool = False,
) -> tuple[list[RunReport], int | None]:
    """Apply each manifest once, as `apply` and each look of `run` do, and tell its receivers.

    Return the reports, and a signal that came.

    `digests`: by owner, what the plan has to be; no digest accepts the plan as it is at apply time. `heard`: is told
    of each signal at once. `planned_now`: all were planned a moment ago. The first is applied as it was seen then; the
    others are planned again, because they may share a pool with it. Raises like `check_programs`.
    """
    for one in manifests_:
        check_programs(one.desired)
        one.begin()
    with Signals(heard) as signals:
        reports = [
            one.runner.apply(
                one.keys,
                order.options,
                allow_delete=order.consent.allow_delete,
                allow_rotations=order.consent.allow_rotations,
                allowed=Allowed(order.consent.allow_removals, order.consent.allow_unproven),
                unpark=one.among(order.consent.unpark),
                expected_digest=digests.get(one.desired.owner, ""),
                wait=order.wait,
                planned_now=planned_now and number == 0,
            )
            for number, one in enumerate(manifests_)
        ]
    return [one.told(done) for one, done in zip(manifests_, reports, strict=True)], signals.stop_requested


def report(screen: Screen, reports: Sequence[RunReport]) -> int:
    """Show reports in the chosen format. Return their exit code."""
    code = mixed(one.exit_code for one in reports)
    if screen.format == "json":
        from keyturn.report.documents import ReportDocument, dump

        screen.document(dump(ReportDocument(datetime.now(UTC), code, tuple(reports))))
    elif screen.format == "markdown":
        from keyturn.report.markdown import run_markdown

        screen.document(run_markdown(reports))
    else:
        done = any(key.done for one in reports for key in one.reports)
        few = any(pool.few for one in reports for pool in one.pools)
        calm = code == 0 and not (done or few)
        screen.result(run_lines(reports, steps=screen.verbose > 0, needed=screen.quiet), calm=calm)
    return code


def _check_reviewed(reviewed: Sequence[SavedRun], plans: Sequence[RunPlan]) -> None:
    """Raise OwnershipError if the plans are not those that were reviewed; no `reviewed` means that none were saved."""
    if not reviewed or {run.owner: run.digest for run in reviewed} == {plan.owner: plan.digest for plan in plans}:
        return
    saved = {run.owner: run.configuration for run in reviewed}
    both = ((saved.get(plan.owner), plan.configuration) for plan in plans)
    changed = [one for old, new in both if old and new for one in differences(old, new)]
    older = any(not run.configuration for run in reviewed)
    since = "an earlier version of keyturn saved it" if older else "a key, its record, its entry or a delivery changed"
    raise OwnershipError(
        "the saved plan is out of date; nothing was changed",
        evidence="; ".join(changed) or since,
        remedy="Make a new plan and review it.",
    )


def _not_applied(plan: RunPlan) -> RunReport:
    """Return the report of a plan that was not applied: keys with changes are stopped, the others end as planned."""
    reports = tuple(
        KeyReport(key.key, (), NOT_AGREED, conditions=by_urgency((NOT_AGREED, *key.conditions)))
        if key.changes
        else KeyReport(key.key, (), key.end, conditions=key.conditions, record=key.record)
        for key in plan.plans
    )
    code = mixed((plan.exit_code, *(key.end.exit_code for key in reports)))
    return RunReport(
        plan.owner, "", reports, plan.deferred, plan.unmanaged, plan.stopped, code, plan.notes, plan.pools, plan.stop
    )


def confirmed(screen: Screen, question: str, *, given: bool = False) -> bool:
    """Ask on the terminal. Without a terminal the answer is no.

    given: standard input held something else, so a pipe there does not mean that nobody is at the terminal.
    """
    if not _askable(given=given):
        return False
    with suppress(OSError), ExitStack() as stack:  # a session may have no terminal, although stderr is one
        answers = sys.stdin if sys.stdin.isatty() else stack.enter_context(Path("/dev/tty").open(encoding="utf-8"))
        screen.rest()
        screen.error(question)
        return answers.readline().strip().lower() in {"y", "yes"}
    return False


def _askable(*, given: bool) -> bool:
    """Tell whether a question can be asked: the answer comes from a terminal, and the question is seen there."""
    return sys.stdin.isatty() or (given and sys.stderr.isatty())


def _did_you_mean(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known) or 'none'}."
