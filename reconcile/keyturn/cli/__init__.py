"""The command line: thin commands that parse, call and render. `keyturn -h` loads click and nothing else."""

from __future__ import annotations

from typing import Final

import click

from keyturn import __version__
from keyturn.cli.root import Root

COMMANDS: Final = {
    "init": "Write a commented starter manifest.",
    "validate": "Check the manifest, offline.",
    "plan": "Show what apply would do to each key, and why.",
    "apply": "Plan, show, ask, do.",
    "rotate": "Rotate keys now.",
    "adopt": "Take over an existing API key.",
    "smoke": "Try the delivered secrets.",
    "status": "Show how every key stands.",
    "history": "Show what happened to a key.",
    "targets": "List the kinds of target and their settings.",
    "sandbox": "Run a local DigitalOcean that behaves like the real one.",
    "schema": "Print a JSON Schema.",
    "demo": "Show the whole life of a key in one minute.",
}

main = Root(
    "keyturn",
    COMMANDS,
    help="Model access keys as code for DigitalOcean serverless inference: adopt, deliver, rotate, retire.",
    epilog=(
        "Exit codes: 0 at rest or waiting for time; 1 something failed or waits for a person; "
        "2 changes (plan --detailed-exitcode); 3 wrong manifest or command line; 4 a brake or an owner stopped it; "
        "5 a login is refused."
    ),
)
click.version_option(__version__, prog_name="keyturn", message="%(prog)s %(version)s")(main)
