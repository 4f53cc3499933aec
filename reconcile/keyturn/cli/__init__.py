"""The command line: thin commands that parse, call and render. `keyturn -h` imports only click."""

from __future__ import annotations

from typing import Final

import click

from keyturn import __version__
from keyturn.cli.root import Root

COMMANDS: Final = {
    "init": "Create a commented starter manifest.",
    "policy": "Write a policy: what manifests may do.",
    "validate": "Check the manifest offline.",
    "plan": "Show what apply would do to each key, and why.",
    "apply": "Make each key match the manifest, after confirmation.",
    "rotate": "Rotate keys now.",
    "adopt": "Take over an existing API key.",
    "forget": "Stop managing keys, and leave them alive.",
    "smoke": "Test the delivered secrets.",
    "status": "Show the condition of each key.",
    "schedule": "Show what will happen when.",
    "run": "Apply what is due, when it is due, until a signal.",
    "operator": "Work on the keys of a Kubernetes cluster.",
    "history": "Show the history of a key.",
    "doctor": "Examine the set-up, and say what to do about each problem.",
    "sign": "Sign records that have no valid signature.",
    "targets": "List the kinds of target and their settings.",
    "sandbox": "Run a local DigitalOcean that behaves like the real one.",
    "schema": "Print a JSON Schema.",
    "completion": "Print the completion script of a shell.",
    "demo": "Show the life of a key in one minute.",
}

main = Root(
    "keyturn",
    COMMANDS,
    help="Model access keys as code for DigitalOcean serverless inference: adopt, deliver, rotate, retire.",
    epilog=(
        "Exit codes: 0 at rest, or waiting for a scheduled time; 1 failed, or action needed; "
        "2 changes (plan --detailed-exitcode); 3 wrong manifest or command line; "
        "4 stopped by a brake, an owner or a policy; 5 login refused; 130 stopped by Ctrl-C; 143 stopped by SIGTERM."
    ),
)
click.version_option(__version__, "-V", "--version", prog_name="keyturn", message="%(prog)s %(version)s")(main)
