"""`keyturn apply`: makes each key match the manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from keyturn.cli import options

if TYPE_CHECKING:
    from keyturn.core.limits import Consent
    from keyturn.report.documents import SavedRun


@click.command(
    "apply",
    help="Make each key match the manifest, after showing the plan and asking. Safe to run again at any time, "
    "also after a crash.",
)
@options.some_keys
@options.manifests
@click.option("--plan", "saved", type=click.Path(exists=True, dir_okay=False), help="Apply exactly this saved plan.")
@options.verify
@click.option("--wait", is_flag=True, help="Wait for API keys that an operator has to create.")
@options.brakes
@options.take_over
@options.unpark
@options.lock_timeout
@click.option(
    "--metrics-file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="After the run, write metrics of all keys for node exporter's textfile collector.",
)
@options.yes
@options.formatted("text", "json", "markdown")
@options.talking
def command(  # noqa: PLR0913 - each is an option
    *,
    keys: tuple[str, ...],
    file: tuple[str, ...],
    saved: str | None,
    verify: bool,
    wait: bool,
    allow_delete: int,
    allow_rotations: int,
    allow_removals: int,
    allow_unproven: int,
    take_over: bool,
    unpark: tuple[str, ...],
    lock_timeout: float,
    metrics_file: str | None,
    yes: bool,
) -> int:
    """Apply the manifest, or exactly a saved plan."""
    from keyturn.cli.files import named, read_bounded
    from keyturn.cli.session import Order, change, opened
    from keyturn.core.limits import Consent
    from keyturn.core.results import Options

    screen = options.screen()
    consent = Consent(allow_delete, allow_rotations, take_over, unpark, allow_removals, allow_unproven)
    reviewed: tuple[SavedRun, ...] = ()
    if saved:
        if keys:
            raise click.UsageError("a saved plan names its own keys: omit KEY or --plan")
        from keyturn.report.documents import parse_plan

        document = parse_plan(read_bounded(Path(saved)), where=saved)
        if document.consent != consent:
            raise click.UsageError(f"this plan was made with {_flags(document.consent)}: use the same to apply it")
        keys, verify = document.keys, document.verify
        reviewed = document.runs
    with opened(screen, file, unpark, keys) as manifests:
        missing = sorted({run.owner for run in reviewed} ^ {one.desired.owner for one in manifests}) if saved else []
        if missing:
            raise click.UsageError(f"the plan and {named(file)} have different manifests: {', '.join(missing)}")
        done = Options(
            verify=verify, take_over=take_over, same_team=take_over, by=options.person(), lock_timeout=lock_timeout
        )
        code = change(screen, manifests, Order(done, consent, yes=yes, wait=wait, reviewed=reviewed))
        if metrics_file:
            from keyturn.cli.metrics import write_metrics

            write_metrics(Path(metrics_file), manifests)
    return code


def _flags(consent: Consent) -> str:
    """Return the flags of a saved plan."""
    flags = [
        f"--allow-delete {consent.allow_delete}" if consent.allow_delete else "",
        f"--allow-rotations {consent.allow_rotations}" if consent.allow_rotations else "",
        f"--allow-removals {consent.allow_removals}" if consent.allow_removals else "",
        f"--allow-unproven {consent.allow_unproven}" if consent.allow_unproven else "",
        "--take-over" if consent.take_over else "",
        *(f"--unpark {key}" for key in consent.unpark),
    ]
    return " ".join(flag for flag in flags if flag) or "no --allow-…, --take-over or --unpark"
