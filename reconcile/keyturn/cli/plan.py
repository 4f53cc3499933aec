"""`keyturn plan`: shows what apply would do to each key, and why. It writes only the file of `--out`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.cli.console import Screen
    from keyturn.cli.session import Opened
    from keyturn.core.results import Options

CHANGES = 2


@click.command("plan", help="Show what apply would do to each key, and why. Nothing is changed.")
@options.some_keys
@options.manifests
@options.verify
@options.brakes
@options.take_over
@options.unpark
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan for `apply --plan`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes and no problems.")
@click.option("--explain", is_flag=True, help="Show each decision about KEY, with the policies that were asked.")
@options.formatted("text", "json", "markdown")
@options.talking
def command(  # noqa: PLR0913 - each is an option
    *,
    keys: tuple[str, ...],
    file: tuple[str, ...],
    verify: bool,
    allow_delete: int,
    allow_rotations: int,
    allow_removals: int,
    allow_unproven: int,
    take_over: bool,
    unpark: tuple[str, ...],
    out: str | None,
    detailed_exitcode: bool,
    explain: bool,
) -> int:
    """Plan, save, show."""
    from keyturn.cli.session import Order, opened, plan_all
    from keyturn.core.limits import Consent
    from keyturn.core.reasons import mixed
    from keyturn.core.results import Options

    screen = options.screen()
    consent = Consent(allow_delete, allow_rotations, take_over, unpark, allow_removals, allow_unproven)
    if explain and not keys:
        raise click.UsageError("--explain needs a KEY")
    asked = Options(verify=verify, take_over=take_over, same_team=take_over, by=options.person())
    with opened(screen, file, unpark, keys) as manifests:
        if explain:
            return _explained(screen, manifests, asked, unpark)
        plans = plan_all(manifests, Order(asked, consent))
    code = mixed(plan.exit_code for plan in plans)
    if code == 0 and detailed_exitcode and any(key.changes for plan in plans for key in plan.plans):
        code = CHANGES
    document = ""
    if out or screen.format == "json":
        from datetime import UTC, datetime

        from keyturn.report.documents import PlanDocument, dump

        document = dump(PlanDocument(datetime.now(UTC), code, tuple(plans), keys, verify, consent))
    if out:
        from keyturn.cli.files import write_private

        write_private(Path(out), document)
    if screen.format == "json":
        screen.document(document)
    elif screen.format == "markdown":
        from keyturn.report.markdown import plan_markdown

        screen.document(plan_markdown(plans))
    else:
        from keyturn.report.plan import plan_lines

        calm = code == 0 and not any(key.changes for plan in plans for key in plan.plans)
        screen.result(plan_lines(plans, whole=screen.verbose > 0), calm=calm)
    return code


def _explained(screen: Screen, manifests: Sequence[Opened], asked: Options, unpark: Sequence[str]) -> int:
    from dataclasses import replace
    from datetime import UTC, datetime

    from keyturn.core.reasons import mixed
    from keyturn.engine.explain import explain_key
    from keyturn.report.documents import ExplanationDocument, KeyExplained, dump
    from keyturn.report.plan import explanation_lines

    found = [
        (key.id, *explain_key(one.world, key, replace(asked, unpark=key.id in unpark)))
        for one in manifests
        for key in one.entries()
    ]
    code = mixed(plan.exit_code for _, plan, _ in found)
    if screen.format == "json":
        explained = tuple(KeyExplained(key, decisions) for key, _, decisions in found)
        screen.document(dump(ExplanationDocument(datetime.now(UTC), code, explained)))
    else:
        screen.result(row for key, plan, decisions in found for row in explanation_lines(key, decisions, plan.end))
    return code
