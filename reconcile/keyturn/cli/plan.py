"""`keyturn plan`: shows what apply would do to each key, and why. It writes only the file of `--out`."""

from __future__ import annotations

from pathlib import Path

import click

from keyturn.cli import options

CHANGES = 2


@click.command("plan", help="Show what apply would do to each key, and why. Nothing is changed.")
@options.some_keys
@options.manifest_file
@options.verify
@options.brakes
@options.take_over
@options.unpark
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan for `apply --plan`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes and no problems.")
@options.formatted("text", "json", "markdown")
@options.talking
def command(  # noqa: PLR0913 - each is an option
    *,
    keys: tuple[str, ...],
    file: str,
    verify: bool,
    allow_delete: int,
    allow_rotations: int,
    take_over: bool,
    unpark: tuple[str, ...],
    out: str | None,
    detailed_exitcode: bool,
) -> int:
    """Plan, save, show."""
    from datetime import UTC, datetime

    from keyturn.cli.session import Order, opened, plan_all
    from keyturn.core.reasons import mixed
    from keyturn.core.results import Options
    from keyturn.report.documents import Consent, PlanDocument, dump
    from keyturn.report.markdown import plan_markdown
    from keyturn.report.plan import plan_lines

    screen = options.screen()
    consent = Consent(allow_delete, allow_rotations, take_over, unpark)
    with opened(screen, file, unpark, keys) as manifests:
        plans = plan_all(manifests, Order(Options(verify=verify, take_over=take_over, same_team=take_over), consent))
    code = mixed(plan.exit_code for plan in plans)
    if code == 0 and detailed_exitcode and any(key.changes for plan in plans for key in plan.plans):
        code = CHANGES
    document = PlanDocument(datetime.now(UTC), code, tuple(plans), keys, verify, consent)
    if out:
        Path(out).write_text(dump(document), encoding="utf-8")
    if screen.format == "json":
        screen.document(dump(document))
    elif screen.format == "markdown":
        screen.document(plan_markdown(plans))
    else:
        screen.result(plan_lines(plans))
    return code
